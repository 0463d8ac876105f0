"""Several models under `models:` follow the rounds of a flywheel, by name and as a list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild import api
from tests.engine import small

if TYPE_CHECKING:
    from pathlib import Path

TWO_ROUNDS = small.RECIPE.replace("rounds: 1", "rounds: 2")
ANSWERS = "model: best, k: 3, max_failure_ratio: 0.9"


def recipe(folder: Path, models: str) -> Path:
    folder.mkdir(exist_ok=True)
    # This start is so weak that the candidate of the first round is promoted.
    weak = TWO_ROUNDS.replace("skill_ratio: 0.4", "skill_ratio: 0.1, seed: 2")
    given = weak.replace(ANSWERS, f"models: {models}, k: 2, max_failure_ratio: 0.9")
    assert given != weak != TWO_ROUNDS
    return small.write(folder, given)


@pytest.mark.parametrize(
    ("models", "first", "second"),
    [
        ("[best, start]", {"best": "start", "start": "start"}, {"best": "best@1", "start": "start"}),
        ("{new: best, old: start}", {"new": "start", "old": "start"},
         {"new": "best@1", "old": "start"}),
        ("start", {"start": "start"}, {"start": "start"}),
    ],
)  # fmt: skip
def test_a_round_names_the_models_of_the_round_before(tmp_path, models, first, second):
    nodes = {node.name: node for node in api.check(recipe(tmp_path, models)).nodes}
    for name, expected in (("answers@1", first), ("answers@2", second)):
        assert nodes[name].models == {f"models.{who}": model for who, model in expected.items()}
        assert nodes[name].config.model_dump()["models"] == expected


def test_a_model_that_is_trained_in_the_round_is_that_of_the_round(tmp_path):
    given = TWO_ROUNDS.replace(
        "  dpo:     {",
        "  later:   {use: generate.respond, from: pools.train, models: [sft, best]}\n  dpo:     {",
    ).replace("graded, sft, dpo]", "graded, sft, later, dpo]")
    nodes = {node.name: node for node in api.check(small.write(tmp_path, given)).nodes}
    assert nodes["later@1"].models == {"models.sft": "sft@1", "models.best": "start"}
    assert nodes["later@2"].models == {"models.sft": "sft@2", "models.best": "best@1"}
    order = list(nodes)
    assert order.index("sft@2") < order.index("later@2")


def test_two_rounds_run_and_the_rows_keep_the_names_of_the_recipe(tmp_path):
    one = recipe(tmp_path, "{new: best, old: start}")
    small.run(one)
    latest = json.loads((tmp_path / "runs/small/latest.json").read_text("utf-8"))["steps"]
    identities = {}
    for step in ("answers@1", "answers@2"):
        parts = sorted((tmp_path / "runs/small" / latest[step]).glob("part-*.parquet"))
        rows = pl.concat([pl.read_parquet(part) for part in parts])
        assert rows.group_by("model_name").len().sort("model_name").rows() == [
            ("new", 20), ("old", 20),
        ]  # fmt: skip
        identities[step] = dict(rows.select("model_name", "model").unique().iter_rows())
    assert identities["answers@1"]["new"] == identities["answers@1"]["old"]
    assert identities["answers@2"]["old"] == identities["answers@1"]["old"]
    assert identities["answers@2"]["new"] != identities["answers@2"]["old"]
    journals = {path: path.read_bytes() for path in (tmp_path / "runs").glob("journals/*/*.jsonl")}
    small.run(
        one,
    )
    assert {path: path.read_bytes() for path in journals} == journals
