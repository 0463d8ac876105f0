"""The exact Jaccard similarity of pairs of sets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from databuild.dedup.shingles import Shingles

_SLICE_PAIRS = 1 << 15


def jaccards(
    shingles: Shingles,
    pairs: NDArray[np.uint64],
    threshold: float = 0.0,
    *,
    better: Shingles | None = None,
    threads: int | None = None,
) -> NDArray[np.float64]:
    """Compute the Jaccard similarity of every pair from the sets themselves.

    The size of the intersection over that of the union. Of a pair that cannot reach the threshold
    the rest of the sets is not read.

    Args:
        shingles: The sets of the worse rows of the pairs (of all rows, without `better`); may be
            memory-mapped.
        pairs: `worse << 32 | better`.
        threshold: Similarities below it are 0 in the result.
        better: The sets of the better rows, where these are of another table (`probe`'s old rows).
        threads: How many threads; by default as many as Polars has. The result is the same.

    Returns:
        One similarity per pair. An empty set (a null text) is similar to nothing: 0.

    Example:
        >>> from databuild.dedup.shingles import shingle
        >>> sets = shingle(pl.Series(["a b c d", "b c d e", "x"]))
        >>> jaccards(sets, np.array([1 << 32 | 0, 2 << 32 | 0], np.uint64)).tolist()
        [0.3333333333333333, 0.0]
    """
    from databuild.dedup.kernels.pairing import similarities

    found = np.empty(len(pairs), np.float64)
    others = shingles if better is None else better
    hashes, offsets = np.asarray(shingles.hashes), np.asarray(shingles.offsets)
    hashes_b, offsets_b = np.asarray(others.hashes), np.asarray(others.offsets)

    def verify(at: int) -> None:
        here = slice(at, at + _SLICE_PAIRS)
        similarities(hashes, offsets, hashes_b, offsets_b, pairs[here], threshold, found[here])

    starts = range(0, len(pairs), _SLICE_PAIRS)
    threads = threads or pl.thread_pool_size()
    if threads == 1 or len(starts) < 2:
        for at in starts:
            verify(at)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(verify, starts))
    return found
