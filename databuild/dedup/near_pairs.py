"""The near pairs of signed texts: the candidates of each band, compared by their whole sets.

Every few bands there is a checkpoint, and what was learned decides what the next bands propose:
rows that are dropped so far, and rows that were compared in vain, get fewer partners (`standing`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from databuild.dedup.batch_files import Bands
from databuild.dedup.candidates import (
    CAP,
    Paired,
    band_pairs,
    distinct,
    merged,
    probe,
    unpacked,
    unseen,
)
from databuild.dedup.comparing import compare
from databuild.dedup.crowds import Crowds, compare_crowd
from databuild.dedup.keeping import keep_best
from databuild.dedup.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from databuild.dedup.signing import Signed
    from databuild.engine.checkpoints import Arrays, Checkpoints
    from databuild.engine.resources import Progress

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Codes = NDArray[np.uint64]
    Flags = NDArray[np.bool_]

_BANDS_AT_ONCE = 4
"""Bands between two checkpoints, whatever the cores: what is known at a band does not depend on
them."""
_PAIRS_AT_ONCE = 1 << 20
_HIGH = np.uint64(32)
_LOOKS = 64
"""At crowds, of which each but the last finds something."""


@dataclass(frozen=True)
class Pairs:
    """Verified pairs, `worse << 32 | better` in ascending order, and their similarities."""

    codes: Codes
    jaccard: Floats
    candidates: int = 0
    skipped: int = 0


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


def pairs_within(signed: Signed, texts: Ints, search: Search) -> Pairs:
    """All near pairs of texts of one table; of those in crowds (see `crowds`) as far as kept.

    Args:
        signed: The texts.
        texts: Which of them, n in order of preference: row i of a pair is `texts[i]`.
        search: See `Search`.
    """
    n = len(texts)
    standing = Standing(n)
    rows = np.zeros(signed.n_texts, np.uint32)
    rows[texts] = np.arange(n, dtype=np.uint32)

    def pair(band: int) -> Paired:
        return band_pairs(signed.keys(band), search.cap, standing.codes, rows)

    def verify(pairs: Codes) -> Floats:
        found, size = np.empty(len(pairs)), max(_PAIRS_AT_ONCE, 2 * n)
        for at in range(0, len(pairs), size):
            here = slice(at, at + size)
            better, worse = (texts[side].astype(np.uint64) for side in unpacked(pairs[here]))
            of_texts = worse << _HIGH | better
            found[here] = compare(
                signed.shingles, of_texts, search.threshold, threads=search.workers
            )
        return found

    def learn(known: Pairs, compared: Codes, near: Codes) -> None:
        is_dropped = keep_best(n, known.codes, known.jaccard)[0] != np.arange(n)
        standing.learn(compared, near, is_dropped)

    found, seen, skips = _all_bands("bands", pair, verify, (learn, standing), search)
    crowded = np.flatnonzero(skips[:, 0])
    passed = int(skips[:, 1].sum())
    for look in range(_LOOKS if len(crowded) else 0):

        def of_crowds(found: Pairs = found, seen: Codes = seen) -> Arrays:
            bands = ((signed.keys(band)[texts]) for band in crowded.tolist())
            return _crowds(bands, standing.is_fruitless, (found, seen), verify, search)

        done = search.kept.arrays(f"crowds-{look:03d}", of_crowds)
        fresh = Pairs(done["near"], done["jaccard"], len(done["tried"]))
        found = replace(_joined(found, fresh), skipped=passed + int(done["skipped"][0]))
        seen = merged(seen, done["tried"])
        if not len(fresh.codes):
            break
    return found


def _crowds(
    bands: Iterator[NDArray[np.uint32]],
    is_fruitless: Flags,
    known: tuple[Pairs, Codes],
    verify: Callable[[Codes], Floats],
    search: Search,
) -> Arrays:
    """What is left of the crowds of all bands, each compared as it is after those before."""
    (found, seen), n = known, len(is_fruitless)
    tried, skipped, new = seen[:0], 0, [Pairs(seen[:0], np.zeros(0))]
    is_kept = keep_best(n, found.codes, found.jaccard)[0] == np.arange(n)
    for keys in bands:
        crowds = Crowds.of_band(keys, is_kept, search.cap, is_fruitless)
        more, codes, jaccard = compare_crowd(crowds, (seen, tried), verify, search.threshold)
        skipped += crowds.skipped()
        tried = merged(tried, more)
        if len(codes):
            new.append(Pairs(codes, jaccard))
            found = _joined(found, new[-1])
            is_kept = keep_best(n, found.codes, found.jaccard)[0] == np.arange(n)
    near = np.concatenate([one.codes for one in new])
    order = np.argsort(near)
    return {
        "tried": tried, "near": near[order],
        "jaccard": np.concatenate([one.jaccard for one in new])[order],
        "skipped": np.array([skipped]),
    }  # fmt: skip


def _joined(one: Pairs, other: Pairs) -> Pairs:
    """Two sets of pairs that have none in common."""
    at = np.searchsorted(one.codes, other.codes)
    return Pairs(
        np.insert(one.codes, at, other.codes), np.insert(one.jaccard, at, other.jaccard),
        one.candidates + other.candidates, one.skipped + other.skipped,
    )  # fmt: skip


def pairs_between(signed: Signed, texts: Ints, old: Signed, number: int, search: Search) -> Pairs:
    """All near pairs of a text and one of an earlier table, the better side of each pair.

    Args:
        signed: The texts.
        texts: As in `pairs_within`.
        old: The earlier table.
        number: Which one it is.
        search: See `Search`.
    """
    bands, standing = Bands(old), Standing(len(texts), both=False)

    def pair(band: int) -> Paired:
        return probe(bands.band(band), signed.keys(band)[texts], search.cap, standing.codes)

    def verify(pairs: Codes) -> Floats:
        text, row = unpacked(pairs)
        of_texts = texts[row].astype(np.uint64) << _HIGH | text.astype(np.uint64)
        return compare(
            signed.shingles, of_texts, search.threshold, better=old.shingles,
            threads=search.workers,
        )  # fmt: skip

    def learn(_: Pairs, compared: Codes, near: Codes) -> None:
        standing.learn(compared, near)

    return _all_bands(f"earlier-{number:03d}", pair, verify, (learn, standing), search)[0]


def _all_bands(
    name: str,
    pair: Callable[[int], Paired],
    verify: Callable[[Codes], Floats],
    learning: tuple[Callable[[Pairs, Codes, Codes], None], Standing],
    search: Search,
) -> tuple[Pairs, Codes, Ints]:
    """The near pairs of all bands; the pairs that are known; what each band left out.

    The last is of shape bands x 2: see `Paired`. Where a band has more candidates than rows, the
    next is searched alone: what one band teaches of a template spares the next most of its work.
    """
    learn, standing = learning
    skips = [np.zeros((0, 2), np.int64)]
    seen, known = np.zeros(0, np.uint64), Pairs(np.zeros(0, np.uint64), np.zeros(0))
    bands = range(min(1, search.bands))
    search.total(search.bands, "bands")
    while bands:

        def of_bands(bands: range = bands, seen: Codes = seen, known: Pairs = known) -> Arrays:
            with ThreadPoolExecutor(max(1, min(search.workers, len(bands)))) as pool:
                found = list(pool.map(pair, bands))
            fresh = distinct(one.pairs for one in found)
            left = np.array([[one.crowded, one.passed] for one in found], np.int64)
            del found
            fresh = fresh[unseen(fresh, seen) & unseen(fresh, known.codes)]
            similar = verify(fresh)
            near = similar >= search.threshold
            return {"fresh": fresh, "near": fresh[near], "jaccard": similar[near], "skipped": left}

        done = search.kept.arrays(f"{name}-{bands.start:03d}-{len(bands)}", of_bands)
        compared, near = done["fresh"], done["near"]
        skips.append(done["skipped"])
        more = Pairs(near, done["jaccard"], len(compared), int(skips[-1].sum()))
        known = _joined(known, more)
        learn(known, compared, near)
        seen = merged(standing.worth_knowing(seen), standing.worth_knowing(compared))
        note = f"{known.candidates:,} comparisons, {len(known.codes):,} near"
        search.tick(len(bands), note)
        is_crowded = len(compared) > len(bands) * len(standing.codes)
        size = 1 if is_crowded else min(2 * len(bands), _BANDS_AT_ONCE)
        bands = range(bands.stop, min(bands.stop + size, search.bands))
    return known, merged(seen, known.codes), np.concatenate(skips)
