"""Pairs of rows that share a key: all of them, up to a cap whose cost is bounded and counted."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.dedup.batch_files import Band
from databuild.dedup.candidates import (
    CAP,
    band_pairs,
    distinct,
    merged,
    packed_pairs,
    probe,
    sorted_band,
    unpacked,
    unseen,
)
from databuild.dedup.kernels.pairing import DROPPED, FRUITLESS, OPEN


def couples(pairs):
    return {(int(b), int(w)) for b, w in zip(*unpacked(pairs), strict=True)}


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=CAP))
def test_all_pairs_with_a_common_key_are_found_once(keys):
    pairs, *skipped = band_pairs(np.array(keys, np.uint32))
    wanted = {(i, j) for i, j in combinations(range(len(keys)), 2) if keys[i] == keys[j]}
    assert couples(pairs) == wanted
    assert (len(pairs), skipped) == (len(wanted), [0, 0])


@pytest.mark.parametrize("size", [CAP, CAP + 1, 1000, 100_000])
def test_a_key_of_many_rows_has_few_pairs_a_row_and_counts_the_rest(size):
    pairs, skipped, _ = band_pairs(np.full(size, 7, np.uint32))
    assert len(pairs) <= size * CAP / 2
    assert len(pairs) + skipped == size * (size - 1) // 2
    better, worse = unpacked(pairs)
    assert (better < worse).all()
    assert set(worse.tolist()) == set(range(1, size))  # nobody is left alone
    assert len(distinct([pairs])) == len(pairs)


def test_of_a_crowd_only_rows_that_are_not_settled_are_paired():
    standing = np.full(1000, DROPPED, np.uint8)
    standing[[10, 500, 900]] = OPEN
    pairs, skipped, _ = band_pairs(np.full(1000, 7, np.uint32), standing=standing)
    assert couples(pairs) == {(10, 500), (10, 900), (500, 900)}
    assert skipped == 1000 * 999 // 2 - 3
    few, *left_out = band_pairs(np.full(3, 7, np.uint32), standing=standing)
    assert (couples(few), left_out) == ({(0, 1), (0, 2), (1, 2)}, [0, 0])


@pytest.mark.parametrize("size", [20, 200])
def test_a_fruitless_row_meets_two_rows_of_a_key_and_the_rest_is_counted(size):
    standing = np.full(size, FRUITLESS, np.uint8)
    standing[[0, size // 2]] = OPEN
    pairs, crowded, passed = band_pairs(np.full(size, 7, np.uint32), standing=standing)
    of = {row: {b for b, w in couples(pairs) if w == row} for row in range(size)}
    assert of[size // 2] == set(range(min(size // 2, 16)))
    assert of[1] == {0}
    assert all(of[row] == {0, 1} for row in range(2, size) if row != size // 2)
    assert (crowded > 0, passed > 0) == (size > CAP, size <= CAP)
    assert len(pairs) + crowded + passed == size * (size - 1) // 2


def test_a_fruitless_new_row_meets_two_old_rows():
    standing = np.array([FRUITLESS, OPEN], np.uint8)
    pairs, skipped, _ = probe(
        Band.of(np.full(9, 7, np.uint32)), np.full(2, 7, np.uint32), standing=standing
    )
    assert couples(pairs) == {(0, 0), (1, 0)} | {(i, 1) for i in range(9)}
    assert skipped == 7


def test_random_keys_of_many_rows():
    keys = np.random.default_rng(0).integers(0, 50_000, 100_000).astype(np.uint32) * np.uint32(
        1 << 16
    )
    pairs, *skipped = band_pairs(keys)
    better, worse = unpacked(pairs)
    assert (keys[better] == keys[worse]).all()
    sizes = np.unique(keys, return_counts=True)[1]
    assert (len(pairs), skipped) == ((sizes * (sizes - 1) // 2).sum(), [0, 0])


def test_a_band_is_sorted_by_key_and_row():
    keys = np.array([9, 1, 9, 2**32 - 1, 1], np.uint32)
    packed = sorted_band(keys)
    assert [(int(p) >> 32, int(p) & 0xFFFFFFFF) for p in packed] == [
        (1, 1),
        (1, 4),
        (9, 0),
        (9, 2),
        (2**32 - 1, 3),
    ]
    shared = sorted_band(keys, shared_only=True)
    assert set(packed[:4].tolist()) <= set(shared.tolist())


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 9), max_size=40),
    st.lists(st.integers(0, 9), max_size=20),
    st.integers(1, 5),
)
def test_new_rows_meet_the_best_old_rows_of_their_key(old, new, cap):
    pairs, skipped, _ = probe(Band.of(np.array(old, np.uint32)), np.array(new, np.uint32), cap)
    wanted, left = set(), 0
    for j, key in enumerate(new):
        same = [i for i, other in enumerate(old) if other == key]
        wanted |= {(i, j) for i in same[:cap]}
        left += len(same[cap:])
    assert couples(pairs) == wanted
    assert (len(pairs), skipped) == (len(wanted), left)


def test_a_crowd_has_more_pairs_than_there_are_new_rows():
    old = Band.of(np.full(40, 7, np.uint32))
    pairs, skipped, _ = probe(old, np.full(3, 7, np.uint32))
    assert couples(pairs) == {(i, j) for i in range(32) for j in range(3)}
    assert skipped == 3 * 8


def test_pairs_are_united_in_order():
    one = packed_pairs(np.array([3, 0]), np.array([4, 1]))
    assert [side.tolist() for side in unpacked(distinct([one, one[:1]]))] == [[0, 3], [1, 4]]
    assert len(distinct([])) == 0


@given(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99)))
def test_sets_of_pairs_are_merged_and_told_apart(one, other):
    old, new = (np.array(sorted(some), np.uint64) for some in (one, other))
    assert merged(old, new).tolist() == sorted(one | other)
    assert new[unseen(new, old)].tolist() == sorted(other - one)


@pytest.mark.parametrize("keys", [[], [5]])
def test_no_row_and_one_row_have_no_pairs(keys):
    pairs, *skipped = band_pairs(np.array(keys, np.uint32))
    assert (len(pairs), skipped) == (0, [0, 0])
    assert len(probe(Band.of(np.array(keys, np.uint32)), np.array([], np.uint32))[0]) == 0
