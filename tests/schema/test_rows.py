"""The kinds of row are stated once: schema, check and JSON Schema say the same."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from jsonschema import Draft202012Validator

from databuild.errors import SchemaError
from databuild.schema.published import kind_schema
from databuild.schema.rows import COLUMNS, KINDS, MESSAGES, STRENGTHS, check_rows, schema_of
from databuild.text.formats.registry import read_record
from tests.text.formats.records import RECORDS

TURN = {"role": "user", "content": "q", "tool_calls": None, "tool_call_id": None, "name": None}
PAIR = {"prompt": "q", "chosen": "a", "rejected": "b"}


def faults(kind: str, *rows: dict[str, Any]) -> list[str | None]:
    return check_rows(pl.DataFrame(rows, schema=schema_of(kind), strict=False), kind).to_list()


def test_every_column_belongs_to_a_kind_and_every_kind_is_made_of_columns() -> None:
    assert {name for kind in KINDS.values() for name in kind.columns} == set(COLUMNS)
    assert schema_of("auto").keys() == COLUMNS.keys()


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        ("preference", PAIR, None),
        ("preference", {**PAIR, "chosen": None}, "chosen is null"),
        ("preference", {**PAIR, "margin": -0.5}, "margin is below 0"),
        ("preference", {**PAIR, "margin": float("nan")}, "margin is no finite number"),
        (
            "preference",
            {**PAIR, "strength": "best"},
            f"strength is 'best', not {' | '.join(STRENGTHS)}",
        ),
        ("preference", {**PAIR, "messages": [TURN]}, None),
        (
            "preference",
            {**PAIR, "messages": [{**TURN, "role": "human"}]},
            "messages has a role that is none of ['system', 'user', 'assistant', 'tool']",
        ),
        (
            "steps",
            {"prompt": "q", "response": "a", "steps": [{"text": "a", "rating": 2.0}]},
            "steps is outside of [-1, 1]",
        ),
        (
            "steps",
            {"prompt": "q", "response": "a", "steps": [{"text": "a", "rating": None}]},
            None,
        ),
        ("response", {"prompt": "q", "response": "a", "rank": -1}, "rank is below 0"),
        (
            "vote",
            {"prompt": "q", "response_a": "a", "response_b": "b", "vote": None},
            "vote is null",
        ),
    ],
)
def test_a_row_that_is_not_of_its_kind_is_told_why(kind: str, row: Any, told: str | None) -> None:
    assert faults(kind, row) == [told]
    is_json = "nan" not in str(row)
    if is_json:  # JSON knows no NaN
        found = list(Draft202012Validator(kind_schema(kind)).iter_errors(row))
        assert bool(found) == bool(told)


def test_a_table_without_a_column_or_with_another_type_is_refused() -> None:
    with pytest.raises(SchemaError, match="needs the column 'response'"):
        check_rows(pl.DataFrame({"prompt": ["q"]}), "sft")
    with pytest.raises(SchemaError, match="the column 'response' is Int64"):
        check_rows(pl.DataFrame({"prompt": ["q"], "response": [1]}), "sft")
    with pytest.raises(SchemaError, match=r"no kind of row is called 'sftt'.*sft"):
        check_rows(pl.DataFrame({"prompt": ["q"]}), "sftt")


def test_a_column_that_is_null_everywhere_may_have_no_type() -> None:
    rows = pl.DataFrame({"prompt": ["q"], "response": ["a"], "messages": [None]})
    assert check_rows(rows, "sft").to_list() == [None]


@pytest.mark.parametrize(("form", "record", "rows"), RECORDS)
def test_the_json_schema_takes_what_the_formats_give(form: str, record: Any, rows: Any) -> None:
    for row in read_record(record).rows:
        validator = Draft202012Validator(kind_schema(row["row_kind"]))
        assert [error.message for error in validator.iter_errors(row)] == []


def test_the_type_of_messages_is_the_published_one() -> None:
    items = kind_schema("sft")["properties"]["messages"]["items"]
    assert list(items["properties"]) == [field.name for field in MESSAGES.inner.fields]
    assert items["properties"]["role"]["enum"] == ["system", "user", "assistant", "tool"]
