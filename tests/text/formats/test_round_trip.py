"""What is written is read again as the same row; what cannot be is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.ingest.plan import Plan
from databuild.ingest.typed import Rows
from databuild.schema.rows import KINDS
from databuild.text.formats.registry import WRITERS, Reading, read_record, write_record
from databuild.text.formats.values import FaultError
from tests.text.formats.records import ASKED, CALLED, RESULT, SAID, SYSTEM
from tests.text.formats.strategies import plain_texts, talks, texts

COUNTS = st.floats(-10, 10, allow_nan=False)
SPOKEN = st.one_of(plain_texts, texts)


def through_a_table(row: dict[str, Any]) -> dict[str, Any]:
    """The row as it comes out of a table: every column, every key of a turn, mostly null."""
    made = Rows(Plan(row["row_kind"], {}, is_carried=False))
    made.add(0, Reading(rows=[row], rests=[{}]))
    return made.frame().row(0, named=True)


@st.composite
def records(draw: Any, said: Any) -> dict[str, Any]:
    """A record that reads as one row of a kind that is drawn, with some optional columns."""
    turns = draw(talks(said))
    if draw(st.booleans()):
        turns[-1]["content"] = f"<think>\n{draw(said)}\n</think>\n\n{turns[-1]['content']}"
    kind = draw(st.sampled_from(["sft", "prompt", "preference", "feedback", "answers", "steps"]))
    more = {"tools": [{"name": "add"}]} if draw(st.booleans()) else {}
    if kind == "sft":
        return {"messages": turns, **more}
    if kind == "prompt":
        return {"messages": turns[:-1], **more}
    if kind == "feedback":
        return {"messages": turns, "label": draw(st.booleans()), **more}
    if kind == "answers":
        answer = {"response": turns[-1]["content"], "score": draw(COUNTS), "critique": draw(said)}
        answer |= {"annotations": {"x": {"Rating": draw(COUNTS), "Rationale": draw(said)}}}
        return {"prompt": turns[:-1], "completions": [answer], "annotator": draw(said)}
    if kind == "steps":
        steps = draw(st.lists(st.tuples(said, st.sampled_from([1, 0, -1, None])), min_size=1))
        steps_made = [{"text": text, "rating": rating} for text, rating in steps]
        return {
            "prompt": turns[1]["content"] if turns[0] == "x" else draw(said),
            "steps": steps_made,
        }
    return {
        "prompt": turns[:-1],
        "chosen": turns[-1:],
        "rejected": draw(said),
        "edited": draw(said),
        "margin": draw(st.floats(0, 5)),
        "strength": draw(st.sampled_from(["better", "marginally better"])),
        **more,
    }


@given(records(SPOKEN), st.sampled_from(sorted(WRITERS)))
def test_what_is_written_is_read_as_the_same_row(record: Any, form: str) -> None:
    for row in read_record(record).rows:
        kind = row["row_kind"]
        try:
            written = write_record(through_a_table(row), kind, form)
        except FaultError:
            assert form != "databuild"
            continue
        line = json.dumps(written, ensure_ascii=False)
        assert None not in written.values()
        again = read_record(json.loads(line), kind)
        assert (again.rows, again.faults) == ([row], [])


@given(plain_texts, plain_texts)
def test_every_format_holds_what_it_is_made_for(asked: str, said: str) -> None:
    one = {"prompt": asked, "response": said}
    pair = {"prompt": asked, "chosen": said, "rejected": f"{said}!"}
    steps = [{"text": said, "rating": 1.0}, {"text": asked, "rating": -1.0}]
    rows: dict[str, Any] = {
        "prompt": {"prompt": asked},
        "response": {**one, "score": 1.0},
        "sft": one,
        "preference": pair,
        "feedback": {**one, "label": False},
        "steps": {"prompt": asked, "response": f"{said}\n{asked}", "steps": steps},
        "document": {"text": said},
        "vote": {"prompt": asked, "response_a": said, "response_b": asked, "vote": "tie"},
    }
    assert rows.keys() == KINDS.keys()
    for form, kinds in WRITERS.items():
        for kind in kinds:
            assert write_record(rows[kind], kind, form)


@given(talks())
def test_openai_trl_and_databuild_hold_every_conversation(turns: Any) -> None:
    (row,) = read_record({"messages": turns}).rows
    for form in ("openai", "trl", "databuild"):
        written = write_record(through_a_table(row), "sft", form)
        assert read_record(json.loads(json.dumps(written)), "sft").rows == [row]


TALK = {
    "prompt": "What is 2 + 2?",
    "response": "It is 4.",
    "messages": [SYSTEM, ASKED, CALLED, RESULT, SAID],
}


@pytest.mark.parametrize(
    ("row", "kind", "form", "told"),
    [
        (TALK, "sft", "alpaca", "cannot hold: tool turns"),
        (TALK, "sft", "sharegpt", "cannot hold: sharegpt has no place for messages of this row"),
        (TALK, "sft", "hh", "cannot hold: hh has no place for sft rows, only preference"),
        (
            {"prompt": "q", "response": "a", "model": "m"},
            "sft",
            "trl",
            "cannot hold: trl has no place for model of this row",
        ),
        (
            {"prompt": "q", "chosen": "a", "rejected": "b", "margin": 1.0},
            "preference",
            "hh",
            "cannot hold: hh has no place for margin of this row",
        ),
        (
            {"prompt": "q", "chosen": "a\n\nHuman: b", "rejected": "b"},
            "preference",
            "hh",
            "cannot hold: hh would not be read again: different prompts",
        ),
        (
            {"prompt": "q", "response": "a", "steps": [{"text": "a", "rating": 0.0}]},
            "steps",
            "trl",
            "cannot hold: ratings between right and wrong",
        ),
        (
            {"prompt": "q", "response": "stale", "messages": [ASKED, SAID]},
            "sft",
            "openai",
            "cannot hold: openai has no place for prompt, response, messages of this row",
        ),
    ],
)
def test_what_a_format_cannot_hold_is_named(row: Any, kind: str, form: str, told: str) -> None:
    with pytest.raises(FaultError) as caught:
        write_record(row, kind, form)
    assert str(caught.value).startswith(told)
