from __future__ import annotations

import numpy as np
import pytest

from databuild.text.resampling import Resamples, bootstrap_mean, bootstrap_ratio, ratio


def test_the_interval_of_a_mean_is_about_two_standard_errors():
    values = np.random.default_rng(1).normal(3, 2, 400)
    found = bootstrap_mean(values, seed=7)
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(4 * 2 / 20, rel=0.15)
    again = bootstrap_ratio(values, np.ones(400), seed=7, resamples=4_000)
    assert again.high - again.low == pytest.approx(found.high - found.low, rel=0.1)


def test_members_of_a_group_do_not_pass_for_independent():
    # A hundred groups of nine equal members say no more than a hundred members.
    generator = np.random.default_rng(2)
    values = generator.integers(0, 2, 100).astype(np.float64)
    alone = bootstrap_ratio(values, np.ones(100), seed=7)
    grouped = bootstrap_ratio(9 * values, np.full(100, 9.0), seed=7)
    assert grouped == alone


def test_a_ratio_without_a_whole_is_none_and_a_resample_without_one_left_out():
    assert bootstrap_ratio(np.zeros(3), np.zeros(3), seed=7) is None
    found = bootstrap_ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]), seed=7)
    assert tuple(found) == (0.5, 0.5, 0.5)


def test_statistics_of_one_draw_may_be_compared():
    drawn = Resamples(50, seed=7)
    parts = np.random.default_rng(3).random(50)
    one = drawn.interval(np.stack([parts, np.ones(50)], axis=1), ratio)
    other = drawn.interval(np.stack([parts + 1, np.ones(50)], axis=1), ratio)
    assert other.low == pytest.approx(one.low + 1)
    assert other.high == pytest.approx(one.high + 1)
