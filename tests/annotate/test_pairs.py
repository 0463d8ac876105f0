"""annotate.pairs, and that trainers and scorers take what it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild.annotate.aggregate import AggregateConfig, aggregate_votes
from databuild.annotate.pairs import PairsConfig, make_voted_pairs
from databuild.reward.calibrate import CalibrateConfig, calibrate_scorers
from databuild.schema.rows import check_rows
from databuild.train.examples import Examples
from databuild.train.graded import with_grades
from databuild.train.options import DpoOptions
from tests.annotate.votes import preference_votes, table, vote

if TYPE_CHECKING:
    from pathlib import Path


def voted(*votes: dict[str, Any]) -> pl.DataFrame:
    made = aggregate_votes(table(votes), AggregateConfig()).rows
    return made.with_columns(row_id=pl.format("agg-{}", "record"))


@pytest.mark.parametrize(
    ("grade", "strength", "weight"),
    [
        (4, "significantly better", 1.0),
        (3, "better", 0.75),
        (2, "slightly better", 0.5),
        (1, "marginally better", 0.25),
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_every_grade_is_a_pair_of_its_strength(
    grade: int, strength: str, weight: float, side: int
) -> None:
    rows = voted(vote(7, "ann", side * grade))
    row = make_voted_pairs(rows, PairsConfig()).rows.row(0, named=True)
    answers = (rows["response_a"].item(), rows["response_b"].item())[::side]
    assert (row["chosen"], row["rejected"]) == answers
    assert (row["strength"], row["weight"], row["margin"]) == (strength, weight, weight)
    assert row["relation"] == "chosen > rejected"
    assert row["parent_ids"] == ["agg-r007"]


def test_a_rewrite_gives_all_three_pairs() -> None:
    made = make_voted_pairs(
        voted(vote(1, "ann", -1, edited="改写")), PairsConfig(edit_grade=3)
    ).rows
    a, b = "The first answer to 1. 🙂", "另一个回答 1"
    told = made.select("chosen", "rejected", "relation", "weight", "chosen_origin").rows()
    assert told == [
        (b, a, "chosen > rejected", 0.25, "sampled"),
        ("改写", b, "edited > chosen", 0.75, "edited"),
        ("改写", a, "edited > rejected", 1.0, "edited"),
    ]
    without = make_voted_pairs(voted(vote(1, "ann", -1, edited="改写")), PairsConfig(edits=False))
    assert without.rows.height == 1


def test_a_rewrite_that_changes_nothing_is_no_pair_with_the_chosen_answer() -> None:
    same = voted(vote(1, "ann", -2, edited="另一个回答 1"))
    made = make_voted_pairs(same, PairsConfig()).rows
    assert made["relation"].to_list() == ["chosen > rejected", "edited > rejected"]


def test_ties_are_kept_as_ties_and_nothing_is_lost() -> None:
    rows = voted(
        vote(1, "ann", 0), vote(2, "ann", 0, edited="better than both"), vote(3, "ann", 1),
        vote(4, "ann", 2, response_b="The first answer to 4. 🙂"),
    )  # fmt: skip
    made = make_voted_pairs(rows, PairsConfig(min_grade=2))
    assert dict(made.dropped.iter_rows()) == {
        "agg-r001": "a tie", "agg-r003": "weaker than grade 2", "agg-r004": "both answers are equal",
    }  # fmt: skip
    assert made.facts == {"pairs": {"edited > chosen": 2}, "ties": 2}
    kept = make_voted_pairs(rows, PairsConfig(ties="keep")).rows
    ties = kept.filter(relation="tie")
    assert ties.select("weight", "margin", "strength").unique().rows() == [(0.0, 0.0, None)]
    assert ties.height == 2


def test_pairs_are_rows_of_a_preference_and_trainers_take_them_as_they_are() -> None:
    votes = preference_votes(30, (0.9, 0.8, 0.7))
    rows = aggregate_votes(votes, AggregateConfig()).rows.with_columns(row_id="record")
    pairs = make_voted_pairs(rows, PairsConfig(ties="keep")).rows.with_row_index("row_id")
    pairs = pairs.with_columns(pl.col("row_id").cast(pl.String)).drop("messages")
    assert check_rows(pairs, "preference").null_count() == pairs.height
    ids = pairs["row_id"].to_list()
    options = DpoOptions(weight="weight", margin="margin", agreement="agreement")
    graded = with_grades(Examples([{} for _ in ids], ids), pairs, options)
    ties = pairs.filter(relation="tie")
    assert {one["row_id"] for one in graded.skipped} >= set(ties["row_id"])
    assert (
        len(graded.rows) == pairs.filter(pl.col("weight") > 0, pl.col("agreement") > 0).height > 20
    )
    told = dict(zip(graded.ids, graded.rows, strict=True))
    first = pairs.filter(pl.col("weight") > 0, pl.col("agreement") > 0).row(0, named=True)
    assert told[first["row_id"]]["weight"] == pytest.approx(first["weight"] * first["agreement"])


def test_what_people_said_calibrates_scorers(tmp_path: Path) -> None:
    votes = preference_votes(60, (0.95, 0.9, 0.9))
    truth = votes.group_by("record").agg(good=pl.col("truth").first().cast(pl.Float64))
    rows = aggregate_votes(votes, AggregateConfig()).rows.join(truth, on="record")
    rows = rows.with_columns(row_id="record", bad=-pl.col("good"))
    config = CalibrateConfig(label="grade", scores={"good": "good", "bad": "bad"}, resamples=100)
    facts = calibrate_scorers(rows, config, out=tmp_path, seed=1)
    assert facts["scorers"]["good"]["accuracy"]["mean"] > 0.9
    assert facts["scorers"]["bad"]["accuracy"]["mean"] < 0.1
    by_side = calibrate_scorers(
        rows, config.model_copy(update={"label": "vote"}), out=tmp_path, seed=1
    )
    assert (
        by_side["scorers"]["good"]["accuracy"]["mean"]
        == facts["scorers"]["good"]["accuracy"]["mean"]
    )
