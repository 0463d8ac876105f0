"""sample.parts: parts that a column already names."""

from __future__ import annotations

import polars as pl
from pydantic import Field

from databuild.engine.step import DROPPED, step
from databuild.recipe.options import Column, Names, StepConfig


class PartsConfig(StepConfig):
    """Options of `sample.parts`."""

    column: Column = "split"
    """The column whose value names the part of a row."""
    parts: Names = Field(min_length=1)
    """The values that are kept, each as a part of that name."""


@step("sample.parts", kind="select", sees="row", version=1, parts=lambda config: config.parts)
def select_parts(rows: pl.DataFrame, config: PartsConfig) -> pl.DataFrame:
    """Put every row into the part that a column names; rows with another value are dropped.

    Args:
        rows: n rows with `row_id` and `config.column`.
        config: See `PartsConfig`.

    Returns:
        n rows with `row_id`, `part` and `reason` (the value that names no part).

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b", "c"], "split": ["dev", "old", None]})
        >>> select_parts(rows, PartsConfig(parts=("train", "dev"))).rows()
        [('a', 'dev', None), ('b', 'dropped', 'split is old'), ('c', 'dropped', 'split is null')]
    """
    value = pl.col(config.column).cast(pl.String)
    is_kept = value.is_in(config.parts).fill_null(value=False)
    reason = pl.concat_str(pl.lit(f"{config.column} is "), value.fill_null("null"))
    return rows.select(
        "row_id",
        part=pl.when(is_kept).then(value).otherwise(pl.lit(DROPPED)),
        reason=pl.when(~is_kept).then(reason),
    )
