"""Which rows are compared with few others: those that were compared with many in vain."""

from __future__ import annotations

import numpy as np
import pytest

from databuild.dedup.candidates import packed_pairs
from databuild.dedup.kernels.pairing import DROPPED, FRUITLESS, OPEN
from databuild.dedup.standing import PATIENCE, Standing


def pairs_of(row: int, n: int) -> np.ndarray:
    return packed_pairs(np.full(n, row), np.arange(row + 1, row + 1 + n))


@pytest.mark.parametrize(("both", "expected"), [(True, FRUITLESS), (False, OPEN)])
def test_a_row_is_fruitless_after_many_comparisons_in_vain_on_either_side(both, expected):
    standing, none = Standing(100, both=both), np.zeros(0, np.uint64)
    standing.learn(pairs_of(0, PATIENCE - 1), none)
    assert set(standing.codes.tolist()) == {OPEN}
    standing.learn(packed_pairs(np.array([0]), np.array([99])), none)
    assert standing.codes[0] == expected
    assert set(standing.codes[1:].tolist()) == {OPEN}


def test_every_near_row_that_is_found_earns_as_many_comparisons():
    standing = Standing(100)
    standing.learn(pairs_of(0, 2 * PATIENCE - 1), pairs_of(0, 1))
    assert standing.codes[0] == OPEN
    standing.learn(pairs_of(0, 1), np.zeros(0, np.uint64))
    assert standing.codes[0] == FRUITLESS


def test_a_dropped_row_is_dropped_and_may_be_open_again():
    standing, none = Standing(60), np.zeros(0, np.uint64)
    standing.learn(pairs_of(0, 50), none, np.arange(60) == 0)
    assert standing.codes[0] == DROPPED
    standing.learn(none, none, np.zeros(60, bool))
    assert standing.codes[0] == FRUITLESS


def test_pairs_of_worse_rows_that_are_fruitless_are_forgotten():
    standing = Standing(200, both=False)
    pairs = packed_pairs(np.arange(PATIENCE), np.full(PATIENCE, 99))
    other = packed_pairs(np.array([3]), np.array([100]))
    both = np.concatenate([pairs, other])
    assert standing.worth_knowing(both) is both
    standing.learn(both, np.zeros(0, np.uint64))
    assert standing.worth_knowing(both).tolist() == other.tolist()
