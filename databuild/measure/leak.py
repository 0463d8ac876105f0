"""measure.leak: does a text stand in another table, where it must not be known?"""

from __future__ import annotations

import polars as pl
from pydantic import Field

from databuild.engine.step import Reported, step
from databuild.recipe.options import FirstColumns, OtherColumns, StepConfig
from databuild.text.normal import compared

_FACTS = ("is_leaked", "leaked_in", "leaked_row_id")


class LeakConfig(StepConfig):
    """Options of `measure.leak`."""

    columns: FirstColumns = Field(default=("prompt",), min_length=1)
    """The columns of the first input to look for, each on its own."""
    in_columns: OtherColumns = ()
    """The columns of the other inputs to look in, any of them; the same as `columns` unless
    said."""


def _names(config: LeakConfig) -> tuple[str, ...]:
    return tuple(f"{column}_{fact}" for column in config.columns for fact in _FACTS)


def _reads(config: LeakConfig) -> tuple[str, ...]:
    return () if config.in_columns else config.columns


@step("measure.leak", kind="measure", sees="table", version=1, adds=_names, reads=_reads)
def measure_leaks(
    rows: pl.DataFrame, config: LeakConfig, against: pl.DataFrame, **others: pl.DataFrame
) -> Reported:
    """Say which rows have a text that stands in another input, such as a held-out part.

    Values are the same when their normal forms agree (NFKC, lower case, collapsed white space:
    `text.normal`). A null, and a text of white space alone, is never leaked. Near copies are not
    found here.

    Args:
        rows: n rows with `row_id` and `config.columns`.
        config: See `LeakConfig`.
        against: Rows that must not be known, with `config.in_columns`.
        others: More of them, under any name.

    Returns:
        n rows with `row_id` and, for each column `<c>`: `<c>_is_leaked: bool`; `<c>_leaked_in: str`
        (the input, `against` first, then by name) and `<c>_leaked_row_id: str` (the smallest such
        row there), both null where nothing is leaked. Facts: `leaked` (rows by column).

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": ["What is 2 + 2?", "Sing!"]})
        >>> exam = pl.DataFrame({"row_id": ["x"], "question": ["what is  2 + 2?"]})
        >>> config = LeakConfig(in_columns="question")
        >>> measure_leaks(rows, config, exam).table.select("row_id", "prompt_leaked_row_id").rows()
        [('a', 'x'), ('b', None)]
    """
    tables = {"against": against, **dict(sorted(others.items()))}
    known = pl.concat(
        table.select(
            form=compared(table, column),
            leaked_in=pl.lit(name),
            place=pl.lit(place),
            leaked_row_id="row_id",
        )
        for place, (name, table) in enumerate(tables.items())
        for column in config.in_columns or config.columns
    )
    first = (
        known.filter(pl.col("form").str.len_chars() > 0)
        .sort("place", "leaked_row_id")
        .unique("form", keep="first", maintain_order=True)
        .drop("place")
    )
    found = rows.select("row_id")
    for column in config.columns:
        looked_up = rows.select("row_id", form=compared(rows, column)).join(
            first, on="form", how="left"
        )
        told = looked_up.select(
            "row_id",
            pl.col("leaked_in").is_not_null().alias(f"{column}_is_leaked"),
            pl.col("leaked_in").alias(f"{column}_leaked_in"),
            pl.col("leaked_row_id").alias(f"{column}_leaked_row_id"),
        )
        found = found.join(told, on="row_id", how="left", maintain_order="left")
    leaked = {column: int(found[f"{column}_is_leaked"].sum()) for column in config.columns}
    return Reported(found, {"leaked": leaked})
