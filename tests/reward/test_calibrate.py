from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from databuild.errors import SchemaError, StepError
from databuild.reward.calibrate import CalibrateConfig, calibrate_scorers
from databuild.reward.calibration_numbers import ece, equal_mass, fit_slope, kappa, tie_limit

NAN = float("nan")


def made(n=800, slope=2.0, seed=5):
    """Pairs of which people prefer a with the chance 1 / (1 + exp(-slope margin))."""
    generator = np.random.default_rng(seed)
    margins = generator.normal(size=n)
    wins = generator.random(n) < 1 / (1 + np.exp(-slope * margins))
    chars = generator.integers(1, 200, (n, 2))
    return pl.DataFrame(
        {
            "row_id": [f"r{i:04d}" for i in range(n)],
            "response_a": ["x" * int(c) for c in chars[:, 0]],
            "response_b": ["x" * int(c) for c in chars[:, 1]],
            "vote": ["a" if won else "b" for won in wins],
            "margin": margins,
            "lang": ["en" if i % 3 else "zh" for i in range(n)],
        }
    )


def calibrate(rows, tmp_path, label="vote", seed=7, **options):
    out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    out.mkdir()
    config = CalibrateConfig(
        **{"label": label, "scores": {"it": "margin"}, "resamples": 200} | options
    )
    facts = calibrate_scorers(rows, config, out=out, seed=seed)
    written = json.loads((out / "calibration.json").read_text("utf-8"))
    return facts, written, (out / "calibration.html").read_text("utf-8")


def test_the_slope_is_found_again_and_a_calibrated_scorer_has_a_small_error(tmp_path):
    facts, written, _ = calibrate(made(4000), tmp_path)
    told = facts["scorers"]["it"]
    assert told["slope"] == pytest.approx(2.0, rel=0.1)
    assert told["temperature"] == pytest.approx(1 / told["slope"], rel=1e-4)
    assert told["margin_at"]["0.9"] == pytest.approx(math.log(9) / told["slope"], rel=1e-4)
    assert told["ece"]["mean"] <= told["ece"]["by_chance_high"] < 0.04
    curve = written["scorers"]["it"]["reliability"]
    assert len(curve) == 15
    assert sum(one["n"] for one in curve) == 4000
    assert max(abs(one["n"] - 4000 / 15) for one in curve) <= 1
    assert all(abs(one["confidence"] - one["accuracy"]) < 0.1 for one in curve)


def test_a_scorer_whose_order_alone_is_right_has_a_large_error(tmp_path):
    # Cubed margins are far too sure at the ends and far too unsure in the middle.
    facts, _, _ = calibrate(made(4000).with_columns(margin=pl.col("margin") ** 9), tmp_path)
    plain, _, _ = calibrate(made(4000), tmp_path)
    bent, straight = facts["scorers"]["it"], plain["scorers"]["it"]
    assert bent["accuracy"] == straight["accuracy"]
    assert bent["ece"]["mean"] > 3 * straight["ece"]["mean"]
    assert bent["ece"]["mean"] > bent["ece"]["by_chance_high"]


