"""Whole columns of records as rows at once, where reading them one by one would give the same.

Two shapes are read so: one text asked and one answered, in columns of their own (Alpaca and other
pairs), and a column of conversations whose turns are two texts (OpenAI, ShareGPT). A record that is
anything more, or faulty, is left for the reader of single records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.schema.rows import MESSAGE
from databuild.text.formats.fields import ANSWERS, INPUTS, PROMPTS, TALKS
from databuild.text.formats.registry import AUTO, INERT, NAMES
from databuild.text.formats.turns import ROLE_OF
from databuild.text.formats.values import BLANKS, json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databuild.ingest.plan import Plan

_SCALARS = ("str", "bool", "int")
_SPELLINGS = ({"role", "content"}, {"from", "value"})
# What JSON text cannot hold as it is, and how Python's encoder writes it.
_ESCAPED = r'["\\\x00-\x1f]'
_ESCAPES = {c: json_text(c)[1:-1] for c in ['"', "\\", *map(chr, range(32))]}
_CODES = {"system": 0, "user": 1, "assistant": 2}
_SYSTEM, _USER, _ASSISTANT, _UNKNOWN = 0, 1, 2, 9
# Rust's engine spells a character of a class as \x{00a0}.
_BLANKS = re.sub(r"\\u([0-9a-f]{4})", r"\\x{\1}", BLANKS)


def reads_alike(shapes: Mapping[str, Any]) -> bool:
    """Say whether Arrow, which gives a column one type, leaves every value as it is.

    It does with texts, whole numbers and truth values; with fractions 1 would become 1.0, and in
    objects a missing key would become null. Turns of two texts are safe: there null is missing.
    """
    return all(
        shape in _SCALARS or (name in TALKS and _are_turns(shape)) for name, shape in shapes.items()
    )


def _are_turns(shape: Any) -> bool:
    inner = shape.get("list") if isinstance(shape, dict) else None
    fields = inner.get("struct") if isinstance(inner, dict) else None
    return fields is not None and set(fields) in _SPELLINGS and set(fields.values()) == {"str"}


@dataclass(frozen=True)
class _Table:
    """A table, the names that formats know of its columns, and the columns beside them."""

    frame: pl.DataFrame
    plan: Plan
    named: Mapping[str, str]

    def known(self, *groups: tuple[str, ...]) -> list[str] | None:
        """The names that matter, if all are of these groups."""
        found = [name for name in self.named if name in NAMES and name not in INERT]
        wanted = {name for group in groups for name in group}
        return found if set(found) <= wanted else None

    def rows(self, used: list[str], plain: pl.Expr, own: Mapping[str, Any]) -> pl.DataFrame | None:
        """The rows of the records that are `plain`; None where what is left over is not simple."""
        names = {self.named[name] for name in used}
        rest = [c for c in self.frame.columns if c not in names]
        if self.plan.is_carried:
            rest = [c for c in rest if c in self.plan.schema]
        types = {self.frame.schema[c] for c in rest}
        if not types <= {pl.String(), pl.Boolean(), pl.Int64()}:
            return None
        picked = self.frame.with_row_index("\0number").filter(plain)
        told = {**own, "row_kind": pl.lit("sft"), "repaired_chars": pl.lit(0)}
        rows = picked.select(
            **{
                name: told.get(name, pl.lit(None)).cast(dtype)
                for name, dtype in self.plan.schema.items()
            },
            number=pl.col("\0number").cast(pl.Int64),
        )
        if not rest:
            return rows
        return rows.with_columns(left_over(picked.select(rest)).alias("extra"))


def left_over(rest: pl.DataFrame) -> pl.Series:
    r"""The values of each row as JSON text, exactly as `Plan.left_over` writes them one by one.

    Texts, truth values and whole numbers only; null where a row has none.

    Example:
        >>> left_over(pl.DataFrame({"b": ["say\t\"é\"", None], "a": [1, None]})).to_list()
        ['{"a": 1, "b": "say\\t\\"é\\""}', None]
    """
    said = [name for name in sorted(rest.columns) if rest[name].null_count() < rest.height]
    if not said:
        return pl.repeat(None, rest.height, dtype=pl.String, eager=True)
    pieces = []
    for name in said:
        key, value = f"{json_text(name)}: ", pl.col(name)
        if rest.schema[name] == pl.String:
            if rest[name].str.contains(_ESCAPED).any():
                value = value.str.replace_many(_ESCAPES)
            pieces.append(pl.concat_str(pl.lit(f'{key}"'), value, pl.lit('"')))
        else:
            pieces.append(pl.concat_str(pl.lit(key), value.cast(pl.String)))
    joined = pl.concat_str(pieces, separator=", ", ignore_nulls=True)
    whole = pl.concat_str(pl.lit("{"), joined, pl.lit("}"))
    return rest.select(
        pl.when(pl.any_horizontal(pl.col(said).is_not_null())).then(whole)
    ).to_series()


def columns_at_once(frame: pl.DataFrame, plan: Plan) -> pl.DataFrame | None:
    """Read the records that are plain; None where the columns are of no shape that is read so.

    Returns:
        Rows with the columns of the plan and `number`, that of their record from 0.
    """
    if plan.kind not in {AUTO, "sft"} or frame.is_empty():
        return None
    names = {source: name for name, source in plan.columns.items()} or {n: n for n in frame.columns}
    table = _Table(frame, plan, {names[c]: c for c in frame.columns if c in names})
    return _talks(table) if any(name in table.named for name in TALKS) else _pairs(table)


def _pairs(table: _Table) -> pl.DataFrame | None:
    known = table.known(PROMPTS, ANSWERS, INPUTS)
    if known is None or any(table.frame.schema[table.named[n]] != pl.String for n in known):
        return None
    asked, answers, inputs = ([n for n in g if n in known] for g in (PROMPTS, ANSWERS, INPUTS))
    asked = [name for name in asked if name not in inputs] or asked
    inputs = [name for name in inputs if name not in asked]
    if not (len(asked) == len(answers) == 1 and len(inputs) <= 1):
        return None
    question, answer = (pl.col(table.named[names[0]]) for names in (asked, answers))
    prompt = question
    if inputs:
        added = pl.col(table.named[inputs[0]])
        joined = pl.concat_str(question, added, separator="\n\n")
        prompt = pl.when(_is_said(added)).then(joined).otherwise(question)
    # What may be a conversation or reasoning is looked at record by record.
    plain = _is_said(question) & _is_said(answer) & ~question.str.contains(r"^\s*[\[{]")
    plain = plain & ~answer.str.contains(r"^\s*(?:[\[{]|<think>)")
    form = pl.lit(_name(asked[0], answers[0]))
    own = {"prompt": prompt, "response": answer, "source_format": form}
    return table.rows(known, plain, own)


def _talks(table: _Table) -> pl.DataFrame | None:
    known = table.known(TALKS)
    if known is None or len(known) != 1:
        return None
    column = table.named[known[0]]
    dtype: Any = table.frame.schema[column]
    if not (isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)):
        return None
    types = {field.name: field.dtype for field in dtype.inner.fields}
    if set(types) not in _SPELLINGS or set(types.values()) != {pl.String()}:
        return None
    role, content = ("from", "value") if "from" in types else ("role", "content")
    plain_R, has_more_R = _plain_talks(table.frame[column], role, content)
    element = pl.element().struct
    turns = pl.col(column).list.eval(
        pl.struct(
            element.field(role).replace_strict(ROLE_OF, default=None).alias("role"),
            element.field(content).alias("content"),
            *(pl.lit(None, dtype=f.dtype).alias(f.name) for f in MESSAGE.fields[2:]),
        )
    )
    said = pl.col(column).list
    own = {
        "prompt": said.get(-2, null_on_oob=True).struct.field(content),
        "response": said.get(-1, null_on_oob=True).struct.field(content),
        "messages": pl.when(pl.lit(pl.Series(has_more_R[plain_R]))).then(turns),
        "source_format": pl.lit("sharegpt" if role == "from" else "openai"),
    }
    return table.rows(known, pl.lit(pl.Series(plain_R)), own)


def _plain_talks(talks: pl.Series, role: str, content: str) -> tuple[Any, Any]:
    """Which conversations are plain and in order, and which are more than a question and answer."""
    lengths_R = talks.list.len().fill_null(0).to_numpy().astype(np.int64)
    flat = talks.filter(pl.Series(lengths_R > 0)).explode().struct
    roles = flat.field(role).replace_strict(_CODE_OF, default=_UNKNOWN, return_dtype=pl.Int8)
    texts = flat.field(content).to_frame("text")
    said_T = texts.select(_is_said(pl.col("text"))).to_series().to_numpy()
    thinks = pl.col("text").str.contains(r"^\s*<think>").fill_null(value=True)
    roles_T, thinks_T = roles.to_numpy(), texts.select(thinks).to_series().to_numpy()
    plain_R, has_system_R = lengths_R > 1, np.zeros(len(lengths_R), dtype=bool)
    there = np.flatnonzero(lengths_R)
    if not len(there):
        return plain_R, has_system_R
    lengths_F = lengths_R[there]
    starts_F = np.cumsum(lengths_F) - lengths_F
    has_system_F = roles_T[starts_F] == _SYSTEM
    place_T = np.arange(len(roles_T)) - np.repeat(starts_F + has_system_F, lengths_F)
    wanted_T = np.where(place_T % 2 == 0, _USER, _ASSISTANT)
    wanted_T[place_T < 0] = _SYSTEM
    fine_F = np.logical_and.reduceat((roles_T == wanted_T) & said_T, starts_F)
    ends_F = starts_F + lengths_F - 1
    is_answered_F = (lengths_F > has_system_F + 1) & (roles_T[ends_F] == _ASSISTANT)
    plain_R[there] &= fine_F & is_answered_F & ~thinks_T[ends_F]
    has_system_R[there] = has_system_F
    return plain_R, has_system_R | (lengths_R > 2)


_CODE_OF = {word: _CODES[role] for word, role in ROLE_OF.items() if role in _CODES}


def _is_said(text: pl.Expr) -> pl.Expr:
    """Say whether a text has anything visible; see `text.formats.values.is_blank`."""
    return text.str.contains(f"[^{_BLANKS}]").fill_null(value=False)


def _name(asked: str, answer: str) -> str:
    if (asked, answer) == ("prompt", "completion"):
        return "trl"
    return "alpaca" if asked == "instruction" else "pair"
