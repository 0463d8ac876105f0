from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from databuild.reward.ensemble import EnsembleConfig, measure_together

NAN = float("nan")


def answers(n_prompts=40, k=5, seed=3):
    """Answers whose `long_score` is their length and some noise, `fair_score` only the noise."""
    generator = np.random.default_rng(seed)
    n = n_prompts * k
    chars = generator.integers(5, 400, n)
    fair = generator.normal(size=n)
    return pl.DataFrame(
        {
            "row_id": [f"r{i:04d}" for i in range(n)],
            "prompt": [f"p{i // k}" for i in range(n)],
            "response": ["x" * int(c) for c in chars],
            "fair_score": fair,
            "long_score": 100 * np.log1p(chars) + 20 * fair,
        }
    )


def together(rows, scores=("fair_score", "long_score"), seed=7, **options):
    return measure_together(rows, EnsembleConfig(scores=scores, **options), seed=seed)


SMALL = pl.DataFrame(
    {
        "row_id": ["a", "b", "c", "d"],
        "prompt": ["p", "p", "q", "q"],
        "response": ["x", "xx", "x", "xxxx"],
        "one": [0.0, 2.0, 0.0, 2.0],
        "two": [30.0, 30.0, 10.0, 10.0],
    }
)


def test_scores_of_different_scales_count_alike():
    found = together(SMALL, ("one", "two")).table
    assert found["ensemble_score"].to_list() == [0.0, 1.0, -1.0, 0.0]
    assert found["ensemble_spread"].to_list() == [1.0, 0.0, 0.0, 1.0]


def test_the_worst_score_counts_alone():
    found = together(SMALL, ("one", "two"), how="worst_z").table
    assert found["ensemble_score"].to_list() == [-1.0, 1.0, -1.0, -1.0]


def test_ranks_are_among_the_answers_to_a_prompt():
    found = together(SMALL, ("one", "two"), how="mean_rank").table
    assert found["ensemble_score"].to_list() == [0.25, 0.75, 0.25, 0.75]
    outlier = SMALL.with_columns(one=pl.Series([0.0, 1e9, 0.0, 2.0]))
    assert together(outlier, ("one", "two"), how="mean_rank").table.equals(found)


def test_weights_are_shares_of_the_mean():
    found = together(SMALL, ("one", "two"), weights={"one": 3.0}).table
    assert found["ensemble_score"].to_list() == [-0.5, 1.0, -1.0, 0.5]


def test_an_answer_that_fools_one_scorer_gains_nothing_from_the_worst_of_them():
    hacked = SMALL.with_columns(one=pl.Series([0.0, 1e3, 0.0, 2.0]), two=pl.Series([3.0, 2, 2, 3]))
    mean = together(hacked, ("one", "two")).table["ensemble_score"]
    worst = together(hacked, ("one", "two"), how="worst_z").table["ensemble_score"]
    assert mean.arg_max() == 1
    assert worst[1] == worst.min() < worst[0]


@pytest.mark.parametrize("how", ["mean_z", "mean_rank", "worst_z"])
def test_no_relation_with_length_is_left_within_prompts(how):
    rows = answers()
    before = together(rows, ("long_score",), how=how).facts["with_length_within_prompts"]
    after = together(rows, ("long_score",), how=how, debias_length=True)
    assert before["ensemble_score"] > 0.8
    if how == "mean_rank":  # the relation with ranks of length is gone, that with ln is small
        ranked = after.table.join(rows, on="row_id").with_columns(
            chars=pl.col("response").str.len_chars().rank().over("prompt")
        )
        centred = ranked.select(
            pl.col("ensemble_score", "chars")
            - pl.col("ensemble_score", "chars").mean().over("prompt")
        )
        assert abs(float((centred["ensemble_score"] * centred["chars"]).sum())) < 1e-6
    else:
        assert abs(after.facts["with_length_within_prompts"]["ensemble_score"]) < 1e-4
    # What is not length stays: the noise is found again.
    both = after.table.join(rows, on="row_id")
    names = ("ensemble_score", "fair_score")
    inner = both.select(pl.col(names) - pl.col(names).mean().over("prompt"))
    # Of ranks less: the length's are as even as they come, its logarithm is not.
    assert np.corrcoef(inner.to_numpy().T)[0, 1] > (0.4 if how == "mean_rank" else 0.8)


