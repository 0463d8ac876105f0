"""The ledger of a run is right across kills, resumes and caches, and says what became of the rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from databuild import api
from databuild.errors import BudgetError, RecipeError

RECIPE = """
name: {name}
models: {{start: {{fake: {{}}, prices: {{input: 100, output: 1000}}}}, free: {{fake: {{seed: 1}}}}}}
steps:
  raw:     {{use: ingest.files, path: p.jsonl}}
  answers: {{use: generate.respond, from: raw, model: start, k: 4, max_tokens: 60}}
  short:   {{use: sample.where, from: answers, keep: "completion_tokens < 40"}}
  out:     {{use: export.trl, from: short, kind: sft}}
  other:   {{use: generate.respond, from: raw, model: free, max_tokens: 60}}
"""
DYING = """
import os, sys
from databuild import api
from databuild.engine.journal import Journal
put, n = Journal.put, 0
def dying(self, *given):
    global n
    put(self, *given)
    n += 1
    if n == 37:
        os._exit(9)
Journal.put = dying
api.run("r.yaml", runs="runs", workers=1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [{"prompt": f"Question {i}: explain tea and bread."} for i in range(25)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "r.yaml").write_text(RECIPE.format(name="one"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*overrides: str, runs: str = "runs"):
    return api.run("r.yaml", overrides, runs=runs, workers=1)


def told(runs: str = "runs", name: str = "one"):
    return {entry.step: entry for entry in api.ledger(name, runs=runs).entries}


def plain(entry):
    return entry.usage.model_dump(exclude={"seconds"})


def test_cost_and_accept_rate_follow_from_prices_and_from_what_was_kept(folder: Path) -> None:
    result = run()
    entries = told()
    answers, usage = entries["answers"], entries["answers"].usage
    rows = result["answers"].manifest.rows
    assert (usage.paid, answers.made, answers.model) == (100, 100, "start")
    assert (usage.tokens_in, usage.tokens_out) == (rows.tokens_in, rows.tokens_out)
    assert answers.cost == pytest.approx((100 * usage.tokens_in + 1000 * usage.tokens_out) / 1e6)
    kept = result["short"].manifest.rows.rows_out
    assert 0 < kept < 100
    assert (answers.accepted, answers.accept_rate) == (kept, kept / 100)
    other = entries["other"]  # nothing of it leaves, and its model has no prices
    assert (other.cost, other.accepted, other.usage.paid) == (None, None, 25)
    total = api.ledger("one", runs="runs").total
    assert (total.cost, total.usage.paid) == (None, 125)


@pytest.mark.slow
def test_a_kill_in_the_middle_changes_nothing_of_what_was_paid(folder: Path) -> None:
    run(runs="straight")
    straight = told("straight")
    env = {**os.environ, "PYTHONPATH": str(Path(api.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", DYING], env=env, check=False).returncode == 9
    run()
    entries = told()
    assert plain(entries["answers"]) == plain(straight["answers"])
    assert plain(entries["other"]) == plain(straight["other"])
    run()  # all cached
    assert told() == entries
    api.run("r.yaml", runs="runs", workers=1, from_step="answers")  # all from the journal
    assert plain(told()["answers"]) == plain(straight["answers"])


def test_another_recipe_that_asks_the_same_has_paid_nothing(folder: Path) -> None:
    run()
    paid = told()["answers"].usage
    (folder / "r.yaml").write_text(RECIPE.format(name="two"))
    run()
    reused = told(name="two")["answers"]
    assert (reused.usage.paid, reused.usage.reused, reused.cost) == (0, 100, 0.0)
    assert reused.usage.reused_tokens_out == paid.tokens_out


def test_a_spent_budget_is_an_error_of_its_own_and_a_raised_one_goes_on(folder: Path) -> None:
    run(runs="straight")
    with pytest.raises(BudgetError, match=r"step answers has used .* of 1,000 tokens") as stop:
        run("answers.budget.tokens=1000")
    assert stop.value.exit_code == 7
    stopped = told()["answers"]
    assert "the budget is spent" in stopped.unfinished
    assert 0 < stopped.usage.tokens_in + stopped.usage.tokens_out <= 1000
    assert "budget" in api.status("one", runs="runs")["answers"].stopped
    run("answers.budget.tokens=1000000")
    assert plain(told()["answers"]) == plain(told("straight")["answers"])
    assert api.status("one", runs="runs")["answers"].stopped == ""
    ids = [api.show("short", "one", runs=runs)["row_id"].to_list() for runs in ("runs", "straight")]
    assert ids[0] == ids[1]


def test_the_recipes_budget_counts_every_step(folder: Path) -> None:
    with pytest.raises(BudgetError, match=r"other: the budget .*the recipe has used"):
        run("budget.tokens=5500")
    entries = told()
    assert entries["answers"].usage.paid == 100
    assert 0 < entries["other"].usage.paid < 25


def test_neither_prices_nor_budgets_are_part_of_a_key(folder: Path) -> None:
    first = run("models.start={fake: {}}")
    again = run("budget.tokens=100000", "answers.budget.seconds=100")
    assert [step.cached for step in again.steps] == [True] * 5
    assert [step.folder for step in first.steps] == [step.folder for step in again.steps]
    assert told()["answers"].cost is not None  # by the prices of the last run


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("budget.tokens=0", "r.yaml.*budget of 0 buys no answer"),
        ("answers.budget={}", "a budget has tokens, cost or seconds"),
        ("budget.token=5", "no field 'budget.token'; did you mean 'tokens'"),
        (
            "models.start={endpoint: 'http://127.0.0.1:9/v1', identity: a@1, options: {model: m}}",
            "budget of cost, and the model 'start' no prices",
        ),
        ("models.start.prices.input=-1", "greater than or equal to 0"),
    ],
)
def test_what_is_wrong_with_a_budget_is_said_by_check(folder: Path, override, message) -> None:
    with pytest.raises(RecipeError, match=message):
        api.check("r.yaml", ["budget.cost=1", override])
