"""The order in which rows are drawn, the same for every step that draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from xxhash import xxh3_64_intdigest

from databuild.text.ranking import known_value

if TYPE_CHECKING:
    from collections.abc import Iterable


def draws(names: Iterable[str], seed: int) -> pl.Series:
    """XXH3-64 of the seed and each name: a draw that neither order nor machine can change.

    Example:
        >>> draws(["a", "b"], seed=1).to_list() == draws(["b", "a"], seed=1).to_list()[::-1]
        True
    """
    # One call of a C function per name: Polars' own hash changes between its versions.
    hashes = [xxh3_64_intdigest(f"{seed}\x1f{name}".encode()) for name in names]
    return pl.Series("draw", hashes, dtype=pl.UInt64)


def in_drawn_order(rows: pl.DataFrame, seed: int, prefer: str | None = None) -> pl.DataFrame:
    """Sort rows by `prefer`, highest first (null and NaN last), then by their draw.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b", "c"], "q": [1, 3, None]})
        >>> in_drawn_order(rows, 7, "q")["row_id"].to_list()
        ['b', 'a', 'c']
    """
    drawn = rows.with_columns(draws(rows["row_id"], seed).alias("_draw"))
    best = [] if prefer is None else [known_value(rows, prefer)]
    order = [*best, pl.col("_draw"), pl.col("row_id")]
    descending = [*(True for _ in best), False, False]
    return drawn.sort(order, descending=descending, nulls_last=True).drop("_draw")
