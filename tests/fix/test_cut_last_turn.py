from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.errors import SchemaError
from databuild.fix.cut_last_turn import CutLastTurnConfig, cut_last_turn
from databuild.text.cutting import breaks_off, cut_back


def table(texts, **columns):
    ids = [f"r{i}" for i in range(len(texts))]
    return pl.DataFrame({"row_id": ids, "response": pl.Series(texts, dtype=pl.String), **columns})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("It is wet. Take an umbrella and a", "It is wet."),
        ("你好。今天的天气", "你好。"),
        ("Do this:\n1. Stop.\n2. Look.\n3.", "Do this:\n1. Stop.\n2. Look."),
        ("Fine.\n```py\nx = 1\n", "Fine."),
        ("So it was. There are three reasons for that:", "So it was."),
        ("“Go!” he said. Then he went to", "“Go!” he said."),
        ("Mr. Lee came at 3.5 p.m. today. He then left", "Mr. Lee came at 3.5 p.m. today."),
        ("First, consider what is known of it, and", ""),
    ],
)
def test_what_breaks_off_is_cut_back_to_its_last_sentence(text, kept):
    assert breaks_off(text)
    assert cut_back(text) == kept


@pytest.mark.parametrize(
    "text",
    ["Paris", "", "Done.", "好的。", "- a\n- b", "1. one thing\n2. another thing", "Dear Ann. Thanks!\n\nBest,\nBo", "See it. https://x.org/a", "Sum. 2 + 2 = 4", "Yes. #tag one", "OK. 🎉", "A.\n```\nx\n```", "| a | b |", "“Be brief.” – Unknown author", "their", "9.", "- an aim to strive for", "B.S. Applied Science"],
)  # fmt: skip
def test_whole_texts_are_left(text):
    assert not breaks_off(text)


def test_what_is_known_of_the_end_decides():
    rows = table(
        ["One. Two", "One. Two words more", "One. Two words more", "Yes."],
        finish_reason=["length", "stop", None, "length"],
    )
    made = cut_last_turn(rows, CutLastTurnConfig(finish_reason="finish_reason")).rows
    assert made["response"].to_list() == ["One.", "One. Two words more", "One.", "Yes."]
    assert made["finish_reason"].to_list() == ["cut", "stop", "cut", "length"]
    assert made["fixes"].list.len().to_list() == [1, 0, 1, 0]


def test_a_row_of_which_nothing_is_left_is_dropped_with_a_reason():
    made = cut_last_turn(
        table(["and then, of course, there is the", None, "Yes."]), CutLastTurnConfig()
    )
    assert made.rows["parent_ids"].to_list() == [["r1"], ["r2"]]
    assert made.dropped.rows() == [("r0", "nothing whole is left")]


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (
            turns(("user", "a"), ("assistant", "B."), ("user", "c")),
            turns(("user", "a"), ("assistant", "B.")),
        ),
        (
            turns(("user", "a"), ("assistant", "Wet. And then it")),
            turns(("user", "a"), ("assistant", "Wet.")),
        ),
        (
            turns(("user", "a"), ("assistant", "B."), ("user", "c"), ("assistant", "")),
            turns(("user", "a"), ("assistant", "B.")),
        ),
        (turns(("user", "a"), ("assistant", "B.")), turns(("user", "a"), ("assistant", "B."))),
        (None, None),
    ],
)
def test_a_conversation_ends_with_a_whole_answer(given_, wanted):
    kind = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
    rows = pl.DataFrame({"row_id": ["a"], "messages": pl.Series([given_], dtype=kind)})
    made = cut_last_turn(rows, CutLastTurnConfig(column="messages"))
    assert made.rows["messages"].to_list() == [wanted]
    assert (made.rows["fixes"].to_list() == [[]]) == (given_ == wanted)


