"""recipes/graded_dpo.yaml on the fake model."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import polars as pl
import pytest

import databuild
from databuild.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_it_trains_twice_on_the_same_graded_pairs_and_compares(tmp_path: Path) -> None:
    shutil.copytree(shipped("recipes/quickstart"), tmp_path / "quickstart")
    text = shipped("recipes/graded_dpo.yaml").read_text("utf-8")
    fake, n = re.subn(r"start: \{packaged.*", "start: {fake: {seed: 1, skill_ratio: 0.5}}", text)
    assert n == 1
    (tmp_path / "graded_dpo.yaml").write_text(fake, "utf-8")
    databuild.run(tmp_path / "graded_dpo.yaml", runs=tmp_path / "runs")
    latest = json.loads((tmp_path / "runs/graded_dpo/latest.json").read_text("utf-8"))
    folders = {name: tmp_path / "runs/graded_dpo" / f for name, f in latest["steps"].items()}
    manifests = {
        name: json.loads((folder / "manifest.json").read_text("utf-8"))
        for name, folder in folders.items()
    }
    plain, graded = manifests["plain_dpo"], manifests["graded_dpo"]
    assert plain["inputs"] == graded["inputs"]
    differing = {k for k, v in graded["config"].items() if plain["config"].get(k) != v}
    assert differing == {"weight", "margin"}
    pairs = pl.read_parquet(folders["dpo_set"] / "data/*.parquet")
    assert {"weight", "margin", "strength"} <= set(pairs.columns)
    assert pairs["weight"].min() > 0  # type: ignore[operator]
    facts = manifests["graded"]["metrics"]
    assert sum(facts["grades"].values()) == facts["pairs"] > 20
    for name in ("plain_verdict", "graded_verdict", "grades_verdict"):
        assert manifests[name]["metrics"]["n_prompts"] > 100
