"""Choose rows whose n-grams are the least alike: greedy coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.sample.centres import Chosen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from databuild.text.grams import Grams

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

HALVINGS = 20
"""A gram that so many chosen rows have is worth nothing more."""


def choose_covering(grams: Grams, take: int, weights_N: Floats, length_power: float) -> Chosen:
    """Choose `take` rows greedily; see `sample.diverse` for what a row is worth.

    Args:
        grams: The n-grams of N rows, in the order that decides between rows of equal worth.
        take: How many; fewer where fewer have a gram.
        weights_N: Multiplies what a row is worth.
        length_power: The power of its number of grams by which its worth is divided.

    Example:
        >>> from databuild.text.grams import number_grams
        >>> grams = number_grams(pl.DataFrame({"t": ["a b", "a b c", "x y"]}), ["t"], 1)
        >>> choose_covering(grams, 2, np.ones(3), 1.0).is_kept_N.tolist()
        [True, False, True]
    """
    is_known_N = grams.lengths > 0
    scale_N = weights_N / np.maximum(grams.lengths, 1) ** length_power
    order = _choose(grams, min(take, int(is_known_N.sum())), scale_N, is_known_N)
    is_kept_N = np.zeros(len(is_known_N), dtype=bool)
    is_kept_N[order] = True
    is_covered_G = _covered(grams, is_kept_N)
    drawn = np.flatnonzero(is_known_N)[: len(order)]
    is_drawn_N = np.zeros(len(is_known_N), dtype=bool)
    is_drawn_N[drawn] = True
    new_N = np.add.reduceat(
        np.append(~is_covered_G[grams.ids], [False]).astype(np.float64), grams.starts[:-1]
    ) if len(is_known_N) else np.zeros(0)  # fmt: skip
    ratio = pl.Series("new_ratio", new_N / np.maximum(grams.lengths, 1)).round(4)
    n_grams = max(grams.n_grams, 1)
    return Chosen(
        is_kept_N,
        is_known_N,
        ratio.to_frame().select(pl.struct("new_ratio").struct.json_encode()).to_series(),
        {
            "n_grams": grams.n_grams,
            "covered_ratio": round(float(is_covered_G.sum()) / n_grams, 4),
            "drawn_covered_ratio": round(float(_covered(grams, is_drawn_N).sum()) / n_grams, 4),
        },
    )


def _choose(grams: Grams, take: int, scale_N: Floats, is_known_N: Flags) -> list[int]:
    """The rows in the order in which they are chosen.

    What every row is worth is kept up to date: a choice lowers the worth of its grams, and so of
    the rows that have them, which an inverted index names. A gram is lowered `HALVINGS` times at
    most, so all updates together cost no more than that many passes over the grams. All worths are
    whole multiples of 2^-HALVINGS, which float64 adds and subtracts exactly.
    """
    by_gram = np.argsort(grams.ids, kind="stable")
    row_of = np.repeat(np.arange(len(scale_N)), grams.lengths)[by_gram]
    starts_G = np.searchsorted(grams.ids[by_gram], np.arange(grams.n_grams + 1))
    worth_N = grams.lengths.astype(np.float64)
    halved_G = np.zeros(grams.n_grams, dtype=np.int64)
    open_N = np.where(is_known_N, worth_N * scale_N, -1.0)
    chosen: list[int] = []
    for _ in range(take):
        row = int(np.argmax(open_N))
        open_N[row] = -1.0
        chosen.append(row)
        own = grams.of(row)
        for gram in own[halved_G[own] < HALVINGS]:
            having = row_of[starts_G[gram] : starts_G[gram + 1]]
            worth_N[having] -= _worth(int(halved_G[gram])) - _worth(int(halved_G[gram]) + 1)
            touched_R = having[open_N[having] >= 0]
            open_N[touched_R] = worth_N[touched_R] * scale_N[touched_R]
        halved_G[own] += 1
    return chosen


def _worth(halved: int) -> float:
    """What a gram is worth that so many chosen rows have."""
    return 0.0 if halved >= HALVINGS else 0.5**halved


def _covered(grams: Grams, is_kept_N: Flags) -> Flags:
    is_covered_G = np.zeros(grams.n_grams, dtype=bool)
    is_covered_G[grams.ids[np.repeat(is_kept_N, grams.lengths)]] = True
    return is_covered_G
