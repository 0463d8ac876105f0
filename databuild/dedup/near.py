"""The search for near-duplicates among signed texts: band by band, every candidate verified.

Phases: rows are put in order, the best first, and equal normal forms together; each band's keys
give candidates; every candidate's Jaccard similarity is computed from its whole sets; rows are
visited best first, and a row that has a kept neighbour is dropped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.dedup.candidates import unpacked
from databuild.dedup.keeping import components, keep_best
from databuild.dedup.near_pairs import Pairs, pairs_between, pairs_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from databuild.dedup.near_pairs import Search
    from databuild.dedup.signing import Signed

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

EXACT, NEAR, EARLIER = 1, 2, 3
STAGES = {EXACT: "exact", NEAR: "near", EARLIER: "earlier"}


@dataclass(frozen=True)
class Groups:
    """Rows whose normal forms are equal, as one: group 0 has the best row of all."""

    of_row: Ints
    """The group of each row, -1 for a row without text."""
    best: Ints
    """The best row of each group."""
    text: Ints
    """The text of each group."""

    def __len__(self) -> int:
        return len(self.best)


@dataclass
class Found:
    """What was found, by row number."""

    n_rows: int
    dropped: Ints
    """The rows that are dropped, in rising order."""
    kept: Ints
    """For each: the row that is kept instead; of an earlier table where `source` is 0 or more."""
    source: NDArray[np.int16]
    """For each: -1 for the same table, else which earlier one."""
    jaccard: Floats
    stage: NDArray[np.uint8]
    clustered: Ints
    """The rows that are in a cluster of two or more, in rising order."""
    cluster: Ints
    """For each: the best row of its cluster."""
    candidates: int = 0
    skipped: int = 0
    """Candidates that were not compared, at most: of kept rows, and those of earlier tables."""
    seconds: dict[str, float] = field(default_factory=dict)

    def cluster_of(self, rows: Ints) -> Ints:
        """The best row of the cluster of each row; the row itself where it is in none."""
        if not len(self.clustered):
            return rows
        at = np.minimum(np.searchsorted(self.clustered, rows), len(self.clustered) - 1)
        return np.where(self.clustered[at] == rows, self.cluster[at], rows)


def find_near(signed: Signed, earlier: Sequence[Signed], search: Search) -> Found:
    """Find every row that has a better one that is kept and equal or near.

    Args:
        signed: The texts.
        earlier: Texts of other tables: all of them count as kept, and before any row of `signed`.
        search: See `Search`.
    """
    clock = Clock()
    groups = _grouped(signed)
    clock.lap("order and exact")
    older = [pairs_between(signed, groups.text, one, n, search) for n, one in enumerate(earlier)]
    if earlier:
        clock.lap("earlier rows")
    near = pairs_within(signed, groups.text, search)
    for one in (signed, *earlier):
        one.forget()
    clock.lap("candidates and verification")
    found = _decide(groups, near, older)
    for number, table in enumerate(earlier):
        mine = found.source == number
        found.kept[mine] = table.first_rows(found.kept[mine])
    clock.lap("keep")
    found.seconds = clock.seconds
    return found


def find_exact(signed: Signed) -> Found:
    """Find every row that has a better one whose normal form is equal."""
    return _decide(_grouped(signed), Pairs(np.zeros(0, np.uint64), np.zeros(0)), [])


class Clock:
    """CPU seconds of all threads, phase by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._at = time.process_time()

    def lap(self, phase: str) -> None:
        """End a phase."""
        now = time.process_time()
        self.seconds[phase] = round(now - self._at, 3)
        self._at = now


def _grouped(signed: Signed) -> Groups:
    text = signed.row_texts()
    order = _best_first(signed, np.flatnonzero(text >= 0))
    of = text[order]
    first = np.full(signed.n_texts, -1, np.int64)
    first[of[::-1]] = np.arange(len(of))[::-1]  # what is written last is the best row
    is_best = first[of] == np.arange(len(of))
    number = np.cumsum(is_best) - 1
    of_row = np.full(len(text), -1, np.int64)
    of_row[order] = number[first[of]]
    return Groups(of_row, order[is_best], of[is_best])


