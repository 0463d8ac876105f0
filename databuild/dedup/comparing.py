"""Pairs of signed texts compared by their sets, of which only those that are needed are in memory.

The sets of a large table are read from their file, some pairs at a time. They could be read
memory-mapped too, but every page that was looked at once would count as memory of the process.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.dedup.shingles import Shingles
from databuild.dedup.tokenizing import offsets_of
from databuild.dedup.verification import jaccards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_MAPPED_BYTES = 1 << 27
"""Sets of fewer bytes are compared where they are."""
_LEAST_PAIRS = 1 << 16
_GAP, _READ = 1 << 12, 1 << 19
"""Shingles between two wanted sets that are read as well; shingles that are read at once."""
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

    starts, ends = shingles.offsets[texts], shingles.offsets[texts + 1]
    offsets = offsets_of(ends - starts)
    found = np.empty(int(offsets[-1]), np.uint64)
    with _Source(shingles.hashes) as source:
        for i, j in _runs(starts, ends):
            read = source.read(int(starts[i]), int(ends[j - 1]))
            gather(read, starts[i:j] - starts[i], offsets[i : j + 1], found)
    return Shingles(found, offsets, np.zeros((0, 2), np.uint64))


def _runs(starts: Ints, ends: Ints) -> Iterator[tuple[int, int]]:
    """Neighbouring sets that are read together, as slices."""
    breaks = np.append(np.flatnonzero(starts[1:] - ends[:-1] > _GAP) + 1, len(starts)).tolist()
    i = 0
    for stop in breaks:
        while i < stop:
            j = int(np.searchsorted(ends, starts[i] + _READ, side="right"))
            j = min(max(j, i + 1), stop)
            yield i, j
            i = j


class _Source:
    """Numbers in memory or in a file, read without mapping it."""

    def __init__(self, numbers: NDArray[np.uint64]) -> None:
        self._numbers = numbers
        self._file: int | None = None

    def __enter__(self) -> _Source:
        name = getattr(self._numbers, "filename", None)
        if isinstance(self._numbers, np.memmap) and name is not None:
            self._file = os.open(name, os.O_RDONLY)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)

    def read(self, start: int, end: int) -> NDArray[np.uint64]:
        """The numbers from one place to another."""
        if self._file is None:
            return np.asarray(self._numbers[start:end])
        return np.frombuffer(os.pread(self._file, 8 * (end - start), 8 * start), np.uint64)


def forget(array: Any) -> None:
    """Let the system take back the pages of a memory-mapped array; it is read again when needed."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    if array is not None and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
