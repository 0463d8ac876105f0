"""`databuild annotate push`: a file or a run's rows before people, without a recipe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild.annotate.log import VoteLog
from tests.cli.conftest import Terminal

if TYPE_CHECKING:
    from pathlib import Path

N = 6
RECIPE = """\
name: asked
steps:
  raw:   {use: ingest.files, path: pairs.jsonl}
  ask:   {use: annotate.push, from: raw, dataset: other, tool: files}
  votes: {use: annotate.pull, from: raw, dataset: helpful, tool: files, share: 0}
"""


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A folder with a file of pairs and no runs; no Argilla is running."""
    monkeypatch.setenv("DATABUILD_HOME", str(tmp_path / "home"))
    rows = [
        {"prompt": f"问题 {i}?", "response_a": f"x {i}", "response_b": f"y {i}", "rm": i - 2.5}
        for i in range(N)
    ]
    text = "".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "prompt": " "}])
    (tmp_path / "pairs.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return Terminal(tmp_path)


def log_of(terminal: Terminal) -> VoteLog:
    return VoteLog(terminal.folder / "runs" / "journals", "helpful")


PUSH = ("annotate", "push", "helpful", "pairs.jsonl", "tool=files")


def test_a_file_is_asked_answered_and_the_votes_are_rows_of_a_recipe_too(pairs: Terminal) -> None:
    told = pairs(*PUSH, "annotators=[ann, bob]", "votes_per_record=2", "margins=rm")
    assert f"{N} records of helpful are before people ({N} new)" in told.stdout
    assert "1 rows skipped: its prompt is empty." in told.stdout
    folder = log_of(pairs).folder
    for name in ("ann", "bob"):
        assert f"{name} answers at runs/journals/votes/helpful/tasks-{name}.csv" in told.stdout
        text = (folder / f"tasks-{name}.jsonl").read_text("utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["prompt"][-2] for line in lines[:2]] in (["2", "3"], ["3", "2"])
        answered = [json.dumps(line | {"preference": "a_much"}) for line in lines]
        (folder / "answers" / f"{name}.jsonl").write_text("\n".join(answered))
    assert "Votes: databuild annotate pull helpful --tool files" in told.stdout

    words = ("annotate", "pull", "helpful", "--tool", "files")
    assert pairs.json(*words, "--out", "votes.parquet")["new"] == 2 * N
    votes = pl.read_parquet(pairs.folder / "votes.parquet")
    assert votes.height == 2 * N
    assert set(votes["grade"].abs()) == {4}
    pairs(*words, "--out", "votes.parquet", code=6)  # never overwritten
    pairs("run")
    rows = pl.read_parquet(
        next((pairs.folder / "runs" / "asked").glob("votes-*")) / "part-*.parquet"
    )
    assert sorted(rows["parent_ids"].to_list()) == sorted(votes["parent_ids"].to_list())


def test_a_step_of_a_run_is_put_before_people(pairs: Terminal) -> None:
    pairs("run", "steps.votes={use: sample.split, from: raw, parts: {one: 0.5, two: 0.5}}")
    told = pairs.json("annotate", "push", "helpful", "votes.one", "tool=files", "limit=2")
    assert (told["records"], told["new"]) == (2, 2)
    ids = pl.read_parquet(next((pairs.folder / "runs/asked").glob("raw-*")) / "part-*.parquet")
    assert {one.row for one in log_of(pairs).read().records.values()} <= set(ids["row_id"])


def test_pushed_again_with_other_margins_a_record_takes_its_new_place(pairs: Terminal) -> None:
    pairs(*PUSH, "margins=rm")
    head, first = log_of(pairs).head(), log_of(pairs).read().records
    pairs(*PUSH, "margins=rm")
    assert log_of(pairs).head() == head
    text = (pairs.folder / "pairs.jsonl").read_text()
    (pairs.folder / "again.jsonl").write_text(text.replace('"rm": 2.5', '"rm": 0.01'))
    pairs("annotate", "push", "helpful", "again.jsonl", "tool=files", "margins=rm")
    again = log_of(pairs).read().records
    moved = next(name for name, one in again.items() if one.margins == {"rm": 0.01})
    assert (first[moved].margins, again[moved].place) == ({"rm": 2.5}, 0)
    assert again[moved].shown == first[moved].shown
    assert again.keys() == first.keys()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("respons=x",), 2, "no option 'respons'; did you mean 'response'"),
        (("task=ratin",), 2, "task: "),
        (("more.jsonl",), 2, "'more.jsonl' is not key=value"),
        (("votes_per_record=3", "annotators=[ann]"), 2, "only 1 annotators"),
        (("response_a=first",), 3, "it has no column 'first'"),
        (("tool=argilla",), 5, "no local Argilla is running"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    pairs: Terminal, words: tuple[str, ...], code: int, said: str
) -> None:
    told = pairs(*PUSH, *words, code=code)
    assert said in told.stderr
    assert "Fix: " in told.stderr


def test_a_file_is_read_as_ingest_files_reads_it(pairs: Terminal) -> None:
    text = (pairs.folder / "pairs.jsonl").read_text("utf-8").replace('"rm"', '"row_id"')
    (pairs.folder / "pairs.jsonl").write_text(text, encoding="utf-8")
    assert "keeps for itself" in pairs(*PUSH, code=2).stderr
    assert pairs.json(*PUSH, "rename={row_id: rm}", "margins=rm")["records"] == N


def test_what_is_nowhere_is_said(pairs: Terminal) -> None:
    told = pairs("annotate", "pull", "helpful", code=6)
    assert (
        "nothing was put before people from runs. Fix: write `databuild annotate push"
        in told.stderr
    )
    pairs("annotate", "push", "helpful", "nothing.jsonl", code=6)
    pairs(*PUSH)
    assert (
        "there is no tool 'file'"
        in pairs("annotate", "pull", "helpful", "--tool", "file", code=2).stderr
    )
    assert "did you mean 'helpful'" in pairs("annotate", "pull", "helpfull", code=6).stderr
