"""From two judges to an ensemble, graded pairs and a calibration, on the fake model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import databuild

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

pytestmark = pytest.mark.slow

RECIPE = """
name: judging
seed: 7
models: {sage: {fake: {skill_ratio: 1}}, dunce: {fake: {skill_ratio: 0, nonsense_ratio: 0.1}}}
steps:
  answers: {use: ingest.files, path: answers.jsonl}
  able:    {use: reward.judge, from: answers, model: sage, name: able}
  poor:    {use: reward.judge, from: able, model: dunce, name: poor, reasons: true, max_failure_ratio: 0.3}
  both:
    use: reward.ensemble
    from: poor
    scores: [able_score, poor_score]
    weights: {able_score: 3}
    debias_length: true
    min_scores: 1
  pairs:   {use: pairs.graded, from: both, score: ensemble_score, passes: ~, origin: ~}
  told:
    use: reward.calibrate
    from: both
    grade: grade
    scores: [able_score, poor_score, ensemble_score]
    resamples: 200
  compared:
    use: reward.compare
    from: pairs
    model: sage
    a: chosen
    b: rejected
    messages: ~
  told_of_pairs: {use: reward.calibrate, from: compared, a: chosen, b: rejected, scores: [compare_preference]}
"""
THINGS = ("rain", "wind", "frost", "thunder", "sunshine", "dew", "hail", "mist")
TOLD = (
    (3, "{0} comes about where the weather changes, and people explain why {0} comes with it."),
    (2, "People explain {0} in many ways."),
    (1, "It is hard to say"),
    (0, "no"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judging")
    with (folder / "answers.jsonl").open("w", encoding="utf-8") as file:
        for thing in THINGS:
            for grade, text in TOLD:
                asked = f"Explain why people mention {thing} when the weather comes up."
                row = {"prompt": asked, "response": text.format(thing), "grade": grade}
                file.write(json.dumps(row) + "\n")
    (folder / "judging.yaml").write_text(RECIPE, "utf-8")
    databuild.run(folder / "judging.yaml", runs=folder / "runs")
    return folder


def show(folder: Path, step: str) -> pl.DataFrame:
    return databuild.show(step, "judging", runs=folder / "runs")


def facts(folder: Path, step: str) -> Any:
    return databuild.status("judging", runs=folder / "runs")[step].metrics


def test_every_answer_has_the_scores_of_both_judges(folder: Path) -> None:
    rows = show(folder, "both")
    assert rows.height == len(THINGS) * len(TOLD)
    assert rows["able_score"].null_count() == 0
    assert rows["poor_score"].is_between(0, 1).all()
    assert rows["ensemble_score"].null_count() == 0
    assert facts(folder, "both")["counted"] == ["able_score", "poor_score"]


def test_a_judge_that_talks_nonsense_fails_rows_and_not_the_run(folder: Path) -> None:
    rows = databuild.status("judging", runs=folder / "runs")["poor"].rows
    assert 0 < rows.failed < rows.rows_in
    assert show(folder, "poor")["poor_score"].null_count() == rows.failed


def test_pairs_prefer_what_the_able_judge_prefers(folder: Path) -> None:
    pairs = show(folder, "pairs")
    assert pairs.height == len(THINGS)
    worst = pairs["rejected"].is_in(["no", "It is hard to say"])
    assert worst.sum() >= 0.75 * pairs.height


def test_the_calibration_tells_the_able_judge_from_the_poor_one(folder: Path) -> None:
    told = facts(folder, "told")["scorers"]
    assert told["able_score"]["accuracy"]["low"] > 0.9
    assert told["poor_score"]["accuracy"]["high"] < 0.8
    assert told["able_score"]["temperature"] > 0
    latest = json.loads((folder / "runs/judging/latest.json").read_text("utf-8"))
    page = folder / "runs/judging" / latest["steps"]["told"] / "calibration.html"
    assert "able_score" in page.read_text("utf-8")


def test_pairs_are_judged_in_both_orders(folder: Path) -> None:
    found = facts(folder, "compared")
    assert found["pairs"] == len(THINGS)
    assert found["consistent"] > 0.9
    assert found["position"]["low"] <= 0.5 <= found["position"]["high"]


def test_nothing_is_asked_twice(folder: Path) -> None:
    requests = sorted((folder / "runs").rglob("requests.jsonl"))
    before = [one.read_bytes() for one in requests]
    databuild.run(folder / "judging.yaml", ["told.bins=10"], runs=folder / "runs")
    assert [one.read_bytes() for one in requests] == before
    assert requests
