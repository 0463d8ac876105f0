"""The texts that a dedup step compares, read part by part from the columns of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from databuild.errors import SchemaError, StepError
from databuild.text.conversations import with_context

if TYPE_CHECKING:
    from databuild.engine.parts import Parts

SMALL = 5_000
"""Of a table of fewer rows nothing is kept through a kill: they are quicker signed again."""


@dataclass(frozen=True)
class Compared:
    """One text per row, with `id`, and `prefer` where a column says which row is the better one."""

    rows: Parts
    columns: tuple[str, ...]
    messages: str | None
    prefer: str | None = None
    where: str = "dedup.minhash"

    @property
    def n_parts(self) -> int:
        """How many parts there are."""
        return self.rows.n_parts

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.rows.n_rows

    def read(self, index: int) -> pl.DataFrame:
        """Read one part: `id`, `text` and, where asked for, `prefer`."""
        there = [self.messages] if self.messages in self.rows.columns else []
        named = [*self.columns, *there, *([self.prefer] if self.prefer else [])]
        rows = self.rows.part(index, *[name for name in named if name is not None])
        text = compared(rows, self.columns, self.messages, self.where)
        prefer = [pl.col(self.prefer).alias("prefer")] if self.prefer else []
        return rows.select(pl.col("row_id").alias("id"), text.alias("text"), *prefer)


def compared(
    rows: pl.DataFrame, columns: tuple[str, ...], messages: str | None, where: str
) -> pl.Expr:
    r"""The columns as one text; the prompt of a conversation after the turns before it.

    Null where all columns are.

    Raises:
        SchemaError: A column is not text.

    Example:
        >>> rows = pl.DataFrame({"a": ["x", None], "b": ["y", None]})
        >>> rows.select(compared(rows, ("a", "b"), None, "here")).to_series().to_list()
        ['x\n\ny', None]
    """
    for name in columns:
        check_text(rows.schema[name], name, where)
    texts = [with_context(rows, c, messages if c == "prompt" else None) for c in columns]
    named = [text.cast(pl.String).alias(f"\0{n}") for n, text in enumerate(texts)]
    if len(named) == 1:
        return named[0]
    joined = pl.concat_str(named, separator="\n\n", ignore_nulls=True)
    return pl.when(pl.any_horizontal(pl.col(columns).is_not_null())).then(joined)


def check_text(dtype: pl.DataType, column: str, where: str) -> None:
    """Refuse a column that is not text.

    Raises:
        SchemaError: It is of another type.
    """
    if dtype not in {pl.String, pl.Categorical, pl.Enum, pl.Null}:
        what = f"the column {column!r} is of type {dtype}, not text"
        raise SchemaError(where, what, fix="name a text column, or turn this one into text before")


def check_names(earlier: dict[str, Parts], where: str) -> None:
    """Refuse too many earlier tables: which one a row came from is kept in 16 bits.

    Raises:
        StepError: There are more than 1,000.
    """
    if len(earlier) > 1_000:
        what = f"{len(earlier)} earlier inputs are more than 1,000"
        raise StepError(where, what, fix="mix them into one table first")
