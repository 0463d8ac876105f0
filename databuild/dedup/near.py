"""The search for near-duplicates among signed texts: band by band, every candidate verified.

Phases: rows are put in order, the best first, and equal normal forms together; each band's keys
give candidates; every candidate's Jaccard similarity is computed from its whole sets; rows are
visited best first, and a row that has a kept neighbour is dropped. Every few bands there is a
checkpoint.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.dedup.batch_files import Bands
from databuild.dedup.candidates import (
    CAP,
    band_pairs,
    distinct,
    probe,
    unpacked,
)
from databuild.dedup.comparing import compare
from databuild.dedup.crowds import Crowds, compare_crowd, is_fresh
from databuild.dedup.keeping import components, keep_best

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from databuild.dedup.signing import Signed
    from databuild.engine.checkpoints import Arrays, Checkpoints
    from databuild.engine.resources import Progress

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Codes = NDArray[np.uint64]

EXACT, NEAR, EARLIER = 1, 2, 3
STAGES = {EXACT: "exact", NEAR: "near", EARLIER: "earlier"}
_BANDS_AT_ONCE = 4
"""Bands between two checkpoints, whatever the cores: what is settled then does not depend on
them."""
_HIGH = np.uint64(32)
_LOOKS = 16


@dataclass(frozen=True)
class Pairs:
    """Verified pairs, `worse << 32 | better` in ascending order, and their similarities."""

    codes: Codes
    jaccard: Floats
    candidates: int = 0
    skipped: int = 0


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
    """Candidates that were not compared: of kept rows, and those beyond the cap in earlier tables.
    """
    seconds: dict[str, float] = field(default_factory=dict)

    def cluster_of(self, rows: Ints) -> Ints:
        """The best row of the cluster of each row; the row itself where it is in none."""
        if not len(self.clustered):
            return rows
        at = np.minimum(np.searchsorted(self.clustered, rows), len(self.clustered) - 1)
        return np.where(self.clustered[at] == rows, self.cluster[at], rows)


@dataclass(frozen=True)
class Search:
    """What near means, and how much work is done for it."""

    threshold: float
    bands: int
    kept: Checkpoints
    cap: int = CAP
    workers: int = 1
    progress: Progress | None = None

    def total(self, n: int, unit: str) -> None:
        """Tell that a phase of n units begins."""
        if self.progress is not None:
            self.progress.total(n, unit)

    def tick(self, n: int = 1, note: str = "") -> None:
        """Tell that n units are done."""
        if self.progress is not None:
            self.progress.tick(n, note)


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
    older = [_pairs_between(signed, groups, one, n, search) for n, one in enumerate(earlier)]
    if earlier:
        clock.lap("earlier rows")
    near = _pairs_within(signed, groups, search)
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


def _pairs_within(signed: Signed, groups: Groups, search: Search) -> Pairs:
    """All near pairs of groups; those in crowds (see `crowds`) as far as groups are kept."""
    n = len(groups)
    settled = np.zeros(n, np.uint8)

    group = np.zeros(signed.n_texts, np.uint32)
    group[groups.text] = np.arange(n, dtype=np.uint32)

    def pair(band: int) -> tuple[Codes, int]:
        return band_pairs(signed.keys(band), search.cap, settled, group)

    def settle(known: Pairs) -> None:
        settled[:] = keep_best(n, known.codes, known.jaccard)[0] != np.arange(n)

    def verify(pairs: Codes) -> Floats:
        better, worse = (groups.text[side].astype(np.uint64) for side in unpacked(pairs))
        of_texts = worse << _HIGH | better
        return compare(signed.shingles, of_texts, search.threshold, threads=search.workers)

    found, seen, skips = _all_bands("bands", pair, verify, settle, search)
    crowded = np.flatnonzero(skips)
    for look in range(_LOOKS if len(crowded) else 0):

        def of_crowds(found: Pairs = found, seen: Codes = seen) -> Arrays:
            return _crowds(signed, groups, crowded, (found, seen), verify, search)

        done = search.kept.arrays(f"crowds-{look:03d}", of_crowds)
        fresh = Pairs(done["near"], done["jaccard"], len(done["tried"]))
        found = replace(_joined(found, fresh), skipped=int(done["skipped"][0]))
        seen = np.insert(seen, np.searchsorted(seen, done["tried"]), done["tried"])
        if not len(fresh.codes):
            break
    return found


def _crowds(
    signed: Signed, groups: Groups, bands: Ints, known: tuple[Pairs, Codes],
    verify: Callable[[Codes], Floats], search: Search,
) -> Arrays:  # fmt: skip
    """What is left of the crowds of all bands, each compared as it is after those before."""
    (found, seen), n = known, len(groups)
    near, tried, skipped = Pairs(seen[:0], np.zeros(0)), seen[:0], 0
    is_kept = keep_best(n, found.codes, found.jaccard)[0] == np.arange(n)
    for band in bands.tolist():
        crowds = Crowds.of_band(signed.keys(band)[groups.text], is_kept, search.cap)
        more, codes, jaccard = compare_crowd(crowds, (seen, tried), verify, search.threshold)
        skipped += crowds.skipped()
        tried = np.insert(tried, np.searchsorted(tried, more), more)
        if len(codes):
            fresh = Pairs(codes, jaccard)
            found, near = _joined(found, fresh), _joined(near, fresh)
            is_kept = keep_best(n, found.codes, found.jaccard)[0] == np.arange(n)
    return {
        "tried": tried, "near": near.codes, "jaccard": near.jaccard, "skipped": np.array([skipped]),
    }  # fmt: skip


def _joined(one: Pairs, other: Pairs) -> Pairs:
    """Two sets of pairs that have none in common."""
    at = np.searchsorted(one.codes, other.codes)
    return Pairs(
        np.insert(one.codes, at, other.codes), np.insert(one.jaccard, at, other.jaccard),
        one.candidates + other.candidates, one.skipped + other.skipped,
    )  # fmt: skip


def _pairs_between(
    signed: Signed, groups: Groups, old: Signed, number: int, search: Search
) -> Pairs:
    """All near pairs of a group and an earlier text."""
    bands = Bands(old)

    def pair(band: int) -> tuple[Codes, int]:
        return probe(bands.band(band), signed.keys(band)[groups.text], search.cap)

    def verify(pairs: Codes) -> Floats:
        text, group = unpacked(pairs)
        of_texts = groups.text[group].astype(np.uint64) << _HIGH | text.astype(np.uint64)
        return compare(
            signed.shingles, of_texts, search.threshold, better=old.shingles,
            threads=search.workers,
        )  # fmt: skip

    return _all_bands(f"earlier-{number:03d}", pair, verify, lambda _: None, search)[0]


def _all_bands(
    name: str,
    pair: Callable[[int], tuple[Codes, int]],
    verify: Callable[[Codes], Floats],
    settle: Callable[[Pairs], None],
    search: Search,
) -> tuple[Pairs, Codes, Ints]:
    """The pairs of all bands, each verified once; all candidates; how many each band skipped."""
    skips: list[Ints] = [np.zeros(0, np.int64)]
    seen, known = np.zeros(0, np.uint64), Pairs(np.zeros(0, np.uint64), np.zeros(0))
    search.total(search.bands, "bands")
    for start in range(0, search.bands, _BANDS_AT_ONCE):
        bands = range(start, min(start + _BANDS_AT_ONCE, search.bands))

        def of_bands(bands: range = bands, seen: Codes = seen) -> Arrays:
            with ThreadPoolExecutor(max(1, min(search.workers, len(bands)))) as pool:
                found = list(pool.map(pair, bands))
            fresh = distinct(pairs for pairs, _ in found)
            fresh = fresh[is_fresh(fresh, seen)]
            similar = verify(fresh)
            near = similar >= search.threshold
            return {
                "fresh": fresh, "near": fresh[near], "jaccard": similar[near],
                "skipped": np.array([n for _, n in found], np.int64),
            }  # fmt: skip

        done = search.kept.arrays(f"{name}-{start:03d}", of_bands)
        skips.append(done["skipped"])
        fresh = Pairs(done["near"], done["jaccard"], len(done["fresh"]), int(skips[-1].sum()))
        known = _joined(known, fresh)
        settle(known)
        seen = distinct([seen, done["fresh"]])
        search.tick(len(bands), f"{len(seen):,} candidates, {len(known.codes):,} near")
    return known, seen, np.concatenate(skips)


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
