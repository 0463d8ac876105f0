"""`databuild annotate pull | export | import`: votes without a recipe, and without a tool."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild.annotate.log import VoteLog
from databuild.annotate.push import PushConfig, put_before_people
from tests.cli.conftest import Terminal

if TYPE_CHECKING:
    from pathlib import Path

N = 4


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A folder whose runs hold a vote log of four records; no Argilla is running."""
    monkeypatch.setenv("DATABUILD_HOME", str(tmp_path / "home"))
    rows = pl.DataFrame({
        "row_id": [f"r{i}" for i in range(N)], "prompt": [f"问题 {i}, =1+1" for i in range(N)],
        "response_a": ["x"] * N, "response_b": ["y"] * N,
    })  # fmt: skip
    journals = tmp_path / "runs" / "journals"
    (tmp_path / "out").mkdir()
    config = PushConfig(
        dataset="helpful", tool="files", votes_per_record=2, annotators=("ann", "b/o")
    )
    put_before_people(rows, config, out=tmp_path / "out", journals=journals, files=(), seed=1)
    for path in VoteLog(journals, "helpful").folder.glob("tasks*"):
        path.unlink()
    return Terminal(tmp_path)


def log_of(terminal: Terminal) -> VoteLog:
    return VoteLog(terminal.folder / "runs" / "journals", "helpful")


def test_exported_answered_and_imported_votes_are_in_the_log_once(asked: Terminal) -> None:
    told = asked("annotate", "export", "helpful")
    assert "4 records" in told.stdout
    folder = log_of(asked).folder
    names = {path.name for path in folder.iterdir()}
    assert {"tasks-ann.csv", "tasks-b-o.jsonl", "guidelines.md", "label-studio-tasks.json"} <= names

    with (folder / "tasks-ann.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    places = {name: one.place for name, one in log_of(asked).read().records.items()}
    assert [places[line["record"]] for line in lines] == list(range(N))
    with (asked.folder / "ann.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(line | {"preference": "a_much"} for line in lines)
    text = (folder / "tasks-b-o.jsonl").read_text("utf-8").splitlines()
    bo = [json.loads(line) for line in text]
    bo[0]["preference"], bo[1]["preference"] = "b_slightly", "much better"
    (asked.folder / "bo.jsonl").write_text("\n".join(map(json.dumps, [*bo, "no object"])), "utf-8")

    words = ("annotate", "import", "helpful", "ann.csv", "bo.jsonl")
    first = asked.json(*words)
    assert {k: first[k] for k in ("dataset", "new", "records", "answered", "votes")} == {
        "dataset": "helpful", "new": N + 1, "records": N, "answered": 1, "votes": N + 1,
    }  # fmt: skip
    assert "1 votes passed over (preference has a value that is no answer to it)" in first["note"]
    assert "1 lines that are no JSON object" in first["note"]
    head = log_of(asked).head()
    again = asked(*words)
    assert "1 of 4 records answered, 5 votes, 0 of them new" in again.stdout
    assert log_of(asked).head() == head
    votes = log_of(asked).read().votes.values()
    assert sorted({vote.annotator for vote in votes}) == ["ann", "b/o"]


def test_an_export_of_label_studio_is_imported(asked: Terminal) -> None:
    asked("annotate", "export", "helpful")
    path = log_of(asked).folder / "label-studio-tasks.json"
    tasks = json.loads(path.read_text("utf-8"))
    result = {"from_name": "preference", "type": "choices", "value": {"choices": ["b_much"]}}
    tasks[0]["annotations"] = [
        {"completed_by": {"email": "ann@example.org"}, "updated_at": "2026-03-01T09:30:00Z",
         "result": [result]},
        {"completed_by": {"email": "eve@example.org"}, "was_cancelled": True, "result": []},
    ]  # fmt: skip
    (asked.folder / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
    told = asked.json("annotate", "import", "helpful", "export.json")
    assert (told["votes"], told["answered"]) == (1, 0)
    kinds = {vote.annotator: vote.status for vote in log_of(asked).read().votes.values()}
    assert kinds == {"ann@example.org": "submitted", "eve@example.org": "discarded"}


def test_pull_without_a_server_says_that_the_log_goes_on_alone(asked: Terminal) -> None:
    told = asked.json("annotate", "pull", "helpful", code=5)
    assert (told["new"], told["records"], told["votes"]) == (0, N, 0)
    assert "votes from the log alone: no local Argilla is running" in told["note"]


def test_an_unknown_data_set_and_a_missing_file_are_named(asked: Terminal) -> None:
    for words in (("pull",), ("export",)):
        told = asked("annotate", *words, "helpfull", code=6)
        assert "no vote log of that name; did you mean 'helpful'?" in told.stderr
    asked("annotate", "import", "helpful", "missing.csv", code=2)
    (asked.folder / "bad.json").write_text("{", encoding="utf-8")
    assert asked.json("annotate", "import", "helpful", "bad.json")["new"] == 0
