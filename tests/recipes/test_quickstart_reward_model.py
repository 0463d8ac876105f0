"""recipes/quickstart_reward_model.yaml on the fake model."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

import databuild
from databuild.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

RECIPE = "quickstart_reward_model"


def test_it_compares_two_models_that_differ_in_who_chose_the_pairs(tmp_path: Path) -> None:
    shutil.copytree(shipped("recipes/quickstart"), tmp_path / "quickstart")
    text = shipped(f"recipes/{RECIPE}.yaml").read_text("utf-8")
    fake, n = re.subn(r"start: \{packaged.*", "start: {fake: {seed: 1, skill_ratio: 0.5}}", text)
    assert n == 1
    (tmp_path / f"{RECIPE}.yaml").write_text(fake, "utf-8")
    databuild.run(tmp_path / f"{RECIPE}.yaml", runs=tmp_path / "runs")
    latest = json.loads((tmp_path / f"runs/{RECIPE}/latest.json").read_text("utf-8"))
    folders = {name: tmp_path / f"runs/{RECIPE}" / f for name, f in latest["steps"].items()}
    manifests = {
        name: json.loads((folder / "manifest.json").read_text("utf-8"))
        for name, folder in folders.items()
    }
    plain, assisted = manifests["plain_dpo"], manifests["rm_dpo"]
    assert plain["config"] == assisted["config"]
    assert plain["inputs"] != assisted["inputs"]

    rows = {
        name: databuild.show(name, RECIPE, runs=tmp_path / "runs") for name in ("known", "both")
    }
    unseen = set(rows["both"]["prompt"]) - set(rows["known"]["prompt"])
    assert unseen == set(rows["both"]["prompt"])  # the reward model never read them
    assert rows["both"]["rm_score"].null_count() == 0
    assert manifests["both"]["metrics"]["counted"] == ["verify_score", "rm_score"]

    for name in ("plain_gain", "rm_gain", "helped"):
        verdict = json.loads((folders[name] / "verdict.json").read_text("utf-8"))
        assert verdict["n_prompts"] > 300
        assert {one["of"] for one in verdict["by"]} == {"dev", "holdout"}
