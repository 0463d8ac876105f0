"""Crowds: more rows with one key than are all paired at first, such as the rows of one template.

In a crowd the search pairs every row with the best few. When it has decided, what is left of a
crowd is compared again: the best `cap / 2` rows that were not yet compared with all of it (its
heads) with every worse row that is kept, then the next ones, as long as that finds duplicates. So
a crowd of few distinct texts is compared to the end, and one whose rows only share a key costs a
sample more: a small one where most of its rows were compared in vain already.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from databuild.dedup.candidates import distinct, packed_pairs, sorted_band, unseen
from databuild.dedup.keeping import keep_best

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Codes = NDArray[np.uint64]
    Flags = NDArray[np.bool_]
    Pairs = tuple[Ints, Ints, NDArray[np.float64]]
    """Places of the better and the worse row, and their similarity."""

_SAMPLE = 1024
"""Pairs of a crowd that are compared before its next heads are compared with all of it."""
_LOOK = 4
"""One in so many of the sample is compared first: where none of them is near, that is all."""
_NEEDED = 256
"""One near pair among so many of the sample is enough for the rest to be compared: 16 heads then
find a duplicate of a sixteenth of the rows, and the work for a crowd is a geometric series."""


@dataclass
class Crowds:
    """What is left of the crowds of one band.

    Args:
        rows: Rows that are kept, by crowd, the best of a crowd first.
        crowd: The crowd of each, ascending.
        cap: Half of it are the heads of one pass; up to twice as many are compared in any case.
        is_tired: For each crowd whether most of its rows are fruitless (see `standing`): of such a
            sample is compared before all of it is, however few they are.
    """

    rows: Ints
    crowd: Ints
    cap: int
    is_tired: Flags
    is_done: Flags = field(init=False)
    is_gone: Flags = field(init=False)
    gave_up: Flags = field(init=False)
    _compared: Ints = field(init=False)

    def __post_init__(self) -> None:
        n_crowds = len(self.is_tired)
        self.is_done = np.zeros(len(self.rows), bool)
        self.is_gone = np.zeros(len(self.rows), bool)
        self.gave_up = np.zeros(n_crowds, bool)
        self._compared = np.zeros(n_crowds, np.int64)

    @classmethod
    def of_band(
        cls, keys: NDArray[np.uint32], is_kept: Flags, cap: int, is_fruitless: Flags
    ) -> Crowds:
        """The kept rows among those that share their key with `cap` others or more."""
        packed = sorted_band(keys, shared_only=True)
        shared = packed >> np.uint64(32)
        starts = np.flatnonzero(np.append(True, shared[1:] != shared[:-1]))[: len(shared)]
        sizes = np.diff(np.append(starts, len(shared)))
        crowd = np.repeat(np.arange(len(sizes)), sizes)
        rows = (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)
        chosen = (sizes > cap)[crowd] & is_kept[rows]
        rows, crowd = rows[chosen], np.unique(crowd[chosen], return_inverse=True)[1]
        in_vain = np.bincount(crowd, is_fruitless[rows])
        return cls(rows, crowd, cap, 2 * in_vain > np.bincount(crowd))

    def next_heads(self) -> Heads:
        """Mark the next heads of every crowd that is not given up."""
        live = np.flatnonzero(~self.is_gone & ~self.gave_up[self.crowd])
        of = self.crowd[live]
        ends = np.searchsorted(of, of, side="right")
        waits = ~self.is_done[live]
        rank = np.cumsum(waits)
        before = np.concatenate([[0], rank])[np.searchsorted(of, of, side="left")]
        at = np.flatnonzero(waits & (rank - before <= self.cap // 2))
        self.is_done[live[at]] = True
        return Heads(live, at, ends[at] - at - 1, of[at], len(self.gave_up))

    def alive(self) -> Ints:
        """How many rows of each crowd are not gone."""
        return np.bincount(self.crowd[~self.is_gone], minlength=len(self.gave_up))

    def give_up(self, which: Flags, heads: Heads, compared: Ints) -> None:
        """Leave crowds as they are: their heads were not compared with all of them."""
        self.gave_up |= which
        self.is_done[heads.live[heads.at[which[heads.crowd]]]] = False
        self._compared[which] += compared[which]

    def skipped(self) -> int:
        """Pairs of kept rows with a common key that were not compared in this band, at most."""
        waits = ~self.is_gone & ~self.is_done
        left = np.bincount(self.crowd[waits], minlength=len(self.gave_up))
        return int(np.maximum(left * (left - 1) // 2 - self._compared, 0).sum())


class Heads:
    """The heads of one pass, each to be paired with every worse row of its crowd.

    The pairs are numbered through, crowd by crowd and head by head, and made when they are asked
    for: of most crowds only a sample is.

    Args:
        live: Places in `Crowds.rows` of the rows that may be compared, by crowd.
        at: Which of them are heads.
        many: How many worse rows each head has.
        crowd: The crowd of each head, ascending.
        n_crowds: How many crowds there are.
    """

    def __init__(self, live: Ints, at: Ints, many: Ints, crowd: Ints, n_crowds: int) -> None:
        self.live, self.at, self.crowd = live, at, crowd
        self._ends = np.cumsum(many)
        self._begins = self._ends - many
        self.sizes = np.bincount(crowd, many, minlength=n_crowds).astype(np.int64)
        """The pairs of each crowd."""
        self._first = np.cumsum(self.sizes) - self.sizes

    def every(self, step: Ints, which: Flags) -> Ints:
        """The numbers of each `step`-th pair of some crowds."""
        n = np.where(which, -(-self.sizes // step), 0)
        before = np.repeat(np.cumsum(n) - n, n)
        place = np.arange(len(before)) - before
        return np.asarray(np.repeat(self._first, n) + place * np.repeat(step, n), np.int64)

    def crowd_of(self, numbers: Ints) -> Ints:
        """The crowd of each pair."""
        return np.asarray(self.crowd[np.searchsorted(self._ends, numbers, side="right")])

    def is_step(self, numbers: Ints, step: Ints) -> Flags:
        """Whether `every` gives the pair at this step."""
        of = self.crowd_of(numbers)
        return np.asarray((numbers - self._first[of]) % step[of] == 0)

    def pairs(self, numbers: Ints) -> tuple[Ints, Ints]:
        """The places in `Crowds.rows` of the better and the worse row of each pair."""
        head = np.searchsorted(self._ends, numbers, side="right")
        at = self.at[head]
        return self.live[at], self.live[at + 1 + numbers - self._begins[head]]


@dataclass
class _Compared:
    """What was compared in one band."""

    crowds: Crowds
    seen: Sequence[Codes]
    verify: Callable[[Codes], NDArray[np.float64]]
    threshold: float
    tried: list[Codes] = field(default_factory=list)
    near: list[Codes] = field(default_factory=list)
    similar: list[NDArray[np.float64]] = field(default_factory=list)

    def look(self, heads: Heads, numbers: Ints) -> tuple[Ints, Ints, Pairs]:
        """Compare pairs that were not seen before.

        Returns:
            How many of each crowd are new, how many of them are near, and the latter.
        """
        better, worse = heads.pairs(numbers)
        codes = packed_pairs(self.crowds.rows[better], self.crowds.rows[worse])
        order = np.argsort(codes)
        codes = codes[order]
        is_new = np.logical_and.reduce([unseen(codes, some) for some in self.seen])
        codes, order = codes[is_new], order[is_new]
        better, worse = better[order], worse[order]
        jaccard = self.verify(codes)
        hit = jaccard >= self.threshold
        self.tried.append(codes)
        self.near.append(codes[hit])
        self.similar.append(jaccard[hit])
        n, crowd = len(heads.sizes), heads.crowd_of(numbers[order])
        counts = np.bincount(crowd, minlength=n), np.bincount(crowd[hit], minlength=n)
        return *counts, (better[hit], worse[hit], jaccard[hit])


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
    made = _Compared(crowds, seen, verify, threshold)
    while len((heads := crowds.next_heads()).at):
        near = _one_pass(crowds, heads, made)
        better, worse, jaccard = (np.concatenate(column) for column in zip(*near, strict=True))
        local = packed_pairs(better, worse)
        order = np.argsort(local)
        keeper, _ = keep_best(len(crowds.rows), local[order], jaccard[order])
        crowds.is_gone |= keeper != np.arange(len(keeper))
    found = np.concatenate([np.zeros(0, np.uint64), *made.near])
    values = np.concatenate([np.zeros(0), *made.similar])
    order = np.argsort(found)
    return distinct(made.tried), found[order], values[order]


def _one_pass(crowds: Crowds, heads: Heads, made: _Compared) -> list[Pairs]:
    """Compare the heads with all of their crowds, or with a sample that has too few duplicates."""
    sizes, alive = heads.sizes, crowds.alive()
    is_small = ((sizes <= _SAMPLE) | (alive <= 2 * crowds.cap)) & ~crowds.is_tired
    enough = np.where(crowds.is_tired, np.minimum(2 * alive, _SAMPLE), _SAMPLE)
    sample = np.where(is_small, 1, -(-sizes // np.maximum(enough, 1)))
    look = np.where(is_small, 1, _LOOK * sample)
    some = np.ones(len(sizes), bool)
    fresh, hits, first = made.look(heads, heads.every(look, some))
    compared = -(-sizes // look)

    some = ~is_small & (hits > 0)
    numbers = heads.every(sample, some)
    numbers = numbers[~heads.is_step(numbers, look)]
    more, more_hits, second = made.look(heads, numbers)
    compared = np.where(some, -(-sizes // sample), compared)

    done = np.where(some, sample, look)
    is_worth_it = (hits + more_hits) * _NEEDED >= np.maximum(enough, 1)
    # Where nearly all was seen before, the rest is cheap.
    is_cheap = ~crowds.is_tired & ((fresh + more) * done <= _SAMPLE)
    goes_on = ~is_small & (is_worth_it | is_cheap)
    numbers = heads.every(np.ones_like(sizes), goes_on)
    numbers = numbers[~heads.is_step(numbers, done)]
    _, _, third = made.look(heads, numbers)
    crowds.give_up(~is_small & ~goes_on & (sizes > 0), heads, compared)
    return [first, second, third]
