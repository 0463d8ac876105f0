"""report.html: one file, every section, out of manifests and tables alone."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from databuild import api
from databuild.cli.quickstart import write_recipe
from databuild.errors import ServiceError, StoreError
from databuild.report.findings import find
from databuild.report.numbers import margin_histogram, score_histograms, strengths
from databuild.report.page import content as page_content
from databuild.report.page import is_current, write_report


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The runs folder of the quickstart on the fake model."""
    folder = tmp_path_factory.mktemp("report")
    recipe = write_recipe(folder)[0]
    api.run(recipe, ["models.start={fake: {skill_ratio: 0.3}}"], runs=folder / "runs", workers=1)
    return folder / "runs"


@pytest.mark.slow
def test_the_page_has_every_section_and_loads_nothing(runs):
    page = write_report("quickstart", runs).read_text(encoding="utf-8")
    for title in (
        "Verdict on held-out prompts", "Round by round, on dev", "Scores of the candidates",
        "Preference pairs", "Training", "Where the rows went", "Where the time went", "Models",
        "Options, seeds and keys of every step",
    ):  # fmt: skip
        assert f"<h2>{title}</h2>" in page
    assert page.count("<svg") >= 7
    assert not re.findall(r"""(?:src|href)=|url\(|@import|https?://""", page)


@pytest.mark.slow
def test_the_numbers_on_the_page_are_those_of_the_manifests(runs):
    findings = find("quickstart", runs)
    page = write_report("quickstart", runs).read_text(encoding="utf-8")
    for verdict in findings.verdicts:
        gain = verdict.facts["difference"]
        assert (
            f"{100 * gain['mean']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
            in page
        )
    for one in findings.promotions:
        assert f"{100 * one.candidate:.1f} %" in page
    assert len(findings.exports) == 4
    best = findings.best_model
    assert best is not None
    assert best[1] is None or (best[1]).is_dir()


@pytest.mark.slow
def test_histograms_and_strengths_count_every_row(runs):
    findings = find("quickstart", runs)
    made = {step.name: step.manifest.rows.rows_out for step in findings.of("pairs.graded")}
    margins = margin_histogram(findings)
    assert margins is not None
    assert {step: sum(counts) for step, counts in margins.series} == made
    assert {step: sum(counts) for step, counts in strengths(findings)} == made
    (scores,) = score_histograms(findings)
    assert [step for step, _ in scores.series] == ["scored@1", "scored@2"]


@pytest.mark.slow
def test_a_page_knows_which_steps_it_is_about(runs):
    write_report("quickstart", runs)
    assert is_current("quickstart", runs)
    latest = runs / "quickstart/latest.json"
    before = latest.read_text(encoding="utf-8")
    pointer = json.loads(before)
    pointer["steps"].pop("verdict@ood")
    latest.write_text(json.dumps(pointer), encoding="utf-8")
    assert not is_current("quickstart", runs)
    latest.write_text(before, encoding="utf-8")


@pytest.mark.slow
def test_losses_that_a_trainer_logged_become_curves(runs):
    found = find("quickstart", runs)
    metrics = found.of("train.sft")[0].manifest.metrics
    metrics["history"] = [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.0}, {"step": 2}]
    told = page_content(found)["training"][0]
    assert told["plot"].count("<svg ") == 1
    assert "training at 2: 2" in told["plot"]


def test_a_recipe_that_never_ran_has_no_page(tmp_path):
    with pytest.raises(StoreError, match="no step of this recipe"):
        write_report("nothing", tmp_path)


def test_a_missing_extra_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ServiceError, match=r"databuild\[report\]"):
        write_report("nothing", Path(tmp_path))
