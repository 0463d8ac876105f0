"""The kinds of row as JSON Schema: what a row looks like as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.schema.rows import COLUMNS, KINDS, ROLES

if TYPE_CHECKING:
    from databuild.schema.rows import Column

_NEVER_NULL = {"role", "name", "arguments", "text", "aspect"}
"""Fields of nested objects that are always there; `name` only in a tool call."""


def kind_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one kind of row.

    A column that is null may be left out. A row may have more columns: what its user brought.

    Example:
        >>> kind_schema("document")["required"]
        ['text']
    """
    found = KINDS[kind]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"databuild {kind} row",
        "description": found.about,
        "type": "object",
        "properties": {
            name: _column(COLUMNS[name], is_required=name in found.required)
            for name in found.columns
        },
        "required": list(found.required),
    }


def _column(column: Column, *, is_required: bool) -> dict[str, Any]:
    schema = _of_type(column.type, column)
    if not is_required:
        schema = _or_null(schema)
    return {"description": column.about, **schema}


def _of_type(dtype: Any, column: Column) -> dict[str, Any]:
    if isinstance(dtype, pl.List):
        return {"type": "array", "items": _of_type(dtype.inner, column)}
    if isinstance(dtype, pl.Struct):
        names = [field.name for field in dtype.fields]
        fields = {field.name: _field(field, names, column) for field in dtype.fields}
        required = [name for name in names if _is_always_there(name, names)]
        return {
            "type": "object",
            "properties": fields,
            "required": required,
            "additionalProperties": False,
        }
    words = {pl.String: "string", pl.Boolean: "boolean", pl.Int64: "integer", pl.Float64: "number"}
    schema: dict[str, Any] = {"type": words[type(dtype)]}
    if schema["type"] in {"integer", "number"}:
        bounds = {"minimum": column.least, "maximum": column.most}
        schema |= {name: bound for name, bound in bounds.items() if bound is not None}
    if column.one_of:
        schema["enum"] = list(column.one_of)
    return schema


def _field(field: pl.Field, names: list[str], column: Column) -> dict[str, Any]:
    if field.name == "role":
        return {"type": "string", "enum": list(ROLES)}
    schema = _of_type(field.dtype, column)
    return schema if _is_always_there(field.name, names) else _or_null(schema)


def _is_always_there(name: str, names: list[str]) -> bool:
    return name in _NEVER_NULL and not (name == "name" and "role" in names)


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "enum" in schema:
        return {**schema, "type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}
