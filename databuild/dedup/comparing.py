"""Pairs of signed texts compared by their sets, of which only those that are needed are in memory.

The sets of a large table are taken from their file, which is memory-mapped, some pairs at a time;
what was looked at is given back to the system, else all of it would count as memory of the process.
"""

from __future__ import annotations

import mmap
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
    # So large that a file is not read through more often than its texts have pairs.
    size = max(_LEAST_PAIRS, (len(shingles.offsets) - 1) // 8)
    found = np.zeros(len(pairs))
    for at in range(0, len(pairs), size):
        here = pairs[at : at + size]
        worse, other = here >> _HIGH, here & _LOW
        if better is None:
            texts = np.unique(np.concatenate([worse, other])).astype(np.int64)
            one = two = some_sets(shingles, texts)
            wanted = texts
        else:
            texts, wanted = (np.unique(side).astype(np.int64) for side in (worse, other))
            one, two = some_sets(shingles, texts), some_sets(better, wanted)
        local = np.searchsorted(texts, worse.astype(np.int64)).astype(np.uint64) << _HIGH
        local |= np.searchsorted(wanted, other.astype(np.int64)).astype(np.uint64)
        found[at : at + size] = jaccards(one, local, threshold, better=two, threads=threads)
    return found


def some_sets(shingles: Shingles, texts: Ints) -> Shingles:
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
    edges = np.searchsorted(starts, np.arange(0, len(shingles.hashes) + _WINDOW, _WINDOW))
    for i, j in pairwise(edges.tolist()):
        if i < j:
            gather(np.asarray(shingles.hashes), starts[i:j], offsets[i : j + 1], found)
            forget(shingles.hashes)
    return Shingles(found, offsets, np.zeros((0, 2), np.uint64))


def forget(array: Any) -> None:
    """Let the system take back the pages of a memory-mapped array; it is read again when needed."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    if array is not None and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
