"""Which of several rows is the best: one order for every step that must choose."""

from __future__ import annotations

import polars as pl


def best_first(rows: pl.DataFrame, prefer: str | None) -> pl.DataFrame:
    """Sort by `prefer`, highest first, then by `row_id`.

    The order of the input cannot change this one. A null or NaN never wins: it comes after
    every number. True comes before False.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["d", "c", "b"], "q": [1.0, 2.0, float("nan")]})
        >>> best_first(rows, "q")["row_id"].to_list()
        ['c', 'd', 'b']
    """
    if prefer is None:
        return rows.sort("row_id")
    return rows.sort(known_value(rows, prefer), "row_id", descending=[True, False], nulls_last=True)


def known_value(rows: pl.DataFrame, column: str) -> pl.Expr:
    """A column of any type in which NaN is null."""
    value = pl.col(column)
    return value.fill_nan(None) if rows.schema[column].is_float() else value


def known_score(column: str) -> pl.Expr:
    """A score column as Float64 in which NaN is null: a scorer that returns NaN has not scored.

    Example:
        >>> rows = pl.DataFrame({"s": [1.0, float("nan")]})
        >>> rows.select(known_score("s"))["s"].to_list()
        [1.0, None]
    """
    return pl.col(column).cast(pl.Float64).fill_nan(None)


def origin_rank(column: str | None, prefer: tuple[str, ...]) -> pl.Expr:
    """The place of an origin in `prefer`, its length for others; 0 without a column.

    Example:
        >>> rows = pl.DataFrame({"o": ["edited", "sampled", "human", None]})
        >>> rows.select(origin_rank("o", ("sampled", "edited")))["o"].to_list()
        [1, 0, 2, 2]
    """
    if column is None:
        return pl.lit(0, dtype=pl.Int64)
    places = {origin: place for place, origin in enumerate(prefer)}
    return pl.col(column).replace_strict(places, default=len(prefer), return_dtype=pl.Int64)
