"""The different token n-grams of every row, as numbers: what coverage is counted with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.text.tokens import folded, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Grams:
    """Row r has the grams `ids[starts[r]:starts[r + 1]]`, rising and each once.

    Gram numbers are dense, from 0, in the order of their tokens: they depend on the texts alone.
    """

    starts: Ints
    ids: Ints
    n_grams: int

    @cached_property
    def lengths(self) -> Ints:
        """How many different grams each row has."""
        return np.diff(self.starts)

    def of(self, row: int) -> Ints:
        """The grams of one row."""
        return self.ids[self.starts[row] : self.starts[row + 1]]


def number_grams(rows: pl.DataFrame, columns: Sequence[str], n: int) -> Grams:
    """List the different runs of n tokens of every row, over several text columns.

    Tokens are those of `text.tokens` after NFKC and lower-casing. A run does not go from one column
    into the next. A text of fewer than n tokens has one gram of them all; null has none.

    Args:
        rows: N rows with the text columns.
        columns: Whose grams are put together.
        n: How many tokens make a gram, 1 or more.

    Cost:
        O(tokens * log(tokens)); about 60 bytes a token while it runs.

    Example:
        >>> found = number_grams(pl.DataFrame({"t": ["A b c", "b c", None]}), ["t"], 2)
        >>> [found.of(row).tolist() for row in range(3)], found.n_grams
        ([[0, 1], [1], []], 2)
    """
    row, token = _tokens(rows, columns)
    # A text ends where the row or the column changes: both are in `row`, one number a text.
    gram, width = token, int(token.max(initial=0)) + 1
    is_start = np.ones(len(token), dtype=bool)
    is_first = np.concatenate([[True], row[1:] != row[:-1]])[: len(token)]
    for step in range(1, n):
        is_same = np.zeros(len(token), dtype=bool)
        is_same[: max(len(token) - step, 0)] = row[step:] == row[: len(row) - step]
        following = np.zeros(len(token), dtype=np.int64)  # 0: there is no such token
        following[: max(len(token) - step, 0)] = token[step:]
        combined = gram * width + np.where(is_same, following, 0)
        gram = np.unique(combined, return_inverse=True)[1].astype(np.int64)
        is_start &= is_same
    keep = is_start | is_first
    gram, found = np.unique(gram[keep], return_inverse=True)
    n_grams = max(len(gram), 1)
    pairs = np.unique((row[keep] // max(len(columns), 1)) * n_grams + found)
    starts = np.searchsorted(pairs // n_grams, np.arange(rows.height + 1))
    return Grams(starts.astype(np.int64), pairs % n_grams, len(gram))


def _tokens(rows: pl.DataFrame, columns: Sequence[str]) -> tuple[Ints, Ints]:
    """The text (row * number of columns + column) and the number, from 1, of every token."""
    flat = pl.concat(
        rows.select(
            token=tokens(folded(pl.col(column).cast(pl.String))),
            text=pl.int_range(pl.len(), dtype=pl.Int64) * len(columns) + place,
        ).explode("token")
        for place, column in enumerate(columns)
    ).drop_nulls("token")
    numbered = flat.select("text", token=pl.col("token").rank("dense").cast(pl.Int64))
    return numbered["text"].to_numpy(), numbered["token"].to_numpy()
