"""A recipe waits for people, and goes on when they have answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from databuild.api import plan, run, show, status
from databuild.engine.store import Store
from databuild.errors import WaitingError

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """
name: votes
steps:
  raw: {use: ingest.files, path: pairs.jsonl}
  ask: {use: annotate.push, from: raw, dataset: d, tool: files, annotators: [ann, bob]}
  votes: {use: annotate.pull, from: raw, dataset: d, tool: files}
"""


def test_a_recipe_waits_and_goes_on(tmp_path: Path) -> None:
    pairs = [{"prompt": f"Q{i}", "response_a": "x", "response_b": "y"} for i in range(4)]
    pairs.append({"prompt": " ", "response_a": "x", "response_b": "y"})
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    recipe, runs = tmp_path / "r.yaml", tmp_path / "runs"
    recipe.write_text(RECIPE)
    with pytest.raises(WaitingError, match="0 of 4 records are answered") as told:
        run(recipe, runs=runs)
    assert told.value.exit_code == 8
    assert Store(runs, "votes").latest()["status"] == "waiting for people"
    assert "waiting for people" in status("votes", runs=runs)["votes"].stopped

    folder = runs / "journals" / "votes" / "d"
    for who, done in (("ann", True), ("bob", False)):
        lines = (folder / f"tasks-{who}.jsonl").read_text().splitlines()
        assert len(lines) == 2
        text = "\n".join(json.dumps(json.loads(one) | {"preference": "a_much"}) for one in lines)
        (folder / "answers" / f"{who}.jsonl").write_text(text)
        if done:
            with pytest.raises(WaitingError, match="2 of 4 records") as told:
                run(recipe, runs=runs)
            assert f"answer at {folder}/tasks-bob.csv (bob), then" in told.value.fix
    assert run(recipe, runs=runs)["votes"].manifest.rows.dropped == 1
    assert show("votes", "votes", runs=runs).height == 4
    assert len(list((runs / "votes").glob("votes-*"))) == 1  # nothing is left of the waiting
    again = run(recipe, runs=runs)
    assert all(step.cached for step in again.steps)
    assert plan(recipe, runs=runs)[-1].reason == "votes are looked up when it runs"
