"""Every step that needs no model, in one recipe over real data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ruamel.yaml import YAML

import databuild
from databuild.steps import STEPS

RECIPE = Path(__file__).parent / "everything.yaml"
STAGES = {"ingest", "measure", "fix", "dedup", "sample", "export"}
ELSEWHERE = {"export.megatron", "ingest.release"}
"""What needs a model's tokenizer, or a released version: see tests/export and tests/release."""


def test_the_recipe_takes_every_step():
    asked = YAML(typ="safe").load(RECIPE.read_text("utf-8"))["steps"]
    used = {step["use"] for step in asked.values()}
    known = {step.name for step in STEPS if step.name.split(".")[0] in STAGES} - ELSEWHERE
    assert used == known


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Files that the shared data lacks: a tokenizer, a data set folder, drafts and fragments."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("own")
    tokenizer = Tokenizer(models.WordLevel({"?": 0, "the": 1}, unk_token="?"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "hub").mkdir()
    dolly = pl.read_parquet(shared_data / "dolly_3k.parquet")
    dolly = dolly.rename({"instruction": "prompt", "output": "response"})
    dolly.write_parquet(folder / "hub/train.parquet")
    draft: dict[str, Any] = {"about": ["tea"], "topic": "tea", "finish_reason": "stop"}
    draft |= {"constraints": [{"kind": "lowercase", "value": ""}]}
    drafts = [{"prompt": f"Tea {n}?", "response": "Tea Is Warm.", **draft} for n in range(3)]
    pieces = [{"document": n % 3, "page": n // 3, "text": f"Page {n // 3}."} for n in range(9)]
    for name, rows in (("drafts", drafts), ("pieces", pieces)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, "utf-8")
    return folder


def run(own: Path, shared_data: Path) -> dict[str, Any]:
    """Run it and return the manifests of its steps, with `folder`."""
    values = [f"data={shared_data}", f"own={own}"]
    databuild.run(RECIPE, values, runs=own / "runs")
    home = own / "runs/everything"
    latest = json.loads((home / "latest.json").read_text("utf-8"))
    assert latest["status"] == "complete"
    return {
        step: {**json.loads((home / name / "manifest.json").read_text("utf-8")), "folder": home / name}
        for step, name in latest["steps"].items()
    }  # fmt: skip


def used_up(folder: Path) -> int:
    """How many input rows a produce step made something of, dropped or failed at."""
    ids: set[str] = set()
    for kind, column in ((".", "parent_ids"), ("failed", "parent_ids"), ("dropped", "row_id")):
        for file in (folder / kind).glob("part-*.parquet"):
            held = pl.read_parquet(file, columns=[column])[column]
            ids.update(held.explode() if column == "parent_ids" else held)
    return len(ids)


@pytest.mark.slow
def test_rows_add_up_at_every_step_and_a_second_run_makes_nothing(own, shared_data):
    first = run(own, shared_data)
    for name, step in first.items():
        rows = step["rows"]
        known = step["kind"] in {"measure", "select", "deliver"}
        if known:
            assert rows["rows_in"] == rows["rows_out"] + rows["dropped"], name
        elif rows["rows_in"]:
            assert used_up(step["folder"]) == rows["rows_in"], name
    assert first["merged"]["rows"]["rows_out"] == 3
    assert first["tasks"]["rows"]["rows_out"] == pl.scan_parquet(
        shared_data / "alpaca_cleaning_pairs.parquet"
    ).select(pl.len()).collect().item()  # fmt: skip

    stamps = {name: step["started"] for name, step in first.items()}
    assert {name: step["started"] for name, step in run(own, shared_data).items()} == stamps

    gone = first["unique"]
    shutil.rmtree(gone["folder"])
    again = run(own, shared_data)
    assert again["unique"]["digest"] == gone["digest"]
    assert again["unique"]["rows"] == gone["rows"]
    rerun = {name for name, step in again.items() if step["started"] != stamps[name]}
    assert rerun == {"unique"}
