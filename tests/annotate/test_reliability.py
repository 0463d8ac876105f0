"""Alpha, Dawid-Skene, annotate.agreement, annotate.gate: against published and known numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from databuild.annotate.adjudicate import AdjudicateConfig, select_disputed
from databuild.annotate.aggregate import AggregateConfig, aggregate_votes
from databuild.annotate.agreement import AgreementConfig, report_agreement
from databuild.annotate.alpha import alpha
from databuild.annotate.dawid_skene import dawid_skene
from databuild.annotate.gate import GateConfig, select_reliable
from databuild.errors import StepError
from tests.annotate.votes import preference_votes, table, vote

if TYPE_CHECKING:
    from pathlib import Path

N = float("nan")
# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]


def test_alpha_is_that_of_the_published_example() -> None:
    values_AU = np.array(PUBLISHED)
    people, units = np.nonzero(~np.isnan(values_AU))
    values = values_AU[people, units]
    nominal = alpha(units, values, "nominal")
    assert nominal.value == pytest.approx(0.743, abs=5e-4)
    assert (nominal.n_units, nominal.n_values) == (11, 40)  # the last unit has one value
    assert alpha(units, values, "ordinal").value == pytest.approx(0.815, abs=5e-4)


def test_alpha_is_none_where_it_is_not_defined() -> None:
    one = np.array([0, 0, 1])
    assert alpha(one, np.array([2.0, 2, 2]), "ordinal").value is None
    assert alpha(np.arange(3), np.array([1.0, 2, 3]), "ordinal").value is None
    assert alpha(np.array([], int), np.array([]), "ordinal", resamples=10).n_units == 0
    assert alpha(one, np.array([1.0, 2, 1]), "ordinal").value == 0.0


def test_which_answer_is_called_a_makes_no_difference_to_preferences(tmp_path: Path) -> None:
    votes = preference_votes(80, (0.9, 0.8), seed=6)
    favourite = votes["truth"].sign().cast(pl.Int8)
    turned = votes.with_columns(grade=pl.col("grade") * favourite, gold=None, shown_first=None)
    found, other = (agreement(t, tmp_path / n) for t, n in ((votes, "one"), (turned, "two")))
    assert other["alpha"]["value"] == pytest.approx(found["alpha"]["value"], abs=1e-12)
    assert found["alpha"]["value"] > 0.4
    ways = {"method": "dawid_skene"}
    made, again = (
        aggregate_votes(t, AggregateConfig(**ways)).rows.sort("record") for t in (votes, turned)
    )
    assert (made["confidence"] == again["confidence"]).all()
    assert (made["grade"].abs() - again["grade"].abs()).abs().max() < 1e-12


def test_votes_by_chance_have_an_alpha_of_about_0_and_its_interval_holds_0() -> None:
    rng = np.random.default_rng(4)
    units = np.repeat(np.arange(400), 3)
    found = alpha(units, rng.integers(-4, 5, 1200).astype(float), "ordinal", resamples=200)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert abs(found.value) < 0.07


# What crowd-kit 1.4.2 finds for these votes (task, annotator, said), to convergence.
# fmt: off
CROWDKIT_VOTES = [(0, 0, 2), (0, 1, 0), (0, 2, 2), (1, 0, 2), (1, 1, 2), (1, 2, 2), (1, 3, 2), (2, 0, 0), (2, 1, 1), (2, 2, 2), (2, 3, 2), (3, 0, 2), (3, 1, 2), (3, 2, 0), (3, 3, 0), (4, 0, 1), (4, 1, 1), (4, 2, 1), (4, 3, 1), (5, 0, 2), (5, 2, 0), (5, 3, 0), (6, 0, 1), (6, 1, 1), (6, 2, 1), (6, 3, 1), (7, 0, 0), (7, 1, 0), (7, 2, 0), (7, 3, 0), (8, 0, 2), (8, 3, 1), (9, 0, 0), (9, 2, 0), (9, 3, 2), (10, 0, 0), (10, 1, 0), (11, 0, 0), (11, 1, 0), (11, 2, 1)]
CROWDKIT_CHANCES = [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.702638, 0.297362], [1.0, 0.0, 0.0], [0.876894, 0.0, 0.123106], [1.0, 0.0, 0.0]]
# fmt: on


def test_without_smoothing_dawid_skene_finds_what_crowdkit_finds() -> None:
    votes_N3 = np.array(CROWDKIT_VOTES)
    found = dawid_skene(*votes_N3.T, n_classes=3, smoothing=0, max_iterations=5_000)
    assert np.abs(found.posterior_UC - np.array(CROWDKIT_CHANCES)).max() < 2e-6


def test_gold_questions_teach_who_is_right() -> None:
    # Two people contradict each other everywhere: without gold nobody can tell who is right.
    units, people = np.repeat(np.arange(20), 2), np.tile([0, 1], 20)
    truth = np.arange(20) % 2
    said = np.where(people == 0, truth[units], 1 - truth[units])
    known = np.where(np.arange(20) < 6, truth, -1)
    found = dawid_skene(units, people, said, n_classes=2, known_U=known)
    assert (found.posterior_UC.argmax(axis=1) == truth).all()
    assert found.skill()[0] > 0.8
    assert found.skill()[1] < 0.2


def agreement(rows: pl.DataFrame, folder: Path, **options: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    config = AgreementConfig(resamples=100, **options)
    report_agreement(rows, config, out=folder, seed=1)
    return json.loads((folder / "agreement.json").read_text("utf-8"))


def test_the_page_tells_who_is_good_who_is_biased_and_who_is_fast(tmp_path: Path) -> None:
    votes = preference_votes(150, (0.95, 0.9, 0.35, 0.9), first_bias={3: 0.8}, gold_every=5, seed=3)
    found = agreement(votes, tmp_path / "out")
    by_name = {one["annotator"]: one for one in found["annotators"]}
    good, poor, biased = by_name["person0"], by_name["person2"], by_name["person3"]
    assert good["gold_n"] == 30
    assert good["gold_accuracy"] > 0.8
    assert poor["gold_accuracy"] < 0.7
    assert good["with_others"] > poor["with_others"]
    assert poor["alpha_without"] > found["alpha"]["value"] + 0.05 > good["alpha_without"]
    assert biased["shown_first"]["low"] > 0.6
    assert good["shown_first"]["low"] < 0.5 < good["shown_first"]["high"]
    assert [by_name[f"person{n}"]["seconds"] for n in range(4)] == [10, 15, 20, 25]
    assert {one["value"] for one in found["strata"]["stratum"]} == {"rivers", "bread", "月亮"}
    assert found["per_unit"] == {"4": 150}
    page = (tmp_path / "out/agreement.html").read_text("utf-8")
    assert "person2" in page
    assert "月亮" in page
    assert "simulated" not in page


def test_the_page_says_that_votes_are_simulated_and_escapes_names(tmp_path: Path) -> None:
    votes = preference_votes(6, (1.0, 1.0)).with_columns(
        simulated=pl.lit(True), annotator=pl.format("<b>{}", "annotator")
    )
    found = agreement(votes, tmp_path / "out")
    assert found["n_simulated"] == 12
    page = (tmp_path / "out/agreement.html").read_text("utf-8")
    assert "12 of the votes are simulated" in page
    assert "<b>person" not in page
    assert "&lt;b&gt;person0" in page


def test_a_page_about_one_vote_is_a_page(tmp_path: Path) -> None:
    found = agreement(table([vote(1, "ann", 2)]), tmp_path / "out")
    assert found["alpha"]["value"] is None
    assert "not defined" in (tmp_path / "out/agreement.html").read_text("utf-8")


def test_the_gate_drops_who_fails_gold_and_who_does_not_read() -> None:
    votes = preference_votes(60, (0.95, 0.9, 0.1), gold_every=4, seed=2)
    hasty = (pl.col("annotator") == "person0") & (pl.col("record") == "r001")
    votes = votes.with_columns(seconds=pl.when(hasty).then(0.5).otherwise("seconds"))
    config = GateConfig(min_gold_accuracy=0.6, min_seconds=2, min_alpha=0.3)
    found = select_reliable(votes, config)
    dropped = found.table.filter(part="dropped").join(votes, on="row_id")
    assert dropped.filter(annotator="person2").height == 60
    assert dropped.filter(annotator="person0")["evidence"].to_list() == ["0.5 s"]
    assert dropped.filter(annotator="person1").is_empty()
    assert found.table.height == votes.height
    assert found.facts["alpha"] > 0.3
    with pytest.raises(StepError, match=r"alpha is -?0\.\d+ over 60 records, below min_alpha 0.9"):
        select_reliable(votes, GateConfig(min_alpha=0.9))


def test_the_gate_drops_a_stratum_that_nobody_agrees_on() -> None:
    good, bad = preference_votes(60, (1.0, 1.0)), preference_votes(60, (0.5, 0.5), seed=8)
    votes = pl.concat([good.filter(stratum="bread"), bad.filter(stratum="rivers")])
    found = select_reliable(votes, GateConfig(min_stratum_alpha=0.5, min_alpha=0.8)).table
    gone = found.filter(part="dropped").join(votes, on="row_id")
    assert set(gone["stratum"]) == {"rivers"}
    assert gone.height == bad.filter(stratum="rivers").height


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([vote(1, "ann", 2), vote(2, "bo", 1)], "no record has two votes"),
        ([vote(1, "ann", 0), vote(1, "bo", 0)], "all votes are equal"),
    ],
)
def test_the_gate_stops_where_agreement_cannot_be_told(rows: list[Any], why: str) -> None:
    with pytest.raises(StepError, match=why):
        select_reliable(table(rows), GateConfig(min_alpha=0.1))
    assert select_reliable(table(rows), GateConfig()).facts["alpha"] is None


def test_the_queue_holds_what_is_disputed_and_ties_stand_apart() -> None:
    rows = table(
        [
            *(vote(1, "ann", 3), vote(1, "bo", 2), vote(2, "ann", 3), vote(2, "bo", -3)),
            *(vote(3, "ann", 4), vote(4, "ann", 0), vote(4, "bo", 0), vote(5, "ann", 4)),
            vote(5, "bo", 1),
        ]
    )
    made = aggregate_votes(rows, AggregateConfig()).rows.with_columns(row_id="record")
    found = select_disputed(made, AdjudicateConfig(max_spread=2)).sort("row_id")
    assert found.select("row_id", "part", "reason").rows() == [
        ("r001", "settled", None),
        ("r002", "adjudicate", "agreement below 0.6"),
        ("r003", "adjudicate", "only 1 vote"),
        ("r004", "tie", None),
        ("r005", "adjudicate", "grades further apart than 2"),
    ]
