"""A user's own titles, tags and guidelines: shown, kept in the log, and their votes are votes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild.annotate.fetching import fetch, task_of
from databuild.annotate.files import FileDesk
from databuild.annotate.log import VoteLog
from databuild.annotate.push import PushConfig, put_before_people
from databuild.annotate.tasks import load_task
from databuild.errors import RecipeError
from databuild.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

ROWS = pl.DataFrame({
    "row_id": ["a", "b"], "prompt": ["Q1", "Q2"], "response_a": ["x"] * 2, "response_b": ["y"] * 2,
})  # fmt: skip
SHIPPED = shipped("annotation/tasks/preference.yaml").read_text("utf-8")


def own(folder: Path, old: str, new: str, name: str = "own.yaml") -> Path:
    assert old in SHIPPED
    path = folder / name
    path.write_text(SHIPPED.replace(old, new), encoding="utf-8")
    return path


def push(folder: Path, *files: Path) -> VoteLog:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    config = PushConfig(dataset="d", tool="files", files=[str(file) for file in files])
    put_before_people(ROWS, config, out=out, journals=folder, files=files, seed=1)
    return VoteLog(folder, "d")


def test_votes_with_tags_of_ones_own_count_and_the_log_says_what_was_asked(tmp_path: Path) -> None:
    settings = own(tmp_path, "too_long: {en: Too long", "rude: {en: Rude")
    guidelines = tmp_path / "own.md"
    guidelines.write_text("# Ours\nBe kind. 请友善 🐢\n", encoding="utf-8")
    log = push(tmp_path, settings, guidelines)
    assert (log.folder / "guidelines.md").read_text("utf-8").startswith("# Ours")
    settings.unlink()  # the log alone has all that is needed
    lines = [json.loads(line) for line in (log.folder / "tasks.jsonl").read_text().splitlines()]
    for line, tags in zip(lines, (["rude", "unsafe"], ["too_long"]), strict=True):
        line |= {"preference": "a_much", "issues": tags, "annotator": "ann"}
    (log.folder / "answers" / "ann.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = fetch(log, FileDesk(log.folder))
    assert found.new == 1
    assert found.passed_over == {
        "votes passed over (issues has a value that is no answer to it)": 1
    }
    votes = log.read()
    assert [one.answers["issues"] for one in votes.submitted()] == [["rude", "unsafe"]]
    assert task_of(votes).guideline.startswith("# Ours")
    shown = next(q for q in task_of(votes).questions if q.name == "issues").options
    assert shown["rude"] == "Rude"


def test_new_settings_are_noted_once_and_new_guidelines_are_another_version(tmp_path: Path) -> None:
    settings = own(tmp_path, "too_long: {en: Too long", "rude: {en: Rude")

    def n_noted() -> int:
        return sum('"kind":"guideline"' in line for line in log.path.read_text("utf-8").split("\n"))

    log = push(tmp_path)
    push(tmp_path)
    assert n_noted() == 1
    push(tmp_path, settings)
    push(tmp_path, settings)
    assert n_noted() == 2
    versions = {version for _, version, _ in log.read().guidelines}
    assert versions == {load_task("preference").version}
    (tmp_path / "own.md").write_text("Ours")
    push(tmp_path, settings, tmp_path / "own.md")
    assert len({version for _, version, _ in log.read().guidelines}) == 2


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("a_negligibly: {", "a_hardly: {", "'preference' must stay as it is"),
        ("values: [1, 2, 3, 4, 5]", "values: [1, 2, 3]", "'accuracy' must stay as it is"),
        ("name: response_b", "name: second", "the fields must have the names"),
        ("kind: text, title: {en: Answer A", "kind: html, title: {en: Answer A", "text or chat"),
        ("questions:", "asked:", "it is no settings file of a task: 'questions'"),
        ("fields:", "fields: [", "it is no settings file of a task"),
    ],
)
def test_settings_that_no_table_can_be_made_from_are_refused(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    with pytest.raises(RecipeError, match=told):
        load_task("preference", "en", [own(tmp_path, old, new)])
    with pytest.raises(RecipeError, match=r"settings are \.yaml and guidelines \.md"):
        load_task("preference", "en", [tmp_path / "own.txt"])
