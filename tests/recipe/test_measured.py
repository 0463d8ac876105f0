"""A measure does not outlive the text that it describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild import api
from databuild.errors import SchemaError

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
name: stale
seed: 1
steps:
  raw:    {use: ingest.files, path: a.jsonl}
  asked:  {use: measure.basics, from: raw, column: prompt}
  facts:  {use: measure.basics, from: asked, column: response}
  pair:   {use: measure.pii, from: facts, column: response}
  short:  {use: sample.where, from: pair, keep: "response_chars < 100"}
  fixed:  {use: fix.mask, from: short, columns: response}
  again:  {use: measure.basics, from: fixed, column: response}
  clean:  {use: measure.pii, from: again, column: response}
  mixed:  {use: sample.mix, from: {a: clean, b: fixed}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_text(
        '{"prompt": "Who asks?", "response": "Write to ann.lee@post.org, she asks."}\n'
        '{"prompt": "Who else?", "response": "Nobody asks."}\n'
    )
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    return path


def test_a_changed_text_loses_its_measures_and_is_measured_again(recipe: Path) -> None:
    checked = api.check(recipe)
    nodes = {node.name: node for node in checked.nodes}
    assert "response_chars" in nodes["fixed"].stale
    assert "response_pii" in nodes["fixed"].stale
    assert "response_chars" not in (nodes["fixed"].columns or ())
    assert "prompt_chars" in (nodes["fixed"].columns or ())
    assert nodes["clean"].measured["response_chars"] == {"response"}
    assert nodes["mixed"].measured.keys() == nodes["clean"].measured.keys()

    api.run(recipe, runs=recipe.parent / "runs")
    folders = {p.name.rpartition("-")[0]: p for p in (recipe.parent / "runs/stale").iterdir()}
    fixed, again, clean = (
        pl.read_parquet(folders[name] / "part-00000.parquet")
        for name in ("fixed", "again", "clean")
    )
    assert {"prompt", "response", "prompt_chars"} <= set(fixed.columns)
    assert not {"response_chars", "response_pii"} & set(fixed.columns)
    both = fixed.join(again, on="row_id")
    assert both["response_chars"].to_list() == both["response"].str.len_chars().to_list()
    assert clean["response_pii"].list.len().to_list() == [0, 0]


def test_who_needs_a_stale_measure_is_told_to_measure_again(recipe: Path) -> None:
    recipe.write_text(
        f"{RECIPE}  last: {{use: sample.where, from: fixed, keep: response_chars > 1}}\n"
    )
    with pytest.raises(SchemaError, match="measure it after 'fixed', which changed what it was"):
        api.check(recipe)


def test_what_was_measured_on_other_columns_is_carried(recipe: Path) -> None:
    text = RECIPE.replace("columns: response", "columns: prompt").split("  again:")[0]
    recipe.write_text(text)
    (fixed,) = (node for node in api.check(recipe).nodes if node.name == "fixed")
    assert "response_chars" in (fixed.columns or ())
    assert set(fixed.stale) == {c for c in fixed.stale if c.startswith("prompt_")} != set()


def test_measuring_twice_says_what_to_do(recipe: Path) -> None:
    recipe.write_text(f"{RECIPE}  twice: {{use: measure.basics, from: again, column: response}}\n")
    with pytest.raises(SchemaError, match="Fix: remove this step, or the one that made the column"):
        api.check(recipe)
