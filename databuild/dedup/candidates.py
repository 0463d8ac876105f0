"""Pairs of rows that share the key of a band: candidates to be verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from databuild.dedup.batch_files import Band

CAP = 32
"""Rows with one key that are all paired with each other."""
_NOTHING = np.empty(0, np.uint8)


class Paired(NamedTuple):
    """The candidates of one band."""

    pairs: NDArray[np.uint64]
    """`worse << 32 | better` (see `unpacked`), not sorted, none twice."""
    crowded: int
    """Pairs with a common key that were left out, of keys of more rows than the cap."""
    passed: int
    """Pairs that were left out of keys of fewer rows: of fruitless ones."""


def band_pairs(
    keys: NDArray[np.uint32],
    cap: int = CAP,
    standing: NDArray[np.uint8] = _NOTHING,
    rows: NDArray[np.uint32] | None = None,
) -> Paired:
    """Pair the rows that share a key of one band.

    Rows are numbered in order of preference, 0 the best. Up to `cap` rows with one key are all
    paired. Of more, those that are dropped are left out and each of the others is paired with the
    best `cap // 2` of them: so a band never has more than `cap / 2` pairs a row, however many rows
    share a key, and every dropped row still meets the rows most likely to be kept. Rows that were
    compared with many others in vain are paired with two.

    Args:
        keys: N keys of one band.
        cap: How many rows with one key are all paired, at least 2.
        standing: How each row stands (see `Standing`); by default all are open.
        rows: The row of each key; by default they are in order.

    Returns:
        The pairs, and how many with a common key were left out.

    Example:
        >>> made = band_pairs(np.array([5, 9, 5, 5], np.uint32))
        >>> [side.tolist() for side in unpacked(made.pairs)], made.crowded
        ([[0, 0, 2], [2, 3, 3]], 0)
    """
    from databuild.dedup.kernels.pairing import pair_runs

    packed = sorted_band(keys, shared_only=True, rows=rows)
    made, _, _ = pair_runs(packed, cap, standing, np.empty(0, np.uint64))
    pairs = np.empty(max(made, 1), np.uint64)
    made, crowded, passed = pair_runs(packed, cap, standing, pairs)
    return Paired(pairs[:made], crowded, passed)


def sorted_band(
    keys: NDArray[np.uint32], *, shared_only: bool = False, rows: NDArray[np.uint32] | None = None
) -> NDArray[np.uint64]:
    """The rows of one band in order of their keys: `key << 32 | row`, ascending.

    Args:
        keys: N keys, N at most 2**32.
        shared_only: Leave out most rows whose key occurs once (never one that occurs twice).
        rows: With `shared_only`: the row of each key; by default they are in order.

    Returns:
        Up to N numbers.
    """
    from databuild.dedup.kernels.pairing import shared_only as filtered

    if not shared_only:
        packed: NDArray[np.uint64] = keys.astype(np.uint64) << np.uint64(32)
        packed |= np.arange(len(keys), dtype=np.uint64)
    else:
        room: NDArray[np.uint64] = np.empty(len(keys) + 1, np.uint64)
        names = np.empty(0, np.uint32) if rows is None else rows
        bits = min(max((8 * len(keys)).bit_length(), 10), 30)
        packed = room[: int(filtered(np.ascontiguousarray(keys), names, bits, room))]
    packed.sort()
    return packed


def probe(
    old: Band,
    keys: NDArray[np.uint32],
    cap: int = CAP,
    standing: NDArray[np.uint8] = _NOTHING,
) -> Paired:
    """Pair new rows with the old rows of one band that have their key.

    Old rows are all preferred to new ones. A new row is paired with the best `cap` of them; one
    that was compared with many in vain with two.

    Args:
        old: The old rows of the band; may be memory-mapped.
        keys: The keys of the new rows in the same band.
        cap: Old rows that one new row is paired with.
        standing: How each new row stands (see `Standing`); by default all are open.

    Returns:
        Pairs `new row << 32 | old row`, and how many with a common key were left out.

    Example:
        >>> from databuild.dedup.batch_files import Band
        >>> old = Band.of(np.array([7, 3, 7], np.uint32))
        >>> made = probe(old, np.array([7, 8], np.uint32))
        >>> [side.tolist() for side in unpacked(made.pairs)], made.crowded
        ([[0, 2], [0, 0]], 0)
    """
    from databuild.dedup.kernels.pairing import pair_across

    new = sorted_band(keys)
    pairs = np.empty(2 * len(new), np.uint64)
    made, skipped = pair_across(*old, new, cap, standing, pairs)
    if made > len(pairs):
        pairs = np.empty(made, np.uint64)
        made, skipped = pair_across(*old, new, cap, standing, pairs)
    return Paired(pairs[:made], skipped, 0)


def unseen(pairs: NDArray[np.uint64], seen: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each of the pairs is not among those seen; both ascending.

    Example:
        >>> unseen(np.array([1, 4], np.uint64), np.array([0, 4], np.uint64)).tolist()
        [True, False]
    """
    from databuild.dedup.kernels.pairing import absent

    found = np.empty(len(pairs), bool)
    absent(seen, pairs, found)
    return found


def merged(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Two ascending sets of pairs as one, in one pass.

    Example:
        >>> merged(np.array([1, 4], np.uint64), np.array([0, 4, 5], np.uint64)).tolist()
        [0, 1, 4, 5]
    """
    from databuild.dedup.kernels.pairing import merge

    both = np.empty(len(one) + len(other), np.uint64)
    return both[: int(merge(one, other, both))]


def distinct(pairs: Iterable[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """All pairs in ascending order (so by the worse row), each once."""
    flat: NDArray[np.uint64] = np.concatenate([np.empty(0, np.uint64), *pairs])
    flat.sort()
    is_first = np.ones(len(flat), bool)
    np.not_equal(flat[1:], flat[:-1], out=is_first[1:])
    return np.asarray(flat[is_first], np.uint64)


def packed_pairs(better: NDArray[np.int64], worse: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Pairs as the functions of this stage take them: `worse << 32 | better`."""
    return (worse.astype(np.uint64) << np.uint64(32)) | better.astype(np.uint64)


def unpacked(pairs: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The better and the worse row of every pair.

    Example:
        >>> [side.tolist() for side in unpacked(packed_pairs(np.array([1]), np.array([4])))]
        [[1], [4]]
    """
    return (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64), (pairs >> np.uint64(32)).astype(
        np.int64
    )
