"""Rows of one template, by the thousand: compared to the end where they are duplicates."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from databuild.dedup.candidates import unpacked
from databuild.dedup.crowds import Crowds, compare_crowd
from databuild.dedup.minhash import MinhashConfig, drop_near_duplicates
from tests.bench.dedup_adversarial import TEMPLATE, make
from tests.bench.dedup_oracle import find_truth
from tests.bench.dedup_scores import greedy, score


def decide(rows: pl.DataFrame, threshold: float) -> tuple[pl.Series, dict]:
    """The ids of the kept rows, and the facts."""
    given = rows.select("text", row_id=pl.format("r{}", pl.col("id").cast(pl.String).str.zfill(8)))
    out = drop_near_duplicates(given, MinhashConfig(column="text", threshold=threshold))
    kept = out.table.filter(part="kept")["row_id"].str.slice(1).cast(pl.Int64)
    return kept.sort(), out.facts


@pytest.fixture(scope="module")
def template():
    rows = make("close_template", 900)
    return rows, find_truth(rows["text"])


@pytest.mark.parametrize("threshold", [0.7, 0.8])
def test_duplicates_in_a_template_are_decided_as_by_comparing_all_pairs(template, threshold):
    rows, truth = template
    kept, facts = decide(rows, threshold)
    told = score(truth, kept, np.arange(len(rows)), threshold)
    assert told["redundant"] > 800
    assert told["recall"] >= 0.999
    assert (told["p_strict"], told["harmful"], told["worse_kept"]) == (1.0, 0, 0)
    assert kept.to_list() == sorted(greedy(truth, np.arange(len(rows)), threshold).tolist())
    assert facts["skipped_pairs"] < 100  # of 404,550; counted are also pairs that are met elsewhere


def test_a_template_without_duplicates_costs_few_candidates_and_tells_what_it_left_out():
    per_row = []
    for n in (1_000, 4_000, 16_000):
        kept, facts = decide(make("template", n), 0.7)
        assert len(kept) >= n - 2
        assert facts["in_short"].endswith(f"{facts['skipped_pairs']:,} pairs not compared")
        per_row.append(facts["candidates"] / n)
    assert max(per_row) < 1.5 * per_row[0]
    assert max(per_row) < 80


def test_copies_with_a_word_changed_are_found_among_thousands_of_rows_of_their_template():
    """The words put in are few, so that keys are shared by hundreds; most rows are fruitless."""
    rng = np.random.default_rng(5)
    words = rng.integers(0, 500, (18_000, 6))
    of = rng.integers(0, len(words), 2_000)
    copies = words[of]
    copies[np.arange(len(of)), rng.integers(0, 6, len(of))] = rng.integers(0, 500, len(of))
    texts = [TEMPLATE.format(*some) for some in np.concatenate([words, copies]).tolist()]
    kept, facts = decide(pl.DataFrame({"id": np.arange(len(texts)), "text": texts}), 0.7)
    is_kept = np.zeros(len(texts), bool)
    is_kept[kept.to_numpy()] = True
    both = is_kept[of] & is_kept[len(words) :]
    assert both.sum() <= 2
    assert facts["skipped_pairs"] > 0


# ---------------------------------------------------------------------- one band, similarity by hand


def none() -> np.ndarray:
    return np.zeros(0, np.uint64)


def compared(groups: np.ndarray, keys: np.ndarray, cap: int) -> tuple[Crowds, np.ndarray, set]:
    """A band in which rows of one group are duplicates."""
    every = np.ones(len(keys), bool)
    crowds = Crowds.of_band(keys.astype(np.uint32), every, cap, ~every)

    def verify(pairs: np.ndarray) -> np.ndarray:
        assert (np.diff(pairs.astype(np.int64)) > 0).all()
        better, worse = unpacked(pairs)
        assert (better < worse).all()
        assert (keys[better] == keys[worse]).all()
        return np.where(groups[better] == groups[worse], 0.9, 0.0)

    tried, near, _ = compare_crowd(crowds, [np.zeros(0, np.uint64)], verify, 0.7)
    kept = np.setdiff1d(crowds.rows, crowds.rows[crowds.is_gone])
    pairs = set(zip(*(side.tolist() for side in unpacked(tried)), strict=True))
    assert set(near.tolist()) <= set(tried.tolist())
    return crowds, kept, pairs


@pytest.mark.slow
def test_a_crowd_of_few_distinct_texts_is_compared_to_the_end():
    groups = np.random.default_rng(1).integers(0, 60, 20_000)
    crowds, kept, pairs = compared(groups, np.full(20_000, 7), cap=32)
    assert kept.tolist() == np.unique(groups, return_index=True)[1][np.argsort(
        np.unique(groups, return_index=True)[1])].tolist()  # fmt: skip
    assert crowds.skipped() == 0
    assert len(pairs) < 64 * 20_000


def test_what_is_left_out_is_counted_one_by_one():
    n, keys = 900, np.repeat([3, 4, 5], [500, 30, 370])
    crowds, kept, pairs = compared(np.arange(n), keys, cap=32)
    assert len(kept) == 870  # 30 with one key are no crowd
    every = 500 * 499 // 2 + 370 * 369 // 2
    assert crowds.skipped() == every - len(pairs) > 0


@pytest.mark.parametrize(("share", "n_compared"), [(0.4, 50 * 49 // 2), (0.6, 25)])
def test_of_rows_that_were_compared_in_vain_before_a_sample_is_compared(share, n_compared):
    keys = np.full(50, 7, np.uint32)
    is_fruitless = np.arange(50) < share * 50
    crowds = Crowds.of_band(keys, np.ones(50, bool), 32, is_fruitless)
    tried, _, _ = compare_crowd(crowds, [none()], lambda pairs: np.zeros(len(pairs)), 0.7)
    assert abs(len(tried) - n_compared) <= 3
    assert crowds.skipped() == 50 * 49 // 2 - len(tried)


def test_duplicates_among_rows_that_were_compared_in_vain_are_all_found():
    """As where a row meets one of its own fifty only by chance."""
    groups = np.random.default_rng(1).integers(0, 50, 2_000)
    crowds = Crowds.of_band(
        np.full(2_000, 7, np.uint32), np.ones(2_000, bool), 32, np.ones(2_000, bool)
    )

    def verify(pairs: np.ndarray) -> np.ndarray:
        better, worse = unpacked(pairs)
        return np.where(groups[better] == groups[worse], 0.9, 0.0)

    compare_crowd(crowds, [none()], verify, 0.7)
    assert 2_000 - crowds.is_gone.sum() == 50


def test_rows_of_small_crowds_are_all_compared():
    keys = np.repeat(np.arange(5), 40)
    crowds, _, pairs = compared(np.arange(200), keys, cap=32)
    assert len(pairs) == 5 * 40 * 39 // 2
    assert crowds.skipped() == 0