def test_conversations_without_an_answer_are_dropped_and_calls_of_tools_are_whole():
    call = {"role": "assistant", "content": None, "tool_calls": ["f"]}
    question = {"role": "user", "content": "a", "tool_calls": None}
    result = {"role": "tool", "content": "1", "tool_calls": None}
    kind = pl.Struct({"role": pl.String, "content": pl.String, "tool_calls": pl.List(pl.String)})
    held = pl.Series([[question], [question, call], [question, call, result]], dtype=pl.List(kind))
    rows = pl.DataFrame({"row_id": ["a", "b", "c"], "messages": held})
    made = cut_last_turn(rows, CutLastTurnConfig(column="messages"))
    assert made.rows["messages"].to_list() == [[question, call], [question, call]]
    assert made.rows["fixes"].to_list()[1] == [
        {"column": "messages", "fix": "cut_last_turn", "n": 1},
        {"column": "messages", "fix": "cut_last_turn.turns", "n": 1},
    ]
    assert made.dropped["row_id"].to_list() == ["a"]


def test_a_column_of_other_things_is_refused():
    with pytest.raises(SchemaError, match="neither texts nor turns"):
        cut_last_turn(table(["a"], n=[[1]]), CutLastTurnConfig(column="n"))


PIECES = st.sampled_from(
    ["One.", " Two", " and", "。", "天气", "\n", "- ", "3.", "```", " x", ",", ":", '"', "!", "🙂", " the", " e.g.", "# H", " = ", "\u200b", "…"]
)  # fmt: skip
TEXT = st.lists(PIECES, max_size=12).map("".join)


@given(st.lists(st.tuples(TEXT, st.sampled_from(["length", "stop", None])), min_size=1, max_size=4))
def test_a_second_time_changes_nothing_and_what_is_kept_is_a_beginning(rows):
    texts, ends = zip(*rows, strict=True)
    config = CutLastTurnConfig(finish_reason="finish_reason")
    given_ = table(texts, finish_reason=pl.Series(ends, dtype=pl.String))
    made = cut_last_turn(given_, config)
    once = made.rows
    for parents, kept in once.select("parent_ids", "response").rows():
        assert texts[int(parents[0][1:])].startswith(kept)
    again = once.select("response", "finish_reason", row_id=pl.int_range(pl.len()).cast(pl.String))
    twice = cut_last_turn(again, config)
    assert twice.rows["response"].to_list() == once["response"].to_list()
    assert once.height + made.dropped.height == len(rows)


def _talk(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def test_with_messages_the_answer_and_the_question_follow_the_conversation():
    whole = _talk(("user", "Hi?"), ("assistant", "Hello."), ("user", "Why?"), ("assistant", "So."))
    cut = [*whole[:3], {"role": "assistant", "content": "The sun warms the air, and then the"}]
    long = _talk(("system", "Be kind."), ("user", "Egg?"), ("assistant", "Ten minutes. And the"))
    rows = pl.DataFrame(
        {
            "row_id": ["whole", "cut", "long", "alone", "lost"],
            "prompt": ["Why?", "Why?", "Egg?", "Tea?", "Milk?"],
            "response": [
                "So.",
                "The sun warms the air, and then the",
                "Ten minutes. And the",
                "Warm. And a",
                "The cow is brown, and then the",
            ],
            "messages": [whole, cut, long, None, None],
        }
    )
    config = CutLastTurnConfig(messages="messages", prompt="prompt")
    made = cut_last_turn(rows, config)
    found = {row["parent_ids"][0]: row for row in made.rows.to_dicts()}
    assert found["whole"]["messages"] == whole
    assert (found["cut"]["prompt"], found["cut"]["response"]) == ("Hi?", "Hello.")
    assert found["cut"]["messages"] is None  # a question and its answer is no conversation
    assert found["long"]["response"] == found["long"]["messages"][-1]["content"] == "Ten minutes."
    assert (found["alone"]["response"], found["alone"]["messages"]) == ("Warm.", None)
    assert made.dropped["row_id"].to_list() == ["lost"]
    assert {note["column"] for row in found.values() for note in row["fixes"]} == {
        "response",
        "messages",
    }
