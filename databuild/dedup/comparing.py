"""Pairs of signed texts compared by their sets, of which only those that are needed are in memory.

The sets of a large table are taken from their file, which is memory-mapped, some pairs at a time;
what was looked at is given back to the system, else all of it would count as memory of the process.
"""

from __future__ import annotations

import mmap
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.dedup.shingles import Shingles
from databuild.dedup.tokenizing import offsets_of
from databuild.dedup.verification import jaccards

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_MAPPED_BYTES = 1 << 27
"""Sets of fewer bytes are compared where they are."""
_LEAST_PAIRS = 1 << 16
_PARTS = 8
"""Of a file, and so many pairs at once as one part of it has texts."""
_WINDOW = 1 << 23
"""Shingles of a file that are mapped at once."""
_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)


def compare(
    shingles: Shingles,
    pairs: NDArray[np.uint64],
    threshold: float,
    *,
    better: Shingles | None = None,
    threads: int = 1,
) -> NDArray[np.float64]:
    """As `verification.jaccards`, in bounded memory where the sets lie in a file.

    Args:
        shingles: The sets of the worse texts of the pairs (of all texts, without `better`).
        pairs: `worse << 32 | better`.
        threshold: Similarities below it are 0 in the result.
        better: The sets of the better texts, where these are of another table.
        threads: How many threads.

    Returns:
        One similarity per pair.
    """
    tables = [shingles] if better is None else [shingles, better]
    if sum(one.hashes.nbytes for one in tables) <= _MAPPED_BYTES:
        return jaccards(shingles, pairs, threshold, better=better, threads=threads)
    n, n_better = (len(one.offsets) - 1 for one in (tables[0], tables[-1]))
    # So large that a file is not read through more often than its texts have pairs.
    size = max(_LEAST_PAIRS, n // _PARTS)
    order = _by_parts(n, n_better, pairs) if len(pairs) > n else None
    found = np.empty(len(pairs))
    for at in range(0, len(pairs), size):
        here = slice(at, at + size) if order is None else order[at : at + size]
        some = pairs[here]
        worse, other = some >> _HIGH, some & _LOW
        if better is None:
            texts, place = _local(n, worse, other)
            one = two = some_sets(shingles, texts, threads)
            local = place[worse] << _HIGH | place[other]
        else:
            texts, place = _local(n, worse)
            wanted, places = _local(n_better, other)
            one = some_sets(shingles, texts, threads)
            two = some_sets(better, wanted, threads)
            local = place[worse] << _HIGH | places[other]
        found[here] = jaccards(one, local, threshold, better=two, threads=threads)
    return found


def _by_parts(n: int, n_better: int, pairs: NDArray[np.uint64]) -> Ints:
    """An order of many pairs in which neighbours have their sets in the same parts of the files."""
    part = (pairs >> _HIGH) // np.uint64(-(-n // _PARTS)) * np.uint64(_PARTS)
    part += (pairs & _LOW) // np.uint64(-(-n_better // _PARTS))
    return np.argsort(part.astype(np.uint8), kind="stable")


def _local(n: int, *sides: NDArray[np.uint64]) -> tuple[Ints, NDArray[np.uint64]]:
    """The texts of some sides of pairs, of n in all, ascending; and each one's place."""
    is_wanted = np.zeros(n, bool)
    for side in sides:
        is_wanted[side] = True
    texts = np.flatnonzero(is_wanted)
    place = np.empty(n, np.uint64)
    place[texts] = np.arange(len(texts), dtype=np.uint64)
    return texts, place


def some_sets(shingles: Shingles, texts: Ints, threads: int = 1) -> Shingles:
    """The sets of some texts, in rising order, in memory.

    Example:
        >>> numbers = np.arange(6, dtype=np.uint64)
        >>> sets = Shingles(numbers, np.array([0, 1, 3, 6]), np.zeros((0, 2), np.uint64))
        >>> some_sets(sets, np.array([0, 2])).hashes.tolist()
        [0, 3, 4, 5]
    """
    from databuild.dedup.kernels.numbering import gather

    starts = shingles.offsets[texts]
    offsets = offsets_of(shingles.offsets[texts + 1] - starts)
    found = np.empty(int(offsets[-1]), np.uint64)
    window = _WINDOW // threads
    edges = np.searchsorted(starts, np.arange(0, len(shingles.hashes) + window, window))

    def copy(edge: tuple[int, int]) -> None:
        i, j = edge
        if i < j:
            gather(np.asarray(shingles.hashes), starts[i:j], offsets[i : j + 1], found)
            forget(shingles.hashes)

    if threads == 1:
        for edge in pairwise(edges.tolist()):
            copy(edge)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(copy, pairwise(edges.tolist())))
    return Shingles(found, offsets, np.zeros((0, 2), np.uint64))


def forget(array: Any) -> None:
    """Let the system take back the pages of a memory-mapped array; it is read again when needed."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    if array is not None and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
