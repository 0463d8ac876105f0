"""Bands of a signature: how many, of how many minima, and their keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.dedup.signatures import permutations
from databuild.errors import StepError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from databuild.dedup.shingles import Shingles

RECALL = 0.9995
_SLICE_ROWS = 4_004  # no power of two: the bands of a row would fall on the same lines of the cache


def banding(threshold: float, recall: float = RECALL, permutations: int = 128) -> tuple[int, int]:
    """Cut signatures into bands so that a pair at the threshold shares one with a stated chance.

    Two texts of Jaccard similarity s share the key of at least one of b bands of r minima with
    probability `1 - (1 - s**r)**b` (Broder 1997; Leskovec, Rajaraman, Ullman: Mining of Massive
    Datasets, 3.4). Of all r with `b = permutations // r` for which that is at least `recall` at the
    threshold, the largest makes the fewest candidates.

    Args:
        threshold: Jaccard similarity above 0, at most 1.
        recall: Chance of finding a pair that is exactly at the threshold; above it, more.
        permutations: Minima of a signature.

    Returns:
        The number of bands and the minima of each.

    Raises:
        StepError: The threshold is outside (0, 1], or so low that even single minima miss more
            (with 128 permutations and the default recall: below 0.0577).

    Example:
        >>> banding(0.7), banding(0.5), banding(0.5, permutations=256), banding(1.0)
        ((32, 4), (64, 2), (85, 3), (1, 128))
    """
    if not 0 < threshold <= 1:
        raise StepError(
            "dedup.minhash",
            f"threshold {threshold} is outside (0, 1]",
            fix="set it between, say 0.7",
        )
    for rows in range(permutations, 0, -1):
        if chance(threshold, permutations // rows, rows) >= recall:
            return permutations // rows, rows
    reach = 1 - (1 - recall) ** (1 / permutations)
    raise StepError(
        "dedup.minhash",
        f"{permutations} permutations find pairs of similarity {threshold} with a chance below"
        f" {recall}; the lowest threshold that they reach is {reach:.4f}",
        fix="raise threshold",
    )


def chance(similarity: float, bands: int, rows: int) -> float:
    """The chance that two texts of this Jaccard similarity share a band.

    Example:
        >>> round(chance(0.7, 32, 4), 5), round(chance(0.7, 14, 9), 2)
        (0.99985, 0.44)
    """
    return float(1 - (1 - similarity**rows) ** bands)


def band_keys(signed: NDArray[np.uint32], bands: int, rows: int) -> NDArray[np.uint32]:
    """Hash the minima of every band to 32 bits.

    Two rows whose minima differ share a key with a probability of 2**-32, which makes a candidate
    that verification throws out: about 100 a band for a million rows.

    Args:
        signed: N signatures of at least `bands * rows` minima.
        bands: Number of bands.
        rows: Minima of each.

    Returns:
        `bands` x N.

    Example:
        >>> keys = band_keys(np.arange(8, dtype=np.uint32).reshape(2, 4), 2, 2)
        >>> keys.shape, keys.dtype.name
        ((2, 2), 'uint32')
    """
    from databuild.dedup.kernels.signing import key_bands

    assert signed.shape[1] >= bands * rows, (signed.shape, bands, rows)
    found = np.empty((bands, len(signed)), np.uint32)
    key_bands(np.ascontiguousarray(signed), rows, found)
    return found


def keys_of(
    shingles: Shingles,
    bands: int,
    rows: int,
    *,
    of: NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> NDArray[np.uint32]:
    """The band keys of sets, without ever holding all of their signatures.

    Args:
        shingles: N sets.
        bands: Number of bands.
        rows: Minima of each; `bands * rows` permutations are used.
        of: Which sets, in which order; by default all N.
        threads: How many threads; by default as many as Polars has. The result is the same.

    Returns:
        `bands` x the number of rows: `4 * bands` bytes per row.

    Example:
        >>> from databuild.dedup.shingles import shingle
        >>> import polars as pl
        >>> keys = keys_of(shingle(pl.Series(["a b c d", "x", "A b c; d"])), 32, 4)
        >>> bool((keys[:, 0] == keys[:, 2]).all()), bool((keys[:, 0] == keys[:, 1]).any())
        (True, False)
    """
    from databuild.dedup.kernels.signing import key_sets

    hashes, offsets = np.asarray(shingles.hashes), np.asarray(shingles.offsets)
    of = np.arange(len(offsets) - 1) if of is None else np.ascontiguousarray(of, np.int64)
    drawn = permutations(bands * rows)

    def key(at: int) -> NDArray[np.uint32]:
        some = of[at : at + _SLICE_ROWS]
        made = np.empty((bands, len(some)), np.uint32)
        key_sets(hashes, offsets, some, *drawn, rows, made)
        return made

    starts = range(0, len(of), _SLICE_ROWS)
    threads = threads or pl.thread_pool_size()
    if threads == 1 or len(starts) < 2:
        made = [key(at) for at in starts]
    else:
        with ThreadPoolExecutor(threads) as pool:
            made = list(pool.map(key, starts))
    return np.concatenate([np.empty((bands, 0), np.uint32), *made], axis=1)
