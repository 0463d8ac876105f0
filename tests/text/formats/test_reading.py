"""Every format is read as the rows that it holds; what it holds besides is not lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.ingest.plan import Plan
from databuild.ingest.typed import Rows
from databuild.schema.rows import KINDS, check_rows
from databuild.text.formats.registry import FORMATS, Reading, converted, read_record
from databuild.text.formats.values import FaultError
from tests.text.formats.records import ASKED, PAIR, RECORDS, SAID, SFT, SYSTEM
from tests.text.formats.strategies import garbage, values

if TYPE_CHECKING:
    import polars as pl


def frame_of(reading: Reading, kind: str) -> pl.DataFrame:
    made = Rows(Plan(kind, {}, is_carried=False))
    made.add(0, reading)
    return made.frame()


@pytest.mark.parametrize(("form", "record", "rows"), RECORDS)
def test_a_record_is_read_as_its_rows(form: str, record: Any, rows: Any) -> None:
    reading = read_record(record)
    assert (reading.faults, reading.format) == ([], form)
    assert reading.rows == rows
    assert reading.rests == [{} for _ in rows]


@pytest.mark.parametrize(("form", "record", "rows"), RECORDS)
def test_lists_may_be_json_text(form: str, record: Any, rows: Any) -> None:
    packed = {
        key: json.dumps(held) if isinstance(held, list) else held for key, held in record.items()
    }
    assert read_record(packed).rows == rows


def test_every_format_has_an_example() -> None:
    assert {form for form, _, _ in RECORDS} == {found.name for found in FORMATS}


@pytest.mark.parametrize(("form", "record", "rows"), RECORDS)
def test_what_is_read_follows_the_schema_of_its_kind(form: str, record: Any, rows: Any) -> None:
    for row in read_record(record).rows:
        kind = row["row_kind"]
        frame = frame_of(Reading(rows=[row], rests=[{}]), kind)
        assert check_rows(frame, kind).to_list() == [None]
        assert row.keys() - {"row_kind"} <= set(KINDS[kind].columns)


def test_what_no_column_holds_is_in_the_rest() -> None:
    record = {"instruction": "Hi", "output": "Hello.", "id": 7, "response": "Bye.", "empty": None}
    assert read_record(record).rests == [{"id": 7, "response": "Bye."}]
    record = {"messages": [ASKED, {**SAID, "weight": 0}], "note": "x"}
    assert read_record(record).rests == [{"note": "x", "messages[1].weight": 0}]
    answers = [{"response": "4", "seed": 1}, {"response": "5", "seed": 2}]
    record = {"prompt": "2 + 2", "completions": answers, "id": 1}
    assert read_record(record).rests == [
        {"id": 1, "completions[0].seed": 1},
        {"id": 1, "completions[1].seed": 2},
    ]


def test_a_column_map_names_what_counts() -> None:
    record = {"title": "What is 2 + 2?", "body": "It is 4.", "output": "no"}
    reading = read_record(record, "sft", {"prompt": "title", "response": "body"})
    assert (reading.rows, reading.rests) == ([SFT], [{"output": "no"}])
    assert read_record({"x": 1}, "sft", {"prompt": "title"}).faults == [
        "unknown shape: it has none of the columns ['title']"
    ]


def test_a_row_becomes_the_kind_that_is_wanted_where_nothing_is_guessed() -> None:
    assert read_record({"messages": [SYSTEM, ASKED, SAID]}, "prompt").rows == [
        {"row_kind": "prompt", "prompt": "What is 2 + 2?", "messages": [SYSTEM, ASKED]}
    ]
    answers = {"prompt": "What is 2 + 2?", "responses": ["It is 4.", "It is 5."], "scores": [1, 0]}
    assert read_record(answers, "prompt").rows == [
        {"row_kind": "prompt", "prompt": ASKED["content"]}
    ]
    reading = read_record(answers, "sft")
    assert reading.rows[0] == SFT
    assert reading.rests[0] == {"score": 1.0}
    vote = {"prompt": "What is 2 + 2?", "response_a": "It is 5.", "response_b": "It is 4."}
    assert read_record({**vote, "vote": "b"}, "preference").rows == [PAIR]
    assert read_record({**vote, "vote": "tie"}, "preference").faults == [
        "tie: the vote is tie: neither answer is better"
    ]
    for wanted in ("preference", "steps", "vote", "document"):
        with pytest.raises(FaultError, match="wrong kind: the record reads as sft"):
            converted(SFT, wanted)


@given(garbage, st.sampled_from(["auto", *KINDS]))
def test_any_record_is_rows_or_faults(record: Any, wanted: str) -> None:
    check_reading(record, wanted)


@given(st.data(), st.sampled_from(RECORDS))
def test_a_record_with_one_odd_value_is_rows_or_faults(data: st.DataObject, example: Any) -> None:
    record = json.loads(json.dumps(example[1]))
    place: Any = record
    while True:
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(values)
    check_reading(record, data.draw(st.sampled_from(["auto", *KINDS])))


def check_reading(record: Any, wanted: str) -> None:
    reading = read_record(record, wanted)
    assert reading.rows or reading.faults
    assert len(reading.rows) == len(reading.rests)
    for told in reading.faults:
        name, _, detail = told.partition(": ")
        assert name in FAULTS
        assert detail
    for row in reading.rows:
        kind = row["row_kind"]
        assert wanted in {"auto", kind}
        frame = frame_of(Reading(rows=[row], rests=[{}]), kind)
        assert check_rows(frame, kind).to_list() == [None]


FAULTS = {
    *("empty", "empty turn", "no prompt", "no answer", "no label", "no text", "no value"),
    *("wrong type", "wrong kind", "wrong length", "wrong role order", "unknown role", "not text"),
    *("unknown shape", "invalid value", "invalid tool call", "tool result without its call", "tie"),
    *("identical chosen and rejected", "different prompts", "too deep"),
}