def _best_first(signed: Signed, rows: Ints) -> Ints:
    """Rows by `prefer`, highest first, unknown last; then by id, or by number without ids."""
    keys: list[NDArray[Any]] = []
    if signed.has("prefer"):
        value = signed.column("prefer", rows)
        unknown = ~signed.column("has_prefer", rows)
        if value.dtype.kind == "S":
            value = np.unique(value, return_inverse=True)[1]
        lowest_first = -value if value.dtype.kind == "f" else ~value
        keys = [np.where(unknown, 0, lowest_first), unknown]
    if not signed.has("id"):
        return np.asarray(rows[np.lexsort(keys)] if keys else rows)
    ids = signed.column("id", rows)
    width = max(-(-ids.dtype.itemsize // 8), 1)
    words = ids.astype(f"S{8 * width}").view(">u8").reshape(-1, width)
    lead = words[:, 0].astype(np.uint64)
    order = np.lexsort([lead, *keys])
    if width > 1:
        _settle_ties(order, words, [lead, *keys])
    return np.asarray(rows[order])


def _settle_ties(order: Ints, words: NDArray[Any], keys: list[NDArray[Any]]) -> None:
    """Put in order, in place, what agrees in all keys: by the other words of the ids."""
    is_tie = np.ones(max(len(order) - 1, 0), bool)
    for key in keys:
        is_tie &= key[order[1:]] == key[order[:-1]]
    tied = np.flatnonzero(np.append(is_tie, False) | np.insert(is_tie, 0, False))
    if not len(tied):
        return
    some = order[tied]
    others = [words[some, w] for w in range(words.shape[1])][::-1]
    order[tied] = some[np.lexsort([*others, *(key[some] for key in keys[1:])])]


def _decide(groups: Groups, near: Pairs, older: Sequence[Pairs]) -> Found:
    """Which rows are dropped, and for which."""
    n = len(groups)
    source, twin, similar = _best_earlier(n, older)
    stays = source < 0
    better, worse = unpacked(near.codes)
    among = stays[better] & stays[worse]
    keeper, jaccard = keep_best(n, near.codes[among], near.jaccard[among])
    rows = np.flatnonzero(groups.of_row >= 0)
    of = groups.of_row[rows]
    is_dropped = ~stays[of] | (keeper[of] != of) | (groups.best[of] != rows)
    rows, of = rows[is_dropped], of[is_dropped]
    is_old, is_near = ~stays[of], keeper[of] != of
    clustered, cluster = _clusters(groups, components(n, near.codes))
    return Found(
        n_rows=len(groups.of_row), dropped=rows,
        kept=np.where(is_old, twin[of], groups.best[keeper[of]]),
        source=source[of],
        jaccard=np.where(is_old, similar[of], np.where(is_near, jaccard[of], 1.0)),
        stage=np.where(is_old, EARLIER, np.where(is_near, NEAR, EXACT)).astype(np.uint8),
        clustered=clustered, cluster=cluster,
        candidates=near.candidates + sum(one.candidates for one in older),
        skipped=near.skipped + sum(one.skipped for one in older),
    )  # fmt: skip


def _best_earlier(n: int, older: Sequence[Pairs]) -> tuple[NDArray[np.int16], Ints, Floats]:
    """For each group: which earlier table has its nearest text, which text, how near."""
    source = np.full(n, -1, np.int16)
    twin, similar = np.full(n, -1, np.int64), np.zeros(n)
    for number, pairs in enumerate(older):
        text, group = unpacked(pairs.codes)
        # The last one written is the nearest, and of those as near the first text.
        order = np.lexsort((-text, pairs.jaccard))
        nearest, of = np.full(n, -1.0), np.full(n, -1, np.int64)
        nearest[group[order]], of[group[order]] = pairs.jaccard[order], text[order]
        wins = nearest > np.where(source < 0, -0.5, similar)
        source[wins], twin[wins], similar[wins] = number, of[wins], nearest[wins]
    return source, twin, similar


def _clusters(groups: Groups, component: Ints) -> tuple[Ints, Ints]:
    """The rows in components of two or more rows, and the best row of each one's component."""
    rows = np.flatnonzero(groups.of_row >= 0)
    label = component[groups.of_row[rows]]  # the smallest group: the one with the best row
    sizes = np.bincount(label, minlength=len(component))
    is_clustered = sizes[label] > 1
    return rows[is_clustered], groups.best[label[is_clustered]]
