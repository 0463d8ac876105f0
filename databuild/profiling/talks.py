"""Conversations and preference pairs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.profiling.facts import Conversation, Pairs, Spread
from databuild.profiling.flags import strata_of
from databuild.profiling.gather import as_text, contents, joined, message_fields
from databuild.profiling.spread import spread_of
from databuild.text.normal import normal_forms

if TYPE_CHECKING:
    from databuild.profiling.table import Table

_TOOLS = ("tool", "function", "observation", "function_call", "tool_call", "assistant_tool_call")


class Talks:
    """A column of messages."""

    bytes_per_row = 4

    def __init__(self, table: Table, column: str) -> None:
        self.column = column
        self.reads = (column,)
        self._fields = message_fields(table.schema[column]) or ("role", "content")
        inner: Any = table.schema[column].inner  # type: ignore[attr-defined]
        self._types = {field.name: field.dtype for field in inner.fields}
        self._turns: list[pl.Series] = []
        self._roles: Counter[str | None] = Counter()
        self._last: Counter[str | None] = Counter()
        self._n: Counter[str] = Counter()

    def add(self, part: pl.DataFrame) -> None:
        """Look at one part."""
        talks = part.select(pl.col(self.column).alias("m")).with_row_index("row")
        turns = talks["m"].list.len().fill_null(0)
        self._turns.append(turns.filter(turns > 0))
        self._n["empty"] += int((turns == 0).sum())
        said = talks.filter(pl.col("m").list.len() > 0).explode("m")
        if said.is_empty():
            return
        said = said.select("row", *self._facts())
        for role, n in said["role"].value_counts(name="n").iter_rows():
            self._roles[role] += n
        role, is_same_row = pl.col("role"), pl.col("row") == pl.col("row").shift(1)
        is_twice = is_same_row & (role == role.shift(1)) & ~role.is_in(_TOOLS)
        by_row = (
            said.with_columns(twice=is_twice.fill_null(value=False))
            .group_by("row", maintain_order=True)
            .agg(
                pl.col("role").last().alias("last"),
                *(pl.col(name).any() for name in ("system", "tools", "blank", "twice")),
            )
        )
        for value, n in by_row["last"].value_counts(name="n").iter_rows():
            self._last[value] += n
        for name in ("system", "tools", "blank", "twice"):
            self._n[name] += int(by_row[name].sum())

    def _facts(self) -> list[pl.Expr]:
        """Of each message its role, and whether it has what is counted."""
        role_name, content_name = self._fields
        message = pl.col("m").struct
        role = as_text(message.field(role_name), self._types[role_name])
        content = as_text(message.field(content_name), self._types[content_name])
        calls = pl.lit(value=False)
        for name in ("tool_calls", "function_call"):
            if name in self._types:
                calls = calls | _is_filled(message.field(name), self._types[name])
        return [
            role.alias("role"),
            (role == "system").fill_null(value=False).alias("system"),
            (role.is_in(_TOOLS).fill_null(value=False) | calls).alias("tools"),
            (~content.fill_null("").str.contains(r"\S") & ~calls).alias("blank"),
        ]

    @property
    def turns(self) -> pl.Series:
        """Messages of each row that has any."""
        return joined(self._turns, pl.UInt32)

    def fact(self, turns: Spread | None = None) -> Conversation:
        """What was found out."""
        n = self.turns.len()
        return Conversation(
            column=self.column,
            n=n,
            n_empty=self._n["empty"],
            turns=turns or spread_of(self.turns),
            roles=strata_of("role", self._roles).cells,
            last_roles=strata_of("role", self._last).cells,
            n_with_system=self._n["system"],
            n_with_tools=self._n["tools"],
            n_blank_turns=self._n["blank"],
            n_same_role_twice=self._n["twice"],
        )


def _is_filled(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.List):
        return (value.list.len() > 0).fill_null(value=False)
    if dtype == pl.String:
        return value.str.contains(r"[^\s\[\]]").fill_null(value=False)
    return value.is_not_null()


class Chosen:
    """The columns `chosen` and `rejected`."""

    reads: tuple[str, ...] = ("chosen", "rejected")
    bytes_per_row = 8

    def __init__(self, table: Table) -> None:
        self._types = {name: table.schema[name] for name in self.reads}
        self._ratios: list[pl.Series] = []
        self._n: Counter[str] = Counter()

    def add(self, part: pl.DataFrame) -> None:
        """Look at one part."""
        both = part.select(
            contents(name, self._types[name]).alias(name) for name in self.reads
        ).drop_nulls()
        if both.is_empty():
            return
        chosen, rejected = both["chosen"], both["rejected"]
        long, short = chosen.str.len_chars(), rejected.str.len_chars()
        self._n["all"] += both.height
        self._n["equal"] += int((chosen == rejected).sum())
        self._n["normal"] += int((normal_forms(chosen) == normal_forms(rejected)).sum())
        self._n["chosen"] += int((long > short).sum())
        self._n["rejected"] += int((long < short).sum())
        self._ratios.append((long / short).filter(short > 0))

    @property
    def ratios(self) -> pl.Series:
        """The ratio of lengths of each pair."""
        return joined(self._ratios, pl.Float64)

    def fact(self, ratio: Spread | None = None) -> Pairs:
        """What was found out."""
        return Pairs(
            n=self._n["all"],
            n_equal=self._n["equal"],
            n_normal_equal=self._n["normal"],
            n_chosen_longer=self._n["chosen"],
            n_rejected_longer=self._n["rejected"],
            length_ratio=ratio or spread_of(self.ratios),
        )


def has_pairs(table: Table) -> bool:
    """Whether a table has pairs of texts, or of conversations."""
    types = [table.schema.get(name) for name in Chosen.reads]
    return all(t is not None and (t == pl.String or message_fields(t)) for t in types)
