"""Rows as lists of turns, as Polars expressions: of texts, and of conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.export.trl import TrlConfig

_FIELDS = ("tool_calls", "tool_call_id", "name")
_CALLS = pl.List(
    pl.Struct(
        {
            "id": pl.String,
            "type": pl.String,
            "function": pl.Struct({"name": pl.String, "arguments": pl.String}),
        }
    )
)
_TYPES: Mapping[str, Any] = {"tool_calls": _CALLS, "tool_call_id": pl.String, "name": pl.String}


def has_turns(rows: pl.DataFrame, column: str | None) -> bool:
    """Say whether a table has a column of conversations, with one in it."""
    dtype = rows.schema.get(column or "")
    is_turns = isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)
    return is_turns and rows[str(column)].null_count() < rows.height


def conversations(rows: pl.DataFrame, words: TrlConfig) -> dict[str, pl.Expr]:
    """The columns of TRL's conversational formats, as expressions.

    Turns have `role` and `content`, and of `tool_calls`, `tool_call_id` and `name` those that some
    turn of the table has.
    """
    sides = ("chosen", "rejected") if words.kind == "preference" else ()
    columns = [words.messages, *(f"{side}_messages" for side in sides)]
    talks = [str(name) for name in columns if has_turns(rows, name)] if words.messages else []
    fields = [f for f in _FIELDS if any(_has_field(rows, name, f) for name in talks)]
    talk = _turns(rows, str(words.messages), fields) if words.messages in talks else None
    asked = _asked(rows, words.prompt, fields)
    if talk is not None:
        before = talk if sides else talk.list.head(talk.list.len() - 1)
        asked = pl.when(talk.is_not_null()).then(before).otherwise(asked)
    if words.system is not None:
        headed = pl.concat_list(_turn("system", pl.lit(words.system), fields), asked)
        is_headed = asked.list.first().struct.field("role") == "system"
        asked = pl.when(is_headed).then(asked).otherwise(headed)
    tools = {"tools": pl.col("tools")} if talks and _has_tools(rows) else {}
    if sides:
        answers = {
            side: _answer(rows, column, f"{side}_messages" if words.messages else "", fields)
            for side, column in zip(sides, (words.chosen, words.rejected), strict=True)
        }
        return {"prompt": asked, **answers, **tools}
    answer = _turn("assistant", pl.col(words.response), fields)
    if talk is not None:
        answer = pl.when(talk.is_not_null()).then(talk.list.tail(1)).otherwise(answer)
    if words.layout == "messages":
        return {"messages": pl.concat_list(asked, answer), **tools}
    return {"prompt": asked, "completion": answer, **tools}


def _has_tools(rows: pl.DataFrame) -> bool:
    return "tools" in rows.columns and rows["tools"].null_count() < rows.height


def _has_field(rows: pl.DataFrame, column: str, field: str) -> bool:
    inner: Any = rows.schema[column]
    if field not in {f.name for f in inner.inner.fields}:
        return False
    return bool(rows[column].explode().struct.field(field).is_not_null().any())


def _asked(rows: pl.DataFrame, column: str, fields: Sequence[str]) -> pl.Expr:
    if not isinstance(rows.schema[column], pl.List):
        return _turn("user", pl.col(column), fields)
    element = pl.element().struct
    bare = pl.struct(element.field("role"), element.field("content"), *_nulls(fields))
    return pl.col(column).list.eval(bare)


def _answer(rows: pl.DataFrame, column: str, talk: str, fields: Sequence[str]) -> pl.Expr:
    plain = _turn("assistant", pl.col(column), fields)
    if not has_turns(rows, talk):
        return plain
    turns = _turns(rows, talk, fields)
    return pl.when(turns.is_not_null()).then(turns).otherwise(plain)


def _turn(role: str, content: pl.Expr, fields: Sequence[str]) -> pl.Expr:
    return pl.concat_list(
        pl.struct(pl.lit(role).alias("role"), content.alias("content"), *_nulls(fields))
    )


def _nulls(fields: Sequence[str]) -> list[pl.Expr]:
    return [pl.lit(None, dtype=_TYPES[name]).alias(name) for name in fields]


def _turns(rows: pl.DataFrame, column: str, fields: Sequence[str]) -> pl.Expr:
    inner: Any = rows.schema[column]
    there = {field.name for field in inner.inner.fields}
    element = pl.element().struct
    own: dict[str, pl.Expr] = {
        name: element.field(name) if name in there else pl.lit(None, dtype=_TYPES[name])
        for name in fields
    }
    if "tool_calls" in own and "tool_calls" in there:
        call = pl.element().struct
        function = pl.struct(name=call.field("name"), arguments=call.field("arguments"))
        own["tool_calls"] = element.field("tool_calls").list.eval(
            pl.struct(id=call.field("id"), type=pl.lit("function"), function=function)
        )
    return pl.col(column).list.eval(
        pl.struct(
            element.field("role"),
            element.field("content"),
            *(expr.alias(name) for name, expr in own.items()),
        )
    )
