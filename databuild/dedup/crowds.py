"""Crowds: more rows with one key than are all paired at first, such as the rows of one template.

In a crowd the search pairs every row with the best few. When it has decided, what is left of a
crowd is compared again: the best `cap / 2` rows that were not yet compared with all of it (its
heads) with every worse row that is kept, then the next ones, as long as that finds duplicates. So
a crowd of few distinct texts is compared to the end, and one whose rows only share a key costs a
sample more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from databuild.dedup.candidates import distinct, packed_pairs, sorted_band
from databuild.dedup.keeping import keep_best

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Codes = NDArray[np.uint64]
    Flags = NDArray[np.bool_]

_SAMPLE = 1024
"""Pairs of a crowd that are looked at before its next heads are compared with all of it."""
_NEEDED = 4
"""Duplicates among them for which that is done. One pair in 256, so 16 heads find a duplicate of a
sixteenth of the rows, and the work for a crowd is a geometric series."""


@dataclass
class Crowds:
    """What is left of the crowds of one band.

    Args:
        rows: Rows that are kept, by crowd, the best of a crowd first.
        crowd: The crowd of each, ascending.
        cap: Half of it are the heads of one pass; up to twice as many are compared in any case.
    """

    rows: Ints
    crowd: Ints
    cap: int
    is_done: Flags = field(init=False)
    is_gone: Flags = field(init=False)
    gave_up: Flags = field(init=False)
    _compared: Ints = field(init=False)

    def __post_init__(self) -> None:
        n_crowds = int(self.crowd[-1]) + 1 if len(self.crowd) else 0
        self.is_done = np.zeros(len(self.rows), bool)
        self.is_gone = np.zeros(len(self.rows), bool)
        self.gave_up = np.zeros(n_crowds, bool)
        self._compared = np.zeros(n_crowds, np.int64)

    @classmethod
    def of_band(cls, keys: NDArray[np.uint32], is_kept: Flags, cap: int) -> Crowds:
        """The kept rows among those that share their key with `cap` others or more."""
        packed = sorted_band(keys, shared_only=True)
        shared = packed >> np.uint64(32)
        starts = np.flatnonzero(np.append(True, shared[1:] != shared[:-1]))[: len(shared)]
        sizes = np.diff(np.append(starts, len(shared)))
        crowd = np.repeat(np.arange(len(sizes)), sizes)
        rows = (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)
        chosen = (sizes > cap)[crowd] & is_kept[rows]
        return cls(rows[chosen], np.unique(crowd[chosen], return_inverse=True)[1], cap)

    def next_pairs(self) -> tuple[Ints, Ints, Ints]:
        """Mark the next heads; return their places, those of all worse rows, and the live places.

        Returns:
            Places in `rows` of the better and the worse of each pair, and of the heads.
        """
        live = np.flatnonzero(~self.is_gone & ~self.gave_up[self.crowd])
        of = self.crowd[live]
        ends = np.searchsorted(of, of, side="right")
        waits = ~self.is_done[live]
        rank = np.cumsum(waits)
        before = np.concatenate([[0], rank])[np.searchsorted(of, of, side="left")]
        at = np.flatnonzero(waits & (rank - before <= self.cap // 2))
        many = ends[at] - at - 1
        first = np.repeat(np.cumsum(many) - many, many)
        worse = np.repeat(at + 1, many) + np.arange(int(many.sum())) - first
        heads = live[at]
        self.is_done[heads] = True
        return live[np.repeat(at, many)], live[worse], heads

    def promising(self, crowd: Ints, hits: Flags, tried: Flags) -> Flags:
        """The crowds to be compared to the end of a pass: small ones, and those with hits."""
        n = len(self.gave_up)
        live = np.bincount(self.crowd[~self.is_gone], minlength=n)
        found = np.bincount(crowd[tried][hits], minlength=n)
        fresh = np.bincount(crowd, minlength=n)
        return (live <= 2 * self.cap) | (found >= _NEEDED) | (fresh <= _SAMPLE)

    def give_up(self, which: Flags, heads: Ints, compared: Ints) -> None:
        """Leave crowds as they are: their heads were not compared with all of them."""
        self.gave_up |= which
        self.is_done[heads[which[self.crowd[heads]]]] = False
        self._compared[which] += compared[which]

    def skipped(self) -> int:
        """Pairs of kept rows with a common key that were not compared in this band."""
        waits = ~self.is_gone & ~self.is_done
        left = np.bincount(self.crowd[waits], minlength=len(self.gave_up))
        return int(np.maximum(left * (left - 1) // 2 - self._compared, 0).sum())


def compare_crowd(
    crowds: Crowds,
    seen: Sequence[Codes],
    verify: Callable[[Codes], NDArray[np.float64]],
    threshold: float,
) -> tuple[Codes, Codes, NDArray[np.float64]]:
    """Compare what is left of the crowds of a band.

    Args:
        crowds: Whose rows are kept as far as it is known; those found to be duplicates are gone
            afterwards.
        seen: Pairs that were verified before, in sets, each ascending.
        verify: The similarity of each pair.
        threshold: From where on a pair is near.

    Returns:
        The pairs that were verified, those of them that are near, and their similarities; all
        ascending.
    """
    tried: list[Codes] = []
    near, similar = [np.zeros(0, np.uint64)], [np.zeros(0)]
    n = len(crowds.gave_up)
    while True:
        better, worse, heads = crowds.next_pairs()
        if not len(heads):
            break
        codes = packed_pairs(crowds.rows[better], crowds.rows[worse])
        of_all = np.bincount(crowds.crowd[better], minlength=n)
        is_new = np.logical_and.reduce([is_fresh(codes, some) for some in seen])
        better, worse, codes = better[is_new], worse[is_new], codes[is_new]
        crowd = crowds.crowd[better]
        of_new = np.bincount(crowd, minlength=n)
        # Evenly spread over the pairs of each crowd, which stand together.
        place = np.arange(len(crowd)) - (np.cumsum(of_new) - of_new)[crowd]
        sampled = place % np.maximum(-(-of_new // _SAMPLE), 1)[crowd] == 0
        jaccard = np.zeros(len(codes))
        jaccard[sampled] = _in_order(codes[sampled], verify)
        goes_on = crowds.promising(crowd, jaccard[sampled] >= threshold, sampled)
        rest = goes_on[crowd] & ~sampled
        jaccard[rest] = _in_order(codes[rest], verify)
        of_sample = np.bincount(crowd[sampled], minlength=n)
        crowds.give_up(~goes_on & (of_all > 0), heads, of_all - of_new + of_sample)
        done, hit = sampled | rest, jaccard >= threshold
        tried.append(codes[done])
        near.append(codes[hit])
        similar.append(jaccard[hit])
        local = packed_pairs(better[hit], worse[hit])
        order = np.argsort(local)
        keeper, _ = keep_best(len(crowds.rows), local[order], jaccard[hit][order])
        crowds.is_gone |= keeper != np.arange(len(keeper))
    found, values = np.concatenate(near), np.concatenate(similar)
    order = np.argsort(found)
    return distinct(tried), found[order], values[order]


def is_fresh(codes: Codes, seen: Codes) -> Flags:
    """Whether each number, in any order, is not among sorted numbers."""
    if not len(seen):
        return np.ones(len(codes), bool)
    at = np.minimum(np.searchsorted(seen, codes), len(seen) - 1)
    return np.asarray(seen[at] != codes)


def _in_order(codes: Codes, verify: Callable[[Codes], NDArray[np.float64]]) -> NDArray[np.float64]:
    """The similarity of pairs that stand in any order."""
    order = np.argsort(codes)
    out = np.zeros(len(codes))
    out[order] = verify(codes[order])
    return out