def test_length_is_taken_out_within_prompts_and_not_between_them():
    # The prompt with long answers has the better ones: that is no bias.
    rows = SMALL.with_columns(response=pl.Series(["x", "x", "xxxxxxxx", "xxxxxxxx"]))
    kept = together(rows, ("two",), debias_length=True).table
    assert kept.equals(together(rows, ("two",)).table)


def test_missing_scores_are_missing_unless_enough_are_there():
    rows = SMALL.with_columns(
        one=pl.Series([None, 2.0, NAN, float("inf")]), two=pl.Series([1.0, 2.0, None, 3.0])
    )
    found = together(rows, ("one", "two")).table
    assert found["ensemble_score"].is_null().to_list() == [True, False, True, True]
    assert found["error"].to_list() == [
        "no score of: one",
        None,
        "no score of: one, two",
        "no score of: one",
    ]
    lenient = together(rows, ("one", "two"), min_scores=1)
    assert lenient.table["ensemble_score"].is_null().to_list() == [False, False, True, False]
    assert lenient.facts["missing"] == {"one": 3, "two": 1}
    two = together(rows, ("two",)).table["ensemble_score"]
    assert lenient.table["ensemble_score"][0] == pytest.approx(two[0])


def test_each_round_another_draw_of_scorers_counts():
    rows = answers(8).with_columns(third=pl.col("fair_score") ** 2)
    scores = ("fair_score", "long_score", "third")
    drawn = [tuple(together(rows, scores, rotate=n).facts["counted"]) for n in range(12)]
    assert len(set(drawn)) == 3
    assert all(len(one) == 2 for one in drawn)
    again = [tuple(together(rows, scores, rotate=n).facts["counted"]) for n in range(12)]
    assert again == drawn
    one = together(rows, scores, rotate=1, count=1)
    (name,) = one.facts["counted"]
    assert one.table["ensemble_score"].equals(together(rows, (name,)).table["ensemble_score"])


def test_facts_tell_correlations_and_constants():
    rows = answers().with_columns(opposite=-pl.col("fair_score"), same=pl.lit(3))
    facts = together(rows, ("fair_score", "opposite", "same")).facts
    assert facts["correlations"]["fair_score ~ opposite"] == -1
    assert facts["correlations"]["fair_score ~ same"] is None
    assert facts["constant"] == ["same"]
    assert facts["with_length"]["same"] is None


def test_what_cannot_be_is_refused():
    for options, message in (
        ({"scores": ["a", "a"]}, "stands twice"),
        ({"scores": []}, "at least 1"),
        ({"scores": ["a"], "weights": {"b": 1}}, "'b' is none"),
        ({"scores": ["a"], "weights": {"a": 0}}, "above 0"),
        ({"scores": ["a"], "weights": {"a": 1}, "how": "worst_z"}, "count in a mean"),
        ({"scores": ["a", "b"], "count": 1}, "set rotate"),
        ({"scores": ["a", "b"], "rotate": 1, "count": 3}, "more than the scores"),
        ({"scores": ["a", "b"], "min_scores": 3}, "more than the scores"),
    ):
        with pytest.raises(ValidationError, match=message):
            EnsembleConfig(**options)


@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=True, width=32)), min_size=1, max_size=12),
    st.sampled_from(["mean_z", "mean_rank", "worst_z"]),
    st.booleans(),
)
def test_any_numbers_give_a_finite_score_or_an_error(values, how, debias):
    n = len(values)
    rows = pl.DataFrame(
        {
            "row_id": [f"r{i}" for i in range(n)],
            "prompt": [None if i % 5 == 4 else f"p{i % 2}" for i in range(n)],
            "response": [None if i % 7 == 6 else "x" * i for i in range(n)],
            "one": pl.Series(values, dtype=pl.Float64),
        }
    )
    found = together(rows, ("one",), how=how, debias_length=debias).table
    assert found.height == n
    for score, error in found.select("ensemble_score", "error").iter_rows():
        assert (score is None) == (error is not None)
        assert score is None or np.isfinite(score)
