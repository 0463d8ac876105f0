"""Rows as databuild itself writes them: an object of columns, with `row_kind`."""

from __future__ import annotations

from typing import Any

from databuild.schema.rows import COLUMNS, KINDS, MESSAGES, Column
from databuild.text.formats.fields import Fields, Row, answered_row, asked_row
from databuild.text.formats.values import fault, number_of, opened, short, text_of

_MOST = 2**63 - 1
_FREE = {"response", "chosen", "rejected", "response_a", "response_b", "prompt", "text"}


def is_native(fields: Fields) -> bool:
    """Say whether the record names its kind."""
    kind = fields.values.get("row_kind")
    return isinstance(kind, str) and kind in KINDS


def read_native(fields: Fields) -> list[Row]:
    """Read columns by their names, each checked against its type and range."""
    kind = KINDS[fields.take("row_kind")]
    row: Row = {"row_kind": kind.name}
    for name in kind.columns:
        if fields.has(name):
            row[name] = _value(fields, COLUMNS[name])
        elif name in kind.required:
            raise fault("no value", f"{name} is missing")
    for name in ("chosen", "rejected"):
        if name in row and f"{name}_messages" not in row:
            text_of(row[name], name)
    if "messages" in row:
        own = answered_row if "response" in row and kind.name != "steps" else asked_row
        for name, said in own(row["messages"]).items():
            if row.get(name) != said:
                raise fault("invalid value", f"{name} is not what the messages say")
    if "chosen" in row and row["chosen"].strip() == row["rejected"].strip():
        raise fault("identical chosen and rejected", short(row["chosen"]))
    return [row]


def _value(fields: Fields, column: Column) -> Any:
    value = fields.take(column.name)
    if column.type == MESSAGES:
        return fields.turns(value, column.name)
    words = {"String": str, "Boolean": bool, "Int64": int}
    wanted = words.get(str(column.type))
    if str(column.type) == "Float64":
        number = number_of(value, column.name)
        if number is None:
            raise fault("invalid value", f"{column.name} is no number")
        return _within(number, column)
    if wanted is None:
        return _objects(opened(value), column)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise fault("wrong type", f"{column.name} is {short(value)}, expected {column.type}")
    if isinstance(value, int) and wanted is int:
        return _within(value, column)
    if column.one_of and value not in column.one_of:
        raise fault("invalid value", f"{column.name} is {short(value)}, not {list(column.one_of)}")
    if column.name in _FREE:
        text_of(value, column.name)
    return value


def _within(number: float, column: Column) -> float:
    """A number in the range of its column, and of 64 bits."""
    least = -_MOST if column.least is None else column.least
    most = _MOST if column.most is None else column.most
    if not least <= number <= most and not (isinstance(number, float) and most == _MOST):
        raise fault("invalid value", f"{column.name} is {number:g}, not in [{least:g}, {most:g}]")
    return number


def _objects(value: Any, column: Column) -> list[Row]:
    """A list of steps or of ratings."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise fault("wrong type", f"{column.name} is {short(value)}, expected a list of objects")
    key = "text" if column.name == "steps" else "aspect"
    made = []
    for number, item in enumerate(value):
        said = text_of(item.get(key), f"{column.name}[{number}].{key}")
        rating = number_of(item.get("rating"), f"{column.name}[{number}].rating")
        if rating is not None:
            _within(rating, column)
        made.append({key: said, "rating": rating})
        if key == "aspect":
            why = item.get("rationale")
            if why is not None and not isinstance(why, str):
                raise fault("wrong type", f"{column.name}[{number}].rationale is {short(why)}")
            made[-1]["rationale"] = why
    return made


def write_native(row: Row) -> dict[str, Any]:
    """Write the columns that are not null."""
    return dict(row)
