"""recipes/human_preferences.yaml on the fake model, with votes in files."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import databuild
from databuild.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the recipe was run."""
    folder = tmp_path_factory.mktemp("preferences")
    shutil.copytree(shipped("recipes/quickstart"), folder / "quickstart")
    text = shipped("recipes/human_preferences.yaml").read_text("utf-8")
    text, n = re.subn(r"start: \{packaged.*", "start: {fake: {seed: 1, skill_ratio: 0.5}}", text)
    text, m = re.subn(r"tool: argilla .*", "tool: files", text)
    assert (n, m) == (1, 1)
    (folder / "human_preferences.yaml").write_text(text, "utf-8")
    databuild.run(folder / "human_preferences.yaml", runs=folder / "runs")
    return folder


def step_folder(folder: Path, step: str) -> Path:
    latest = json.loads((folder / "runs/human_preferences/latest.json").read_text("utf-8"))
    return folder / "runs/human_preferences" / latest["steps"][step]


def facts(folder: Path, step: str) -> dict[str, Any]:
    text = (step_folder(folder, step) / "manifest.json").read_text("utf-8")
    return json.loads(text)["metrics"]


def rows(folder: Path, step: str) -> pl.DataFrame:
    return pl.read_parquet(sorted(step_folder(folder, step).glob("part-*.parquet")))


def test_the_circle_closes_and_no_vote_is_lost(folder: Path) -> None:
    votes = rows(folder, "votes")
    assert votes["simulated"].all()
    cast = facts(folder, "crowd")["votes"]
    assert sum(cast.values()) == votes.height > 100
    voted = rows(folder, "voted")
    assert sorted(voted["parent_ids"].explode()) == sorted(votes["row_id"])
    told = facts(folder, "pairs")["pairs"]
    assert told["chosen > rejected"] > 15
    assert told["edited > chosen"] > 0
    assert facts(folder, "page")["n_simulated"] == votes.height
    assert facts(folder, "reliable")["alpha"] > 0.15
    skill = facts(folder, "voted")["skill"]
    assert skill["simulated-careful"] > skill["simulated-quick"]
    assert facts(folder, "calibrated")["people"]["pairs"] >= 5
    assert facts(folder, "verdict")["n_prompts"] == 60
    assert (step_folder(folder, "page") / "agreement.html").exists()


def test_run_again_nothing_is_asked_twice(folder: Path) -> None:
    before = {name: step_folder(folder, name) for name in ("asked", "crowd", "votes", "pairs")}
    databuild.run(folder / "human_preferences.yaml", runs=folder / "runs")
    assert before == {name: step_folder(folder, name) for name in before}
