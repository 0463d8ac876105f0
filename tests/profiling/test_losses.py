"""What the steps on the way lost: every reason, counted, with the rows it was said of."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

import databuild
from databuild.cli import telling
from databuild.cli.profile_view import view
from databuild.engine.lineage import Runs
from databuild.engine.store import Store
from databuild.profiling.losses import losses_of, shortfalls_of
from databuild.report.profile_page import render

RECIPE = """\
name: lost
steps:
  raw:    {use: ingest.files, path: rows.jsonl, max_failure_ratio: 0.5}
  clean:  {use: sample.where, from: raw, keep: "n > 1 and n < 9"}
  unique: {use: dedup.exact, from: clean, columns: [prompt]}
  other:  {use: sample.where, from: raw, keep: "n > 100"}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Rows 0 to 9, the prompts of 2 and 3 equal, and two records that are broken."""
    folder = tmp_path_factory.mktemp("lost")
    rows = [{"prompt": f"number {3 if n == 2 else n}", "n": n} for n in range(10)]
    lines = [json.dumps(row) for row in rows]
    (folder / "rows.jsonl").write_text("\n".join([*lines, "{broken", "{broken too"]) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    databuild.run(folder / "recipe.yaml", runs=folder / "runs", workers=1)
    return folder / "runs"


def test_every_step_before_has_its_reasons_in_order(runs):
    losses = losses_of(Runs(Store(runs, "lost")), "unique", 2)
    assert [(one.step, one.fate, one.reason, one.n) for one in losses] == [
        ("raw", "failed", "broken JSON", 2),
        ("clean", "dropped", "not (n > 1)", 2),
        ("clean", "dropped", "not (n < 9)", 1),
        ("unique", "dropped", "duplicate", 1),
    ]
    texts = {one.reason: [example.text for example in one.examples] for one in losses}
    assert texts["broken JSON"] == ["{broken", "{broken too"]
    assert sorted(texts["not (n > 1)"]) == ["number 0", "number 1"]
    assert texts["duplicate"] == ["number 3"]
    kept = json.loads(losses[-1].examples[0].evidence)["kept"]
    unique = databuild.show("unique", "lost", runs=runs)
    assert kept in unique["row_id"].to_list()


def test_a_step_beside_the_way_is_not_told(runs):
    known = Runs(Store(runs, "lost"))
    assert known.behind("clean") == ["raw", "clean"]
    assert {one.step for one in losses_of(known, "other", 0)} == {"raw", "other"}


def test_no_more_examples_than_asked(runs):
    losses = losses_of(Runs(Store(runs, "lost")), "unique", 1)
    assert {len(one.examples) for one in losses} == {1}
    assert not any(one.examples for one in losses_of(Runs(Store(runs, "lost")), "unique", 0))


def test_failed_records_are_a_table_too(runs):
    found = databuild.profile("raw.failed", runs=runs)
    assert found.rows == 2


def test_shortfalls_are_told_as_they_were_reported(runs, capsys):
    lines = [{"of": "<b>", "wanted": 9, "got": 1}]
    manifests = {
        "raw": SimpleNamespace(inputs={}, metrics={}),
        "even": SimpleNamespace(inputs={"rows": "raw"}, metrics={"shortfall": lines, "n": 3}),
        "late": SimpleNamespace(inputs={"rows": "even.kept"}, metrics={"shortfall": []}),
    }
    known = SimpleNamespace(manifests=manifests)
    known.behind = partial(Runs.behind, known)
    told = shortfalls_of(known, "late")
    assert told == ({"step": "even", "of": "<b>", "wanted": 9, "got": 1},)
    found = replace(databuild.profile("unique", runs=runs), shortfalls=told)
    assert "&lt;b&gt;" in render(found)
    telling.say(*view(found, 100))
    assert "step even, of <b>, wanted 9, got 1" in capsys.readouterr().out
