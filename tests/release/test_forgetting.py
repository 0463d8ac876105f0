"""What is withdrawn is in no later version; what is purged is in no file."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from databuild import api
from databuild.annotate.log import Heard, VoteLog, digest_of_name
from databuild.errors import RecipeError, SchemaError, StepError, StoreError
from databuild.release.models import models_of
from databuild.release.tracing import trace
from databuild.release.uses import Meant, uses
from databuild.release.verifying import verify
from databuild.release.versions import Versions

CANARY = "the heron walked alone along the frozen canal at dawn"
PEOPLE = ("ann", "bo")
RECIPE = """
name: desk
seed: 5
models: {start: {fake: {skill_ratio: 0.4}}}
steps:
  raw: {use: ingest.files, path: data/*.jsonl}
  facts: {use: measure.basics, from: raw, column: prompt}
  unique: {use: dedup.exact, from: facts, columns: prompt}
  answers: {use: generate.respond, from: unique, model: start, k: 2, max_tokens: 24}
  length: {use: measure.basics, from: answers, column: response}
  pairs: {use: pairs.graded, from: length, score: response_chars, passes: ~}
  side: {use: annotate.push, from: pairs, task: preference, dataset: herons, tool: files,
         response_a: chosen, response_b: rejected, messages: ~}
  votes: {use: annotate.pull, from: pairs, task: preference, dataset: herons, tool: files, share: 0}
  graded: {use: annotate.aggregate, from: votes}
  few: {use: sample.where, from: length, keep: "response_chars > 0"}
  sft: {use: train.sft, from: few, model: start}
  out: {use: export.jsonl, from: few, format: databuild, kind: sft}
release:
  configs: {sft: {train: few}, preference: {train: graded}}
"""


class Desk:
    """A folder with two sources, answers, pairs that two people voted on, and a model."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs, self.store = folder, folder / "runs", folder / "releases"
        (folder / "data").mkdir()
        mine = [f"Question {i}: {CANARY} {i}?" for i in range(3)]
        self.write("mine.jsonl", mine)
        self.write("other.jsonl", [f"What is the price of parcel {i} to Rome?" for i in range(20)])
        (folder / "desk.yaml").write_text(RECIPE)

    def write(self, name: str, prompts: list[str]) -> None:
        lines = "".join(json.dumps({"prompt": text}) + "\n" for text in prompts)
        (self.folder / "data" / name).write_text(lines)

    def run(self) -> None:
        api.run(self.folder / "desk.yaml", runs=self.runs, workers=1)

    def vote(self) -> None:
        """Ann votes on every pair, Bo on the first ten."""
        log = VoteLog(self.runs / "journals", "herons")
        records = sorted(log.read().records)
        for who, some in (("ann", records), ("bo", records[:10])):
            said = {"preference": "a_better", "comment": f"so says {who}, who knows"}
            log.hear(
                [Heard(one, who, "2026-03-01T09:30:00Z", "submitted", said) for one in some], "f"
            )

    def release(self, name: str = "desk@auto", **allow: str) -> Path:
        allow = {"leak": "answers share prompts", "agreement": "two voters of a test", **allow}
        _, folder = api.release(
            self.folder / "desk.yaml", name, allow=allow, store=self.store, runs=self.runs
        )
        assert isinstance(folder, Path)
        return folder

    def withdraw(self, *meant: Meant, name: str = "desk@latest", **options: Any):
        return api.withdraw(name, list(meant), store=self.store, runs=self.runs, **options)

    @property
    def versions(self) -> Versions:
        return Versions(self.store, "desk")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk that was run, voted on, and released as 1.0.0; never changed."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.run()
    desk.vote()
    desk.run()
    desk.release("desk@1.0.0")
    return desk.folder


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Desk:
    subprocess.run(["cp", "-r", f"{made}/.", str(tmp_path)], check=True)
    found = Desk.__new__(Desk)
    found.folder, found.runs, found.store = tmp_path, tmp_path / "runs", tmp_path / "releases"
    return found


def places_of(text: str, *folders: Path) -> list[str]:
    """Every file below some folders that says a text; inside tables too."""
    found = []
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.is_file()):
        held = path.read_bytes()
        if held[:4] == b"PAR1":
            held += pl.read_parquet(io.BytesIO(held)).write_json().encode()
        if text.encode() in held or text.encode() in path.name.encode():
            found.append(str(path))
    return found


def rows_of(desk: Desk, version: str, config: str = "sft") -> pl.DataFrame:
    return pl.read_parquet(desk.versions.folder(version) / f"data/{config}/train-*.parquet")


def test_the_next_version_is_without_every_descendant(desk: Desk) -> None:
    before = rows_of(desk, "1.0.0")
    assert before.filter(pl.col("prompt").str.contains(CANARY)).height == 6
    done = desk.withdraw(Meant("source", "mine.jsonl"), why="asked to")
    assert (done.made.version, done.plan.removed) == (
        "1.1.0",
        {"sft/train": 6, "preference/train": 3},
    )
    after = rows_of(desk, "1.1.0")
    assert after.height == before.height - 6
    assert not after["prompt"].str.contains(CANARY).any()
    assert verify(desk.versions, "1.1.0").faults == {}
    came = pl.read_parquet(desk.versions.folder("1.1.0") / "lineage/sources-*.parquet")
    assert set(came["source_file"]) == {"other.jsonl"}
    # The model of the run that it came from is named, and the old version is as it was.
    [model] = models_of(desk.versions)
    assert done.plan.models == [model.identity]
    assert rows_of(desk, "1.0.0").equals(before)
    with pytest.raises(
        StepError, match=r"`withdrawn` is not passed: \d+ rows .* take these rows out"
    ):
        desk.release()
    assert "withdrawn" in [event.what for event in trace(desk.store, before.filter(
        pl.col("prompt").str.contains(CANARY))["row_id"][0])[0].events]  # fmt: skip


def test_the_released_files_alone_are_enough(desk: Desk) -> None:
    for path in (desk.runs, desk.folder / "data"):
        subprocess.run(["rm", "-r", str(path)], check=True)
    done = desk.withdraw(Meant("annotator", "bo"))
    assert done.plan.removed == {"preference/train": 10}
    assert rows_of(desk, "1.1.0", "preference")["annotators"].explode().unique().to_list() == [
        "ann"
    ]
    assert desk.versions.find("latest") == "1.1.0"


def test_a_dry_run_says_it_and_changes_nothing(desk: Desk) -> None:
    before = {p: p.stat().st_mtime_ns for p in desk.folder.rglob("*")}
    done = desk.withdraw(Meant("source", "mine.jsonl"), purge=True, dry_run=True)
    assert (done.plan.after, done.made) == ("1.1.0", None)
    assert done.purged.rows["desk@1.0.0"] == 9
    assert {p: p.stat().st_mtime_ns for p in desk.folder.rglob("*")} == before


def test_after_a_purge_no_file_says_it(desk: Desk) -> None:
    clipped = f"Question 1: {CANARY}"[:44]
    (desk.runs / "desk/notes.html").write_text(f"<p>{clipped}…</p>")
    gone = rows_of(desk, "1.0.0").filter(pl.col("prompt").str.contains(CANARY))
    answers = gone["response"].to_list()
    assert len(places_of(CANARY, desk.runs, desk.store)) > 8
    old = desk.versions.read("1.0.0").fingerprint
    n_records = len(VoteLog(desk.runs / "journals", "herons").read().records)
    done = desk.withdraw(Meant("source", "mine.jsonl"), purge=True, why="asked to")
    assert places_of(CANARY, desk.runs, desk.store) == []
    assert places_of(clipped, desk.runs, desk.store) == []
    kept = set(rows_of(desk, "1.1.0")["response"])
    for answer in answers:
        if len(answer) >= 8 and answer not in kept:
            assert places_of(answer, desk.runs, desk.store) == []
    assert done.purged.rows["desk@1.0.0"] == 9
    assert done.purged.rows["answers in journals"] >= 6
    # The older version is listed, whole, and says what is gone.
    assert desk.versions.known() == ["1.0.0", "1.1.0"]
    version = desk.versions.read("1.0.0")
    assert version.withdrawn[0].rows == {"preference/train": 3, "sft/train": 6}
    assert version.withdrawn[0].fingerprint == old != version.fingerprint
    assert verify(desk.versions, "1.0.0").faults == {}
    assert rows_of(desk, "1.0.0")["row_id"].sort().equals(rows_of(desk, "1.1.0")["row_id"].sort())
    # Of the other source nothing is lost.
    assert len(VoteLog(desk.runs / "journals", "herons").read().records) == n_records - 3
    with pytest.raises(SchemaError, match="was withdrawn and erased"):
        trace(desk.store, gone["row_id"][0])


def test_a_run_goes_on_after_a_purge_without_asking_again(desk: Desk) -> None:
    desk.withdraw(Meant("source", "mine.jsonl"), purge=True)
    table = api.show("few", "desk", runs=desk.runs)
    assert table.height == 40
    journal = next(desk.runs.glob("journals/*/requests.jsonl"))
    size = journal.stat().st_size
    (desk.folder / "data/mine.jsonl").unlink()
    desk.run()
    assert journal.stat().st_size == size
    assert api.show("few", "desk", runs=desk.runs)["row_id"].sort().equals(table["row_id"].sort())
    assert desk.release().name == "1.2.0"


def test_data_that_was_purged_is_refused_by_its_fingerprint(desk: Desk) -> None:
    old = desk.versions.read("1.0.0").fingerprint
    subprocess.run(["cp", "-r", str(desk.store), str(desk.folder / "copy")], check=True)
    desk.withdraw(Meant("source", "mine.jsonl"), purge=True)
    text = "name: tune\nsteps:\n  rows: {use: ingest.release, version: desk@1.0.0, config: sft"
    path = desk.folder / "tune.yaml"
    for more in (", store: copy}", f", fingerprint: {old}}}"):
        path.write_text(text + more)
        with pytest.raises(StoreError, match=r"version desk@1.0.0|version 1.0.0.*was withdrawn"):
            api.run(path, runs=desk.runs, workers=1)
    path.write_text(text + "}")
    api.run(path, runs=desk.runs, workers=1)
    assert not api.show("rows", "tune", runs=desk.runs)["prompt"].str.contains(CANARY).any()


def test_an_annotator_is_forgotten_and_does_not_come_back(desk: Desk) -> None:
    n_records = len(VoteLog(desk.runs / "journals", "herons").read().records)
    done = desk.withdraw(Meant("annotator", "bo"), purge=True, why="left")
    assert places_of("so says bo", desk.runs, desk.store) == []
    assert done.plan.removed == {"preference/train": 10}
    log = VoteLog(desk.runs / "journals", "herons")
    votes = log.read()
    assert {vote.annotator for vote in votes.votes.values()} == {"ann"}
    assert len(votes.records) == n_records
    assert digest_of_name("bo") in votes.forgotten
    again = [Heard(next(iter(votes.records)), "bo", "2026-03-02T09:30:00Z", "submitted",
                   {"preference": "b_much"})]  # fmt: skip
    assert log.hear(again, "f") == 0


@pytest.mark.slow
def test_a_purge_that_is_killed_is_finished_by_the_next(desk: Desk) -> None:
    program = """
import os, signal, sys
from databuild import api
from databuild.release.uses import Meant
import databuild.release.{module} as m
folder, n = sys.argv[1], [{after}]
real = m.{name}
def once(*a, **k):
    n[0] -= 1
    if n[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*a, **k)
m.{name} = once
api.withdraw("desk@latest", [Meant("source", "mine.jsonl")], purge=True,
             store=folder + "/releases", runs=folder + "/runs")
"""
    stops = (("purging", "renew", 0), ("renewing", "write_json", 0), ("renewing", "_put", 2),
             ("purging", "erase_step", 4), ("purging", "erase_requests", 0),
             ("purging", "sweep_file", 3), ("forgetting", "remember", 0))  # fmt: skip
    for module, name, after in stops:
        text = program.format(module=module, name=name, after=after)
        ended = subprocess.run(
            [sys.executable, "-c", text, str(desk.folder)], check=False, capture_output=True
        )
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    desk.withdraw(Meant("source", "mine.jsonl"), purge=True)
    assert desk.versions.known() == ["1.0.0", "1.1.0"]
    assert places_of(CANARY, desk.runs, desk.store) == []
    for number in desk.versions.known():
        assert verify(desk.versions, number).faults == {}
    assert rows_of(desk, "1.0.0").height == rows_of(desk, "1.1.0").height == 40
    assert desk.versions.read("1.0.0").withdrawn[0].rows == {"preference/train": 3, "sft/train": 6}
    with pytest.raises(SchemaError):
        desk.withdraw(Meant("source", "mine.jsonl"), purge=True)


def test_what_is_not_there_is_said_with_what_is_near(desk: Desk) -> None:
    for meant, what in (
        (Meant("source", "mine.jsnl"), "mine.jsonl"),
        (Meant("annotator", "anne"), "did you mean 'ann'"),
        (Meant("row", "f" * 32), "the nearest are"),
    ):
        with pytest.raises(SchemaError, match=what):
            desk.withdraw(meant)
    with pytest.raises(RecipeError, match="only the start of an id"):
        desk.withdraw(Meant("row", "abc"))
    with pytest.raises(RecipeError, match="nothing is named"):
        desk.withdraw()


def test_uses_tells_rows_versions_and_models(desk: Desk) -> None:
    found = uses(desk.store, desk.runs, [Meant("source", "mine.jsonl")])
    run, version = found.places
    assert (run.place, version.place) == ("run desk", "desk@1.0.0")
    assert run.steps == {
        "raw": 3,
        "answers": 6,
        "pairs": 3,
        "votes": run.steps["votes"],
        "graded": 3,
    }
    assert version.splits == {"sft/train": 6, "preference/train": 3}
    assert [one.identity for one in found.models] == list(found.trained.values())
    alone = uses(desk.store, desk.folder / "nothing", [Meant("annotator", "bo")])
    assert [one.splits for one in alone.places] == [{"preference/train": 10}]
    model = api.show("answers", "desk", runs=desk.runs)["model"][0]
    assert uses(desk.store, desk.runs, [Meant("model", model)]).places[0].steps["answers"] == 46


def test_why_tells_the_same_with_the_runs_folder_and_without(desk: Desk) -> None:
    row = rows_of(desk, "1.0.0", "preference").sort("n_votes")[-1]
    [with_runs] = api.why(row["row_id"][0], "desk", runs=desk.runs, store=desk.store)
    [alone] = api.why(row["row_id"][0], None, store=desk.store)
    assert {one.row["annotator"] for one in alone.parents} == set(PEOPLE)
    assert {abs(one.row["grade"]) for one in alone.parents} == {3}
    assert all(one.row["voted_at"] == "2026-03-01T09:30:00Z" for one in alone.parents)

    def ways(life) -> set[tuple[str, str]]:
        return {(life.step, life.row_id)}.union(*map(ways, life.parents))

    assert ways(alone) == ways(with_runs)
    answer = alone.parents[0].parents[0].parents[0]
    assert (
        answer.row["sample_seed"] == with_runs.parents[0].parents[0].parents[0].row["sample_seed"]
    )
    assert answer.row["max_tokens"] == 24
    assert answer.parents[0].row["source_file"].endswith(".jsonl")
    happened = {(event.what, event.step) for event in with_runs.events}
    assert ("released", "desk@1.0.0") in happened
    near = row["row_id"][0][:10] + "0" * 22
    with pytest.raises(SchemaError, match=f"the nearest are {row['row_id'][0][:10]}"):
        api.why(near, None, store=desk.store)


def test_nothing_left_to_release_is_no_version_and_can_be_purged(desk: Desk) -> None:
    meant = [Meant("source", "raw")]
    with pytest.raises(StepError, match="would be left"):
        desk.withdraw(*meant)
    desk.withdraw(*meant, purge=True)
    assert desk.versions.known() == ["1.0.0"]
    assert desk.versions.read("1.0.0").configs == {}
    assert places_of(CANARY, desk.runs, desk.store) == []
    assert (desk.folder / "data/mine.jsonl").exists()
