"""Which of several rows is the best: one order for every step that must choose."""

from __future__ import annotations

import polars as pl


def best_first(rows: pl.DataFrame, prefer: str | None) -> pl.DataFrame:
    """Sort by `prefer`, highest first, then by `row_id`: an order that the input's order cannot change.

    A null or NaN never wins: it comes after every number. True comes before False.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["d", "c", "b", "a"], "q": [1.0, 2.0, float("nan"), None]})
        >>> best_first(rows, "q")["row_id"].to_list()
        ['c', 'd', 'a', 'b']
    """
    if prefer is None:
        return rows.sort("row_id")
    value = pl.col(prefer)
    if rows.schema[prefer].is_float():
        value = value.fill_nan(None)
    return rows.sort(value, "row_id", descending=[True, False], nulls_last=True)