def test_accuracy_counts_equal_scores_half_and_leaves_out_ties_and_missing_scores(tmp_path):
    rows = pl.DataFrame(
        {
            "row_id": list("abcdefgh"),
            "response_a": ["x"] * 8,
            "response_b": ["yy"] * 8,
            "vote": ["a", "a", "b", "b", "tie", "both_bad", "a", None],
            "margin": [1.0, 0.0, 1.0, -2.0, 5.0, 0.0, NAN, 1.0],
        }
    )
    facts, _, _ = calibrate(rows, tmp_path)
    told = facts["scorers"]["it"]
    assert told["accuracy"]["mean"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert (told["decided"], told["missing"], told["undecided_by_scorer"]) == (4, 1, 1)
    assert facts["people"]["pairs"] == 7
    assert facts["people"]["ties"] == 2
    assert facts["rows_skipped"] == [{"row_id": "h", "reason": "no label"}]


def test_swapping_the_sides_changes_nothing_but_the_position(tmp_path):
    rows = made()
    swapped = rows.with_columns(
        response_a="response_b",
        response_b="response_a",
        margin=-pl.col("margin"),
        vote=pl.col("vote").replace({"a": "b", "b": "a"}),
    )
    one, other = (calibrate(each, tmp_path)[1]["scorers"]["it"] for each in (rows, swapped))
    position = {"picks_a", "accuracy_where_a_is_preferred", "accuracy_where_b_is_preferred"}
    assert {k: v for k, v in one.items() if k not in position} == {
        k: v for k, v in other.items() if k not in position
    }
    assert one["picks_a"]["mean"] == pytest.approx(1 - other["picks_a"]["mean"], abs=1e-6)
    assert one["accuracy_where_a_is_preferred"] == other["accuracy_where_b_is_preferred"]


def test_a_scorer_that_merely_picks_the_longer_one_is_found_out(tmp_path):
    rows = made().with_columns(
        margin=pl.col("response_a").str.len_chars().cast(pl.Float64)
        - pl.col("response_b").str.len_chars()
    )
    facts, written, page = calibrate(rows, tmp_path)
    told = facts["scorers"]["it"]
    assert told["picks_longer"]["mean"] == 1
    assert told["accuracy_where_shorter_is_preferred"]["mean"] == 0
    assert told["accuracy_where_longer_is_preferred"]["mean"] == 1
    assert told["above_length"] == {"n": 800, "mean": 0.0, "low": 0.0, "high": 0.0}
    buckets = written["scorers"]["it"]["by_length"]
    assert [one["accuracy"]["mean"] for one in buckets if one["to"] and one["to"] <= 0.8] == [0, 0]
    assert "Accuracy by length" in page


def test_a_scorer_that_always_picks_a_is_found_out(tmp_path):
    told = calibrate(made().with_columns(margin=1.0), tmp_path)[0]["scorers"]["it"]
    assert told["picks_a"]["mean"] == 1
    assert told["accuracy_where_a_is_preferred"]["mean"] == 1
    assert told["accuracy_where_b_is_preferred"]["mean"] == 0


def test_a_scorer_that_points_the_wrong_way_has_no_temperature(tmp_path):
    facts, _, page = calibrate(made().with_columns(margin=-pl.col("margin")), tmp_path)
    told = facts["scorers"]["it"]
    assert told["accuracy"]["high"] < 0.5
    assert told["slope"] < 0
    assert (told["temperature"], told["margin_at"]["0.9"]) == (None, None)
    assert "–" in page


def test_a_stratum_tells_where_a_scorer_fails(tmp_path):
    rows = made().with_columns(
        margin=pl.when(pl.col("lang") == "zh").then(-pl.col("margin")).otherwise("margin")
    )
    _, written, page = calibrate(rows, tmp_path, by="lang")
    by = {one["value"]: one["accuracy"] for one in written["scorers"]["it"]["strata"]["lang"]}
    assert by["en"]["low"] > 0.5 > by["zh"]["high"]
    assert "<h3>lang</h3>" in page


def test_two_columns_of_scores_are_a_margin_and_a_list_of_columns_names_itself(tmp_path):
    rows = made().with_columns(one=pl.col("margin") + 7, two=pl.lit(7))
    pair = calibrate(rows, tmp_path, scores={"it": ["one", "two"]})[1]["scorers"]["it"]
    single = calibrate(rows, tmp_path, scores=["margin"])[1]["scorers"]["margin"]
    assert pair["accuracy"] == single["accuracy"]
    assert pair["ece"] == single["ece"]


def test_graded_answers_are_paired_within_prompts(tmp_path):
    rows = pl.DataFrame(
        {
            "row_id": list("abcdef"),
            "prompt": ["p", "p", "p", "q", "q", "r"],
            "response": ["x", "xx", "xxx", "x", "xx", "x"],
            "right": [True, False, True, False, True, True],
            "score": [0.9, 0.1, 0.05, 0.2, 0.7, 0.5],
        }
    )
    facts, written, page = calibrate(
        rows, tmp_path, label=None, grade="right", scores={"it": "score"}
    )
    # p: a over b is right, c over b is wrong, a and c are a tie; q: e over d is right.
    assert facts["people"] | {"prefer_longer": 0, "prefer_a": 0} == {
        "pairs": 4, "ties": 1, "prefer_longer": 0, "prefer_a": 0,
    }  # fmt: skip
    assert facts["scorers"]["it"]["accuracy"]["mean"] == pytest.approx(2 / 3, abs=1e-6)
    assert facts["rows_skipped"] == [
        {"row_id": "f", "reason": "the only graded answer to its prompt"}
    ]
    assert "Position" not in page
    assert written["is_graded"]


def test_chosen_and_rejected_need_no_label(tmp_path):
    rows = made().select(
        "row_id", chosen="response_a", rejected="response_b", margin=pl.col("margin").abs()
    )
    facts, _, _ = calibrate(rows, tmp_path, label=None, a="chosen", b="rejected")
    assert facts["scorers"]["it"]["accuracy"]["mean"] == 1


def test_a_number_as_label_is_a_preference(tmp_path):
    rows = made().with_columns(
        vote=pl.when(pl.col("vote") == "a").then(2.5).otherwise(-0.5), other="vote"
    )
    number = calibrate(rows, tmp_path)[0]
    word = calibrate(rows, tmp_path, label="other")[0]
    assert number == word


def test_the_slope_of_a_scorer_that_is_always_right_is_finite():
    slope = fit_slope(np.array([1.0, 2.0, -3.0]), np.array([1.0, 1.0, -1.0]))
    assert slope is not None
    assert 0 < slope < 100
    assert fit_slope(np.zeros(3), np.ones(3)) is None
    assert fit_slope(np.array([]), np.array([])) is None
    tiny = fit_slope(np.array([1e-9, 2e-9, -3e-9]), np.array([1.0, 1.0, -1.0]))
    assert tiny == pytest.approx(slope * 1e9, rel=1e-6)


def test_the_numbers_agree_with_hand_computed_ones():
    # Two bins: 2 pairs sure 0.6 of which 1 is right, 2 pairs sure 0.9, both right.
    sums = np.array([[2, 1.2, 1, 2, 1.8, 2]])
    assert ece(sums)[0] == pytest.approx((abs(1.2 - 1) + abs(1.8 - 2)) / 4)
    # Cohen 1960: rows people, columns scorer; agreed 0.7, by chance 0.5.
    table = np.zeros((1, 9))
    table[0, [0, 2, 6, 8]] = [35, 15, 15, 35]
    assert kappa(table)[0] == pytest.approx((0.7 - 0.5) / 0.5)
    assert np.isnan(kappa(np.eye(9)[:1]))[0]
    assert equal_mass(np.full(7, 0.5), 15).tolist() == [7] * 7
    assert tie_limit(np.array([3.0, 1.0]), np.array([1.0, -1.0])) == 0


def test_what_cannot_be_is_refused(tmp_path):
    for options, message in (
        ({"label": "v", "grade": "g"}, "not both"),
        ({"scores": {"it": ["a", "b", "c"]}}, "3 columns"),
        ({"grade": "g", "scores": {"it": ["a", "b"]}}, "2 columns"),
        ({"scores": {"length": "a"}}, "prefers the longer"),
        ({"probabilities": (0.6, 0.7, 0.9)}, "fall"),
        ({"scores": {}}, "at least 1"),
    ):
        with pytest.raises(ValidationError, match=message):
            CalibrateConfig(**{"scores": {"it": "m"}} | options)
    with pytest.raises(SchemaError, match="the label 'vote' is Boolean"):
        calibrate(made().with_columns(vote=True), tmp_path)
    with pytest.raises(SchemaError, match="the grade 'vote' is String"):
        calibrate(
            made().with_columns(prompt=pl.lit("p"), response=pl.lit("x")), tmp_path, label=None,
            grade="vote",
        )  # fmt: skip
    with pytest.raises(StepError, match="people judged no pair"):
        calibrate(made().with_columns(vote=pl.lit("?")), tmp_path)


def test_a_scorer_without_any_score_and_odd_names_are_shown(tmp_path):
    rows = made(30).with_columns(none=pl.lit(None, dtype=pl.Float64))
    facts, _, page = calibrate(rows, tmp_path, scores={"<b>": "none", "it": "margin"}, by="lang")
    assert facts["scorers"]["<b>"]["accuracy"] is None
    assert facts["scorers"]["<b>"]["missing"] == 30
    assert "&lt;b&gt;" in page
    assert "<b>length" in page
    assert "<td><b></td>" not in page


def test_many_prompts_are_resampled_in_blocks(tmp_path):
    rows = made(9000)
    whole = calibrate(rows, tmp_path)[0]["scorers"]["it"]["accuracy"]
    width = 2 * 1.96 * math.sqrt(whole["mean"] * (1 - whole["mean"]) / 9000)
    assert whole["high"] - whole["low"] == pytest.approx(width, rel=0.25)


def test_on_real_pairs_length_agrees_with_people_here_and_not_there(shared_data, tmp_path):
    pairs = pl.read_parquet(shared_data / "preference_pairs.parquet").with_row_index("n")
    rows = pairs.select(
        "response_a", "response_b", "source", row_id=pl.format("{}", "n"), vote="label",
        words=pl.col("response_a").str.count_matches(r"\w+").cast(pl.Int64)
        - pl.col("response_b").str.count_matches(r"\w+").cast(pl.Int64),
    )  # fmt: skip
    _, written, _ = calibrate(rows, tmp_path, scores=["words"], by="source")
    by = {one["value"]: one["accuracy"] for one in written["scorers"]["length"]["strata"]["source"]}
    assert by["pandalm"]["low"] > 0.6  # people like the longer answer ...
    assert by["llmbar"]["high"] < 0.4  # ... and these pairs were made to fool whoever does
    assert written["people"]["ties"] == 43
