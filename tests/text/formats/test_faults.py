"""Every fault of a record has its name; what is not one is read."""

from __future__ import annotations

from typing import Any

import pytest

from databuild.text.formats.registry import read_record
from databuild.text.formats.turns import read_turns
from databuild.text.formats.values import FaultError, is_blank, sound
from tests.text.formats.records import ASKED, CALLED, HH, RESULT, SAID, SYSTEM, WRONG

DEEP: Any = "x"
for _ in range(200):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"prompt": 7, "completion": "a"}, "wrong type: prompt is 7, expected text"),
        ({"prompt": "q", "completion": ["a"]}, 'wrong type: completion is ["a"], expected text'),
        ({"messages": [ASKED, "a"]}, "wrong type: messages[1] is a, expected an object"),
        ({"messages": "Hi"}, "wrong type: messages is Hi, expected a list of turns"),
        ({"messages": []}, "empty: messages has no turns"),
        ({"messages": [SAID, ASKED]}, "wrong role order: turn 0 of the conversation is assistant at the beginning"),
        ({"messages": [ASKED, ASKED, SAID]}, "wrong role order: turn 1 of the conversation is user after user"),
        ({"messages": [ASKED, SAID, SYSTEM]}, "wrong role order: turn 2 of the conversation is system after assistant"),
        ({"messages": [ASKED, CALLED, SAID]}, "wrong role order: turn 2 of the conversation is assistant after a tool call without its result"),
        ({"messages": [ASKED, {"role": "assistant", "content": None}]}, "empty turn: messages[1] (assistant) is blank"),
        ({"messages": [ASKED, {"role": "assistant", "content": "\u200b \ufeff"}]}, "empty turn: messages[1] (assistant) is blank"),
        ({"messages": [ASKED, {"role": "assistant", "content": "<think>\nx\n</think>\n"}]}, "empty turn: the conversation ends with reasoning and no answer"),
        ({"messages": [ASKED, {"role": "narrator", "content": "x"}]}, "unknown role: messages[1] has narrator, known are system, user, assistant, tool and the like"),
        ({"messages": [ASKED, RESULT, SAID]}, "tool result without its call: turn 1 of the conversation answers the call 'c1', which waits for a result"),
        ({"messages": [ASKED, CALLED, {**RESULT, "tool_call_id": "c2"}, SAID]}, "tool result without its call: turn 2 of the conversation answers the call 'c2', which waits for a result"),
        ({"messages": [ASKED, CALLED, RESULT, RESULT, SAID]}, "tool result without its call: turn 3 of the conversation answers the call 'c1', which waits for a result"),
        ({"messages": [ASKED, {"from": "function_call", "value": "add(2)"}]}, "invalid tool call: messages[1] has add(2), expected name and arguments"),
        ({"messages": [ASKED, {"role": "assistant", "tool_calls": [{"name": "add", "arguments": "2"}]}]}, "invalid tool call: messages[1] gives add 2, expected a JSON object"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, SAID]}, "not text: messages[0].content[0] is of type 'image_url'"),
        ({"prompt": "q", "chosen": "a", "rejected": "a "}, "identical chosen and rejected: a"),
        ({"prompt": "q", "chosen": "a", "rejected": None}, "no answer: rejected has no value"),
        ({"chosen": [ASKED, SAID], "rejected": [{"role": "user", "content": "?"}, WRONG]}, "different prompts: chosen and rejected part at turn 0, not at an answer"),
        ({"prompt": "q", "chosen": [ASKED, SAID], "rejected": [ASKED, WRONG]}, "different prompts: chosen begins with another prompt than the row's"),
        ({"chosen": f"{HH}4.\n\nHuman: a\n\nAssistant: b", "rejected": f"{HH}5.\n\nHuman: a\n\nAssistant: c"}, "different prompts: chosen and rejected part at turn 1, before the last"),
        ({"chosen": f"{HH}4.", "rejected": "\n\nHuman: What is 2 + 2?\n\nAssistant:"}, "empty turn: turn 1 of rejected (Assistant) is blank"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "margin": -1}, "invalid value: margin is -1, below 0"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "strength": "best"}, "invalid value: strength is best, not ["),
        ({"prompt": "q", "responses": ["a", "b"], "scores": [1]}, "wrong length: scores has 1 values for 2 answers"),
        ({"prompt": "q", "responses": ["a"], "ranks": [-1]}, "invalid value: responses[0] has the rank -1, no whole number from 0 (in responses[0])"),
        ({"prompt": "q", "completions": ["a", "b"], "labels": [True]}, "wrong length: 1 labels for 2 completions"),
        ({"prompt": "q", "steps": [{"text": "a", "rating": 7}]}, "invalid value: the rating of steps[0] is 7, outside of [-1, 1]"),
        ({"input": "Step 1: a ки", "label": "Step 1: b +"}, "invalid value: label parts from input at character"),
        ({"prompt": "q", "response_a": "a", "response_b": "b", "vote": "c"}, "invalid value: vote is c, not a, b, tie or both_bad"),
        ({"text": " \n"}, "empty: text is blank"),
        ({"id": 1, "colour": "red"}, "unknown shape: no format is known by ['colour', 'id']; name what it has under `columns`"),
        ({}, "unknown shape: no known name has a value; name what it has under `columns`"),
        ({"prompt": "q", "meta": DEEP}, "too deep: values nest deeper than 64"),
        ({"row_kind": "sft", "prompt": "q"}, "no value: response is missing"),
        ({"row_kind": "sft", "prompt": "q", "response": "x", "messages": [ASKED, SAID]}, "invalid value: prompt is not what the messages say"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(record: dict[str, Any], told: str) -> None:
    reading = read_record(record)
    assert reading.rows == []
    assert len(reading.faults) == 1
    assert reading.faults[0].startswith(told)


@pytest.mark.parametrize(
    ("wanted", "record", "told"),
    [
        ("sft", {"prompt": "q", "response": None}, "wrong kind: the record reads as prompt, wanted is sft"),
        ("sft", {"messages": [ASKED, SAID], "label": False}, "wrong kind: the record reads as feedback, wanted is sft"),
        ("feedback", {"prompt": "q", "completion": "a", "label": "maybe"}, "invalid value: label is maybe, not yes or no"),
        ("feedback", {"prompt": "q", "completion": "a"}, "no label: none of label, kto_tag, is_correct has a value"),
        ("document", {"prompt": "q"}, "no text: none of text, content"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_wanted_kind_is_named(wanted: str, record: Any, told: str) -> None:
    assert read_record(record, wanted).faults[0].startswith(told)


def test_a_faulty_answer_among_good_ones_is_a_fault_of_its_own() -> None:
    reading = read_record({"prompt": "q", "responses": ["a", " ", 7]})
    assert [row["response"] for row in reading.rows] == ["a"]
    assert reading.faults == [
        "empty: responses[1] is blank (in responses[1])",
        "wrong type: responses[2] is 7, expected text (in responses[2])",
    ]


def test_lone_surrogates_are_repaired_and_counted() -> None:
    reading = read_record(
        {"prompt": "caf\ud83d", "completion": "\udc00\udc01 fine 😀", "n": "\ud800"}
    )
    assert reading.rows[0]["prompt"] == "caf\ufffd"
    assert reading.rows[0]["response"] == "\ufffd\ufffd fine 😀"
    assert (reading.repaired, reading.rests) == (4, [{"n": "\ufffd"}])
    assert sound({"\ud800": [["\udfff"]]}) == ({"\ufffd": [["\ufffd"]]}, 2)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "N/A", "nan", None])
def test_a_score_that_is_no_number_is_missing(score: Any) -> None:
    (row,) = read_record({"prompt": "q", "responses": ["a"], "scores": [score]}).rows
    assert "score" not in row
    (row,) = read_record(
        {"prompt": "q", "chosen": "a", "rejected": "b", "score_chosen": score}
    ).rows
    assert "chosen_score" not in row


def test_what_pandas_writes_as_nan_is_missing() -> None:
    record = {"instruction": "q", "input": float("nan"), "output": "a", "system": float("nan")}
    assert read_record(record).rows == [{"row_kind": "sft", "prompt": "q", "response": "a"}]


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t", "\u200b\u200d", "\ufeff", "\u3000", "\u00ad", "\u2800"]
)
def test_a_text_without_anything_to_see_is_blank(text: str) -> None:
    assert is_blank(text)
    assert not is_blank(f"{text}.{text}")


@pytest.mark.parametrize("role", ["user", "human", "Human", "prompter"])
@pytest.mark.parametrize("answerer", ["gpt", "assistant", "chatgpt", "bing", "bard", "model", "AI"])
def test_all_role_names_in_use_are_known(role: str, answerer: str) -> None:
    said = [{"from": role, "value": "a"}, {"from": answerer, "value": "b"}]
    turns, _ = read_turns(said, "t")
    assert [turn["role"] for turn in turns] == ["user", "assistant"]


def test_an_empty_system_turn_says_nothing() -> None:
    blank = {"role": "system", "content": ""}
    assert read_record({"messages": [blank, ASKED, SAID]}).rows[0].get("messages") is None
    assert read_record({"prompt": "q", "response": "a", "system": " "}).faults == []


def test_a_tool_may_answer_nothing() -> None:
    turns = [ASKED, CALLED, {**RESULT, "content": ""}, SAID]
    assert read_record({"messages": turns}).rows[0]["messages"][2]["content"] == ""


def test_absent_keys_stay_absent() -> None:
    turns, _ = read_turns([{"role": "user", "content": "a", "name": None, "tool_calls": None}], "t")
    assert turns == [{"role": "user", "content": "a"}]


def test_a_fault_is_a_value_error() -> None:
    assert issubclass(FaultError, ValueError)
