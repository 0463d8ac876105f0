"""Keep vectors that lie apart: each is compared with the better ones that are kept already.

The decision never hangs on float32: a matrix product finds the pairs that may be similar, with a
margin for its rounding, and float64 decides them one by one, always in the same order of sums. So
the size of a block, the threads and the machine's BLAS do not change what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Places = NDArray[np.int64]
    Floats = NDArray[np.float64]

BLOCK, _TILE, _PAIRS = 2_048, 8_192, 16_384
"""Rows that are compared at once, with how many kept ones, and pairs that float64 looks at at once:
temporary memory is about 4 * BLOCK * _TILE + 24 * _PAIRS * d bytes (200 MB at d = 384)."""


class Index(Protocol):
    """Finds kept vectors that are probably near; exactness is not its matter."""

    def add(self, vectors_ND: Vectors) -> None:
        """Take in further kept vectors; they are numbered in the order in which they come."""

    def near(self, vectors_ND: Vectors) -> Places:
        """For each row the numbers of the probably nearest kept vectors; -1 where there is none."""


@dataclass(frozen=True)
class Apart:
    """For every vector the place of the kept one that stands for it, its own where it is kept."""

    kept_N: Places
    cosine_N: Floats
    """The cosine to that one; 1 where it is the vector itself."""


def unit_rows(vectors_ND: NDArray[np.floating]) -> tuple[Vectors, NDArray[np.bool_]]:
    """Scale the rows of a float32 matrix to length 1, in place; say which rows have a direction.

    A row with a number that is not finite, and a row of length 0, have none and become zero.

    Example:
        >>> unit, has = unit_rows(np.array([[3, 4], [0, 0], [np.nan, 1]], dtype=np.float32))
        >>> unit.astype(float).round(3).tolist(), has.tolist()
        ([[0.6, 0.8], [0.0, 0.0], [0.0, 0.0]], [True, False, False])
    """
    has_N = np.zeros(len(vectors_ND), dtype=np.bool_)
    for start in range(0, len(vectors_ND), _TILE):
        piece_ND = vectors_ND[start : start + _TILE]
        lengths_N = np.sqrt(np.square(piece_ND, dtype=np.float64).sum(axis=1))
        is_usable_N = np.isfinite(lengths_N) & (lengths_N > 0)
        piece_ND[~is_usable_N] = 0
        piece_ND /= np.where(is_usable_N, lengths_N, 1)[:, None]
        has_N[start : start + _TILE] = is_usable_N
    return vectors_ND, has_N


def keep_apart(
    vectors_ND: Vectors,
    threshold: float,
    *,
    n_earlier: int = 0,
    index: Index | None = None,
    tick: Callable[[int], None] = lambda _n: None,
    block: int = BLOCK,
) -> Apart:
    """Visit vectors from the best to the worst; keep one unless a kept one before it is similar.

    A vector that is not kept is stood for by the kept one before it with the highest cosine; of
    equal cosines by the first.

    Args:
        vectors_ND: Unit vectors, best first. The matrix is used up: kept rows move to its front.
        threshold: Cosine from which on two vectors are similar, in (0, 1].
        n_earlier: So many first ones are kept in any case, however similar they are.
        index: Proposes kept vectors in place of comparing with all of them. What it proposes is
            verified like the rest; what it misses stays in.
        tick: Told of every block that is done.
        block: How many are compared at once; without an index it does not change the result.

    Cost:
        n * kept * d multiply-adds, and no copy of the matrix.

    Example:
        >>> rows = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8]], dtype=np.float32)
        >>> found = keep_apart(rows, 0.9)
        >>> found.kept_N.tolist(), found.cosine_N.round(2).tolist()
        ([0, 1, 1], [1.0, 1.0, 0.96])
    """
    state = _State(vectors_ND, threshold)
    if index is not None and n_earlier:
        index.add(vectors_ND[:n_earlier])
    state.n_kept = n_earlier
    state.places_K[:n_earlier] = np.arange(n_earlier)
    for start in range(n_earlier, len(vectors_ND), block):
        block_BD = vectors_ND[start : start + block].copy()
        best = _Best(start, len(block_BD))
        if index is None:
            state.compare_with_all(block_BD, best)
        elif state.n_kept:
            state.compare_with(block_BD, index.near(block_BD), best)
        new_B = state.settle(block_BD, best)
        if index is not None:
            index.add(block_BD[new_B])
        tick(len(block_BD))
    return Apart(state.kept_N, state.cosine_N)


class _Best:
    """The most similar kept vector of every row of a block so far: verified, similar enough."""

    def __init__(self, start: int, n: int) -> None:
        self.start = start
        self.cosine_B = np.full(n, -1.0)
        self.place_B = np.full(n, -1, dtype=np.int64)

    def take(self, rows_P: Places, places_P: Places, cosines_P: Floats) -> None:
        """Take verified pairs in; of equal cosines the first place wins."""
        order_P = np.lexsort((places_P, -cosines_P, rows_P))
        rows_P, places_P, cosines_P = rows_P[order_P], places_P[order_P], cosines_P[order_P]
        is_first_P = np.ones(len(rows_P), dtype=bool)
        is_first_P[1:] = rows_P[1:] != rows_P[:-1]
        row, place, cosine = rows_P[is_first_P], places_P[is_first_P], cosines_P[is_first_P]
        is_better = (cosine > self.cosine_B[row]) | (
            (cosine == self.cosine_B[row]) & (place < self.place_B[row])
        )
        self.cosine_B[row[is_better]] = cosine[is_better]
        self.place_B[row[is_better]] = place[is_better]


class _State:
    """What is kept so far: the first `n_kept` rows of the matrix, and where they stood."""

    def __init__(self, vectors_ND: Vectors, threshold: float) -> None:
        n = len(vectors_ND)
        self.vectors_ND, self.threshold, self.n_kept = vectors_ND, threshold, 0
        self.margin = _margin(vectors_ND)
        self.places_K = np.zeros(n, dtype=np.int64)
        self.kept_N = np.arange(n, dtype=np.int64)
        self.cosine_N = np.ones(n)

    def compare_with_all(self, block_BD: Vectors, best: _Best) -> None:
        """Compare a block with everything that is kept."""
        for start in range(0, self.n_kept, _TILE):
            tile_KD = self.vectors_ND[start : min(start + _TILE, self.n_kept)]
            similar_BK = block_BD @ tile_KD.T
            most_B = similar_BK.max(axis=1)
            rows = np.flatnonzero(most_B >= self.threshold - self.margin)
            # Only what may be the most similar one is worth a second look.
            floor = np.maximum(self.threshold, most_B[rows] - self.margin) - self.margin
            row, kept = np.nonzero(similar_BK[rows] >= floor[:, None])
            self._verify(block_BD, rows[row], kept + start, best)

    def compare_with(self, block_BD: Vectors, near_BM: Places, best: _Best) -> None:
        """Compare each row of a block with the kept ones that an index proposes for it."""
        row, column = np.nonzero(near_BM >= 0)
        self._verify(block_BD, row, near_BM[row, column], best)

    def settle(self, block_BD: Vectors, best: _Best) -> Places:
        """Decide the rows of a block one after the other; return those that are kept."""
        similar_BB = block_BD @ block_BD.T
        may_BB = np.triu(similar_BB >= self.threshold - self.margin, 1)
        for row in np.flatnonzero(may_BB.any(axis=1)):
            if best.place_B[row] < 0:
                later = np.flatnonzero(may_BB[row])
                cosines = _cosines(
                    block_BD[later], np.broadcast_to(block_BD[row], (len(later), block_BD.shape[1]))
                )
                is_similar = cosines >= self.threshold
                places = np.full(int(is_similar.sum()), best.start + row)
                best.take(later[is_similar], places, cosines[is_similar])
        is_kept_B = best.place_B < 0
        new_B = np.flatnonzero(is_kept_B)
        after = self.n_kept + len(new_B)
        self.vectors_ND[self.n_kept : after] = block_BD[new_B]
        self.places_K[self.n_kept : after] = best.start + new_B
        self.n_kept = after
        gone_B = np.flatnonzero(~is_kept_B)
        self.kept_N[best.start + gone_B] = best.place_B[gone_B]
        self.cosine_N[best.start + gone_B] = best.cosine_B[gone_B]
        return new_B

    def _verify(self, block_BD: Vectors, rows_P: Places, kept_P: Places, best: _Best) -> None:
        for start in range(0, len(rows_P), _PAIRS):
            rows, kept = rows_P[start : start + _PAIRS], kept_P[start : start + _PAIRS]
            cosines = _cosines(block_BD[rows], self.vectors_ND[kept])
            is_similar = cosines >= self.threshold
            places = self.places_K[kept[is_similar]]
            best.take(rows[is_similar], places, cosines[is_similar])


def _margin(vectors_ND: Vectors) -> float:
    """By how much a float32 product of two of these unit vectors may be off their cosine.

    A sum of d products is off by at most d * 2^-24 (Higham 2002, section 3.1), and the lengths of
    the vectors by a rounding each; this is more than twice that.
    """
    return float((vectors_ND.shape[1] + 8) * 2.0**-23)


def _cosines(one_PD: Vectors, other_PD: Vectors) -> Floats:
    """The cosine of each pair in float64: each row is summed alone, in an order of its own."""
    # In C order: over rows that do not lie in one piece NumPy adds up in another order.
    one, other = (np.ascontiguousarray(side, dtype=np.float64) for side in (one_PD, other_PD))
    scale = np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1))
    cosines: Floats = np.minimum((one * other).sum(axis=1) / scale, 1.0)
    return cosines


def missed_ratio(
    vectors_ND: Vectors, apart: Apart, threshold: float, n_earlier: int = 0, sample: int = 512
) -> float:
    """Estimate which share of the duplicates an index missed.

    Up to `sample` kept vectors, evenly spaced, are compared with all that are kept before them; one
    that is similar to any should have been dropped.

    Args:
        vectors_ND: As `keep_apart` left it: the kept rows stand at its front.
        apart: What `keep_apart` found.
        threshold: As given there.
        n_earlier: As given there.
        sample: How many to look at.

    Returns:
        Missed / (missed + dropped), 4 decimals; 0 without duplicates.
    """
    n_kept = int((apart.kept_N == np.arange(len(apart.kept_N))).sum())
    n_new, n_dropped = n_kept - n_earlier, len(apart.kept_N) - n_kept
    drawn = n_earlier + np.unique(np.linspace(0, n_new - 1, min(sample, n_new)).astype(np.int64))
    n_missed = 0
    for start in range(0, len(drawn), 64):
        places = drawn[start : start + 64]
        similar_BK = vectors_ND[places] @ vectors_ND[: places[-1] + 1].T
        is_before_BK = np.arange(places[-1] + 1) < places[:, None]
        row, other = np.nonzero((similar_BK >= threshold - _margin(vectors_ND)) & is_before_BK)
        cosines = _cosines(vectors_ND[places[row]], vectors_ND[other])
        n_missed += len(np.unique(row[cosines >= threshold]))
    missed = n_missed * n_new / max(len(drawn), 1)
    return round(missed / max(missed + n_dropped, 1), 4)
