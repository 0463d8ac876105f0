"""Similarities are exact, with and without a threshold."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.dedup.candidates import packed_pairs
from databuild.dedup.shingles import Shingles, shingle
from databuild.dedup.verification import jaccards
from tests.dedup.plain import SENTENCES, jaccard, series, sets


@settings(max_examples=200, deadline=None)
@given(SENTENCES, st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 0.7, 1.0]), st.integers(1, 3))
def test_similarities_equal_those_of_plain_python(texts, threshold, ngram):
    grams = sets(texts, ngram)
    couples = list(combinations(range(len(texts)), 2))
    pairs = packed_pairs(
        np.array([i for i, _ in couples], int), np.array([j for _, j in couples], int)
    )
    found = jaccards(shingle(series(texts), ngram), pairs, threshold)
    wanted = [jaccard(grams[i], grams[j]) for i, j in couples]
    assert found.tolist() == [s if s >= threshold else 0.0 for s in wanted]


@pytest.mark.slow
def test_a_similarity_at_the_threshold_is_found_for_every_size():
    """For k of m common words, at exactly k / m as a threshold and just above it."""
    for m in range(2, 60):
        for k in range(1, m):
            texts = [" ".join(map(str, range(k))), " ".join(map(str, range(m)))]
            found = shingle(series(texts), 1)
            pair = np.array([1 << 32], np.uint64)
            assert jaccards(found, pair, k / m, threads=1)[0] == k / m
            assert jaccards(found, pair, np.nextafter(k / m, 1), threads=1)[0] == 0


def test_threads_tables_and_mapped_files_make_no_difference(tmp_path):
    texts = series([f"some row {n % 13} of the {n % 11} rows of {n % 7}" for n in range(2000)])
    found = shingle(texts)
    rng = np.random.default_rng(4)
    better, worse = rng.integers(0, 2000, (2, 100_000))
    pairs = packed_pairs(better, worse)
    one = jaccards(found, pairs, 0.3, threads=1)
    assert 0 < (one > 0).mean() < 1
    assert (jaccards(found, pairs, 0.3, threads=4) == one).all()
    for name, part in zip(Shingles._fields, found, strict=True):
        np.save(tmp_path / f"{name}.npy", part)
    mapped = Shingles(
        *(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in Shingles._fields)
    )
    assert (jaccards(mapped, pairs, 0.3) == one).all()
    old, new = shingle(texts[:1500]), shingle(texts[1500:])
    across = jaccards(new, packed_pairs(better[:500] % 1500, worse[:500] % 500), better=old)
    plain = jaccards(found, packed_pairs(better[:500] % 1500, worse[:500] % 500 + 1500))
    assert (across == plain).all()


def test_no_pairs():
    assert jaccards(shingle(series(["a"])), np.empty(0, np.uint64)).shape == (0,)
