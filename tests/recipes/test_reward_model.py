"""recipes/reward_model.yaml on the fake model, and that its answers are what their script writes."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from typing import TYPE_CHECKING

import polars as pl
import pytest

import databuild
from databuild.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

MATERIAL = shipped("recipes/reward_model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the recipe was run with the fake model."""
    folder = tmp_path_factory.mktemp("reward")
    shutil.copytree(MATERIAL, folder / "reward_model")
    text = shipped("recipes/reward_model.yaml").read_text("utf-8")
    fake, n = re.subn(r"start: \{packaged.*", "start: {fake: {seed: 1, skill_ratio: 0.6}}", text)
    assert n == 1
    (folder / "reward_model.yaml").write_text(fake, "utf-8")
    databuild.run(folder / "reward_model.yaml", runs=folder / "runs")
    return folder


def rows_of(folder: Path, step: str) -> pl.DataFrame:
    latest = json.loads((folder / "runs/reward_model/latest.json").read_text("utf-8"))
    place = folder / "runs/reward_model" / latest["steps"][step]
    return pl.concat(pl.read_parquet(file) for file in sorted(place.glob("*.parquet")))


def test_the_answers_are_what_their_script_writes() -> None:
    lines = (MATERIAL / "answers.jsonl").read_text("utf-8").splitlines()
    written = pl.DataFrame([json.loads(line) for line in lines])
    assert written.equals(
        pl.DataFrame(runpy.run_path(str(MATERIAL / "make_answers.py"))["answers"]())
    )
    assert written.height == written["prompt"].n_unique() * 4
    assert written.filter(pl.len().over("prompt", "response") > 1).is_empty()
    whole = written.filter(fault="whole")
    off = written.filter(fault="off topic")
    assert set(off["response"]) == set(whole["response"])  # each is somebody's good answer
    assert off.join(whole, on=["topic", "response"]).height == off.height  # of the same topic


def test_what_is_ranked_was_not_trained_on(folder: Path) -> None:
    pairs, scored = rows_of(folder, "pairs"), rows_of(folder, "scored")
    assert scored["rm_score"].null_count() == 0
    tested = rows_of(folder, "answers").join(scored.select("row_id"), on="row_id")
    assert tested.height == scored.height == 48
    trained = set(pairs["chosen"]) | set(pairs["rejected"])
    assert pairs.height == 96
    assert not trained & set(tested["response"])
    assert set(pairs["margin"].round(2)) == {0.4, 0.7, 1.0}
    best = rows_of(folder, "best")
    assert best.filter(part="kept").height == 12
