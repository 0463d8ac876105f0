"""Which rows are kept, and which kept row stands for each of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def keep_best(
    n: int, pairs: NDArray[np.uint64], similar: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Visit rows best first; keep one unless a row kept before it is its duplicate.

    A greedy independent set: no two kept rows are a pair, and every dropped row has a kept row that
    is better and a verified duplicate.

    Args:
        n: Number of rows, numbered in order of preference, 0 the best.
        pairs: Verified duplicates, `worse << 32 | better`, ascending, none twice.
        similar: Their Jaccard similarities.

    Returns:
        For each row: the kept row that stands for it (itself where it is kept), of several the most
        similar and of those the best; and their Jaccard similarity (1 where it is kept).

    Example:
        >>> pairs = np.array([1 << 32 | 0, 2 << 32 | 1], np.uint64)  # 0~1, 1~2
        >>> keep_best(3, pairs, np.array([0.9, 0.8]))[0].tolist()
        [0, 0, 2]
    """
    from databuild.dedup.kernels.pairing import keep_in_order

    kept_by, jaccard = np.arange(n, dtype=np.int64), np.ones(n)
    keep_in_order(pairs, similar, kept_by, jaccard)
    return kept_by, jaccard


def components(n: int, pairs: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The connected components of the rows under the pairs: for each row its smallest row.

    Example:
        >>> components(4, np.array([1 << 32 | 0, 2 << 32 | 1], np.uint64)).tolist()
        [0, 0, 0, 3]
    """
    from databuild.dedup.kernels.pairing import unite

    label = np.arange(n, dtype=np.int64)
    unite(pairs, label)
    return label
