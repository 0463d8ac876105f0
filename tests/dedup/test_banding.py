"""Bands are derived from the threshold by the recall that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.dedup.banding import band_keys, banding, chance, keys_of
from databuild.dedup.shingles import shingle
from databuild.dedup.signatures import signatures
from databuild.errors import StepError
from tests.dedup.plain import series


@given(st.floats(0.06, 1.0), st.floats(0.5, 0.9995), st.sampled_from([128, 256]))
def test_the_recall_is_reached_and_no_longer_band_reaches_it(threshold, recall, permutations):
    bands, rows = banding(threshold, recall, permutations)
    assert bands * rows <= permutations
    assert chance(threshold, bands, rows) >= recall
    if rows < permutations:
        assert chance(threshold, permutations // (rows + 1), rows + 1) < recall


def test_the_usual_threshold_has_the_usual_bands():
    assert banding(0.7) == (32, 4)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan")])
def test_a_threshold_outside_is_refused(threshold):
    with pytest.raises(StepError, match=r"outside \(0, 1\]"):
        banding(threshold)


def test_a_threshold_too_low_says_what_can_be_reached():
    with pytest.raises(StepError, match=r"lowest threshold that they reach is 0\.0577"):
        banding(0.05)
    assert banding(0.0578) == (128, 1)


def test_rows_share_a_key_exactly_where_their_minima_agree():
    rng = np.random.default_rng(1)
    signed = rng.integers(0, 2, (300, 12)).astype(np.uint32)
    keys = band_keys(signed, 4, 3)
    for band in range(4):
        minima = signed[:, 3 * band : 3 * band + 3]
        agree = (minima[:, None] == minima[None]).all(axis=2)
        assert (agree == (keys[band][:, None] == keys[band][None])).all()


def test_the_share_of_pairs_found_is_what_the_formula_says():
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(400):  # pairs of Jaccard 0.5: of 30 words 20 in common
        one = rng.choice(10_000, 30, replace=False)
        texts = [" ".join(f"w{k}" for k in part) for part in (one[:25], [*one[5:]])]
        keys = keys_of(shingle(series(texts), 1), 16, 4)
        found += bool((keys[:, 0] == keys[:, 1]).any())
    assert abs(found / 400 - chance(20 / 30, 16, 4)) < 0.06


def test_keys_of_sets_are_those_of_their_signatures():
    sets = shingle(series([f"row {n} of {n * n} rows" for n in range(40_000)]))
    keys = band_keys(signatures(sets, 32), 8, 4)
    assert (keys_of(sets, 8, 4, threads=1) == keys).all()
    some = np.array([39_999, 5, 5])
    assert (keys_of(sets, 8, 4, of=some, threads=4) == keys[:, some]).all()
