"""What a row is: every kind of row and every column, stated once.

`COLUMNS` says of each column what it holds, its type, range and words; `KINDS` says which columns a
kind has, and which of them are never null. The Polars schema (`schema_of`), the check of a table
(`check_rows`) and the JSON Schema files under `schemas/rows/` (`databuild.schema.published`) are
made from these two tables, so that they cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from databuild.errors import SchemaError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROLES = ("system", "user", "assistant", "tool")
STRENGTHS = ("significantly better", "better", "slightly better", "marginally better")
"""The four strengths of Llama 3 (arXiv:2407.21783, section 4.2.1), strongest first."""
VOTES = ("a", "b", "tie", "both_bad")

_TEXT = pl.String()
TOOL_CALL = pl.Struct({"id": _TEXT, "name": _TEXT, "arguments": _TEXT})
MESSAGE = pl.Struct(
    {
        "role": _TEXT,
        "content": _TEXT,
        "tool_calls": pl.List(TOOL_CALL),
        "tool_call_id": _TEXT,
        "name": _TEXT,
    }
)
MESSAGES = pl.List(MESSAGE)


@dataclass(frozen=True)
class Column:
    """A column: its name, type and meaning, and which of its values are allowed."""

    name: str
    type: pl.DataType
    about: str
    least: float | None = None
    most: float | None = None
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of row: `required` columns are never null, `optional` ones may be."""

    name: str
    about: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all its columns."""
        return (*self.required, *self.optional)


def _columns() -> Iterator[Column]:
    text, number = _TEXT, pl.Float64()
    yield Column("prompt", text, "What is asked; of a conversation, its last user turn.")
    yield Column(
        "response",
        text,
        "The answer without its reasoning; of a conversation, the text of its last assistant turn "
        "(of a turn that only calls tools, the calls as JSON text).",
    )
    yield Column(
        "messages",
        MESSAGES,
        "The whole conversation, authoritative where it is not null; without the answers that have "
        "columns of their own (chosen, rejected, response_a, response_b). Null where it is one "
        "user turn `prompt` and one assistant turn `response`, and nothing else. `content` is text "
        "and may be null beside tool calls; `arguments` is JSON text.",
    )
    yield Column("tools", text, "The tools that may be called, as JSON text.")
    yield Column("reasoning", text, "What stands inside the think tags of the last assistant turn.")
    yield Column("model", text, "Who answered.")
    yield Column("score", number, "How good the answer is, higher is better, in the source's unit.")
    yield Column(
        "rank", pl.Int64(), "Place among the answers to a prompt; equal is a tie.", least=0
    )
    yield Column(
        "ratings",
        pl.List(pl.Struct({"aspect": text, "rating": number, "rationale": text})),
        "Ratings by aspect, in the source's unit; null is not rated.",
    )
    yield Column("critique", text, "What a reader says of the answer.")
    yield Column("chosen", text, "The better answer; of several turns, the text of the last one.")
    yield Column("rejected", text, "The worse answer; of several turns, the text of the last one.")
    yield Column("edited", text, "The chosen answer as an annotator rewrote it: better than both.")
    for name in ("chosen", "rejected"):
        about = f"All turns of the {name} answer; null where it is one assistant turn of text."
        yield Column(f"{name}_messages", MESSAGES, about)
    for name in ("chosen", "rejected"):
        yield Column(f"{name}_score", number, f"The score of the {name} answer.")
    yield Column("margin", number, "How much better chosen is, in the unit of the scores.", least=0)
    yield Column("strength", text, "How much better chosen is, in words.", one_of=STRENGTHS)
    yield Column("weight", number, "How much the pair counts in graded training.", least=0)
    yield Column("agreement", number, "The share of annotators who say the same.", least=0, most=1)
    yield Column("label", pl.Boolean(), "True: the answer is wanted; false: it is not.")
    yield Column("annotator", text, "Who judged.")
    yield Column(
        "steps",
        pl.List(pl.Struct({"text": text, "rating": number})),
        "The steps of the answer; a rating is 1 (right), 0 (neutral), -1 (wrong), null (unknown).",
        least=-1,
        most=1,
    )
    yield Column("text", text, "The document.")
    yield Column("title", text, "Its title.")
    yield Column("url", text, "Where it was published.")
    yield Column("response_a", text, "The answer shown first.")
    yield Column("response_b", text, "The answer shown second.")
    yield Column("vote", text, "Which of the two is better.", one_of=VOTES)
    yield Column("model_a", text, "Who gave the answer shown first.")
    yield Column("model_b", text, "Who gave the answer shown second.")


COLUMNS: Mapping[str, Column] = {column.name: column for column in _columns()}
_TALK = ("messages", "tools")
_BY = ("reasoning", "model")
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("prompt", "A question without an answer.", ("prompt",), _TALK),
        Kind(
            "response",
            "One of several answers to a prompt, with what is known of how good it is.",
            ("prompt", "response"),
            (*_TALK, *_BY, "score", "rank", "ratings", "critique", "annotator"),
        ),
        Kind(
            "sft",
            "An answer to learn: one turn, with reasoning, or a conversation with system and "
            "tool turns.",
            ("prompt", "response"),
            (*_TALK, *_BY),
        ),
        Kind(
            "preference",
            "Two answers to one prompt, one better than the other.",
            ("prompt", "chosen", "rejected"),
            (
                *("edited", "messages", "tools", "chosen_messages", "rejected_messages"),
                *("chosen_score", "rejected_score", "margin", "strength"),
                *("weight", "agreement", "annotator"),
            ),
        ),
        Kind(
            "feedback",
            "One answer that was wanted or not.",
            ("prompt", "response", "label"),
            (*_TALK, *_BY, "annotator"),
        ),
        Kind(
            "steps",
            "An answer whose steps are judged one by one.",
            ("prompt", "response", "steps"),
            ("messages", "model"),
        ),
        Kind("document", "A plain text.", ("text",), ("title", "url")),
        Kind(
            "vote",
            "What one person said of two answers side by side.",
            ("prompt", "response_a", "response_b", "vote"),
            (*_TALK, "model_a", "model_b", "annotator"),
        ),
    )
}


def schema_of(kind: str) -> dict[str, pl.DataType]:
    """The columns of a kind with their Polars types; of `auto`, those of all kinds.

    Example:
        >>> schema_of("document")
        {'text': String, 'title': String, 'url': String}
    """
    names = COLUMNS if kind == "auto" else KINDS[kind].columns
    return {name: COLUMNS[name].type for name in names}


def check_rows(rows: pl.DataFrame, kind: str) -> pl.Series:
    """Say of every row what makes it no row of this kind, null where nothing does.

    Columns that the kind does not know are left alone.

    Raises:
        SchemaError: There is no such kind, a column that is never null is missing, or a column has
            another type.

    Example:
        >>> rows = pl.DataFrame({"prompt": ["Hi", None], "response": ["Hello.", "Bye."]})
        >>> check_rows(rows, "sft").to_list()
        [None, 'prompt is null']
    """
    found = _known(kind)
    missing = [name for name in found.required if name not in rows.columns]
    if missing:
        what = f"a table of {kind} rows needs the column {missing[0]!r}; it has {rows.columns}"
        raise SchemaError("schema", what, fix="add the column")
    present = [COLUMNS[name] for name in found.columns if name in rows.columns]
    for column in present:
        dtype = rows.schema[column.name]
        if dtype != column.type and (dtype != pl.Null or column.name in found.required):
            what = (
                f"the column {column.name!r} is {dtype}, a table of {kind} rows has {column.type}"
            )
            raise SchemaError("schema", what, fix="cast the column")
    typed = [column for column in present if rows.schema[column.name] == column.type]
    checks = [check for column in typed for check in _checks(column, found)]
    return rows.select(fault=pl.coalesce(*checks, pl.lit(None, dtype=_TEXT))).to_series()


def _checks(column: Column, kind: Kind) -> Iterator[pl.Expr]:
    """Expressions that are null where a column is as it should be, and else say what is wrong."""
    value = pl.col(column.name)
    if column.name in kind.required:
        yield pl.when(value.is_null()).then(pl.lit(f"{column.name} is null"))
    if column.one_of:
        words = " | ".join(column.one_of)
        told = pl.format(f"{column.name} is '{{}}', not {words}", value)
        yield pl.when(~value.is_in(column.one_of)).then(told)
    if column.type == pl.Float64:
        bad = value.is_nan() | value.is_infinite()
        yield pl.when(bad).then(pl.lit(f"{column.name} is no finite number"))
    if column.least is not None:
        yield from _ranges(column, value)
    if column.type == MESSAGES:
        role = pl.element().struct.field("role")
        odd = value.list.eval(~role.is_in(ROLES) | role.is_null()).list.any()
        yield pl.when(odd).then(pl.lit(f"{column.name} has a role that is none of {list(ROLES)}"))


def _ranges(column: Column, value: pl.Expr) -> Iterator[pl.Expr]:
    low, high = column.least, column.most
    words = f"below {low:g}" if high is None else f"outside of [{low:g}, {high:g}]"
    if isinstance(column.type, pl.List):
        value = value.list.eval(pl.element().struct.field("rating"))
        low_found, high_found = value.list.min(), value.list.max()
    else:
        low_found = high_found = value
    odd = low_found < low
    if high is not None:
        odd = odd | (high_found > high)
    yield pl.when(odd).then(pl.lit(f"{column.name} is {words}"))


def _known(kind: str) -> Kind:
    if kind not in KINDS:
        what = f"no kind of row is called {kind!r}; {nearest(kind, KINDS)}"
        raise SchemaError("schema", what, fix="correct the name")
    return KINDS[kind]
