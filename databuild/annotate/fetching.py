"""Bring what people said from a desk into the vote log: idempotent, incremental, and no vote lost.

A vote whose answers are none of the task's, or whose record the log does not know, is passed over
and counted by reason; a vote that is in the log stays there, whatever becomes of the tool, of the
annotator's account or of the data set in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from databuild.annotate.desk import UnreachableError
from databuild.annotate.tasks import task_from
from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databuild.annotate.desk import Desk, Found
    from databuild.annotate.log import Heard, VoteLog, Votes
    from databuild.annotate.records import Record
    from databuild.annotate.tasks import Task


@dataclass(frozen=True)
class Fetched:
    """What one look at a desk brought."""

    new: int = 0
    passed_over: Mapping[str, int] = field(default_factory=dict)
    unreachable: str = ""
    """Why the desk could not be asked; the log alone is used then."""

    @property
    def note(self) -> str:
        """What there is to say of it; empty where nothing."""
        if self.unreachable:
            return f"votes from the log alone: {self.unreachable}"
        told = [f"{n:,} {reason}" for reason, n in sorted(self.passed_over.items())]
        return ", ".join(([f"{self.new:,} new votes"] if self.new else []) + told)


def fetch(log: VoteLog, desk: Desk) -> Fetched:
    """Ask a desk what people said, and append what is new to the log.

    Raises:
        ServiceError: The desk refuses (a wrong key). One that is not there is no error: the log
            goes on alone.
    """
    votes = log.read()
    if not votes.records:
        return Fetched()
    task = task_of(votes)
    try:
        found = desk.pull(log.dataset, task, votes.records)
    except UnreachableError as error:
        return Fetched(unreachable=error.what)
    good = checked(found, task, votes.records)
    return Fetched(log.hear(good, desk.source), found.passed_over)


def checked(found: Found, task: Task, records: Mapping[str, Record]) -> list[Heard]:
    """The votes of which every answer is one of the task's; the others are counted."""
    good = []
    for one in found.votes:
        if one.record not in records:
            found.pass_over("votes on records that were never put before people")
            continue
        answers = task.known(one.answers)
        fault = task.faults(answers) if one.status == "submitted" else None
        if fault:
            found.pass_over(f"votes passed over ({fault})")
        else:
            good.append(replace(one, answers=answers))
    return good


def task_of(votes: Votes) -> Task:
    """The task of a log as it was shown last: a user's own settings are part of the log."""
    text = votes.guidelines[-1][2]
    return task_from(votes.task, votes.language, votes.settings, text)


def need_records(votes: Votes, dataset: str, task: str) -> None:
    """Refuse a log that holds nothing, or records of another task.

    Raises:
        StepError: It does.
    """
    if not votes.records:
        what = f"nothing was put before people under the name {dataset!r}"
        fix = "put a step annotate.push with this `dataset` before it (or run it again with --from)"
        raise StepError("annotate.pull", what, fix=fix)
    if votes.task != task:
        what = f"the data set {dataset!r} is of the task {votes.task!r}, not {task!r}"
        raise StepError("annotate.pull", what, fix="correct `task`, or name another `dataset`")
