from __future__ import annotations

import json

import polars as pl
import pytest

from databuild import api
from databuild.errors import StepError
from databuild.report.findings import find
from databuild.report.page import write_report

FERRY = "A ferry carries 45 cars on every trip and makes 6 trips a day. How many cars in 3 days?"
MARS = "Which colour has the evening sky on Mars, seen from the ground?"
RECIPE = """
name: checked
steps:
  raw:   {use: ingest.files, path: train.jsonl}
  exam:  {use: ingest.files, path: exam.jsonl}
  quiz:  {use: ingest.hub, dataset: hub, revision: "1", split: test}
  clean: {use: dedup.contamination, from: {rows: raw, maths: exam, quiz: quiz}, columns: [prompt, response], in_columns: question}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [(f"Solve: {FERRY}", "810"), ("Hi", MARS.upper()), ("Hi", "Hello"), (None, None)]
    lines = [json.dumps({"prompt": a, "response": b}) for a, b in rows]
    (tmp_path / "train.jsonl").write_text("\n".join(lines), "utf-8")
    (tmp_path / "exam.jsonl").write_text(json.dumps({"question": FERRY}), "utf-8")
    (tmp_path / "hub").mkdir()
    pl.DataFrame({"question": [MARS]}).write_parquet(tmp_path / "hub" / "test.parquet")
    (tmp_path / "checked.yaml").write_text(RECIPE, "utf-8")
    return tmp_path


def test_a_recipe_drops_what_the_test_sets_hold_and_says_so(folder):
    pytest.importorskip("datasets")
    result = api.run("checked.yaml", runs="runs")
    (clean,) = (step for step in result.steps if step.name == "clean")
    assert (clean.manifest.rows.rows_out, clean.manifest.rows.dropped) == (2, 2)
    lost = pl.read_parquet(next((folder / clean.folder / "dropped").glob("*.parquet")))
    told = {one["set"]: one for one in map(json.loads, lost["evidence"])}
    assert told["maths"]["source_file"].endswith("exam.jsonl")
    assert (told["quiz"]["column"], told["quiz"]["source_record"]) == ("response", 0)
    (card,) = find("checked", folder / "runs").contamination
    assert card.startswith("Checked against maths (1 item), quiz (1 item): 2 of 4 rows held 2")
    assert card in write_report("checked", "runs").read_text("utf-8")
    with pytest.raises(StepError, match="more than max_hits 1"):
        api.run("checked.yaml", ["clean.max_hits=1"], runs="runs")
