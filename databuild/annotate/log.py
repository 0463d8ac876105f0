"""The vote log: what was put before people and what they said, for ever.

`<runs>/journals/votes/<dataset>.jsonl`, a chained log (`engine.chain`) of three kinds of lines:

- `guideline`: a version (content hash) of the guidelines with its text, the fields and questions
  (`settings`) as they were shown, and since when (`at`);
- `record`: see `Record`. A line with the hash of an earlier record adds a row that it came from, or
  changes who is to answer, when, and what is known of it (margins, stratum, gold, scores); what is
  shown, and in which order, stays that of the first line;
- `vote`: `record`, `annotator`, `at` (ISO 8601, UTC), `status` (submitted, discarded, or draft: a
  vote that was taken back), `answers` by question as they were given, in the order shown; `seconds`
  (null where not known), `guideline`, `from` (the tool), and `replaces`, the digest of the same
  person's earlier vote on the record.

- `withdrawn` and `purge`: what was erased, by digest (see `engine.chain`); a `purge` also has the
  `records` and `annotators` (by digest of the name) whose votes are not to come in again.

The log alone makes every table: no tool is asked for what it has told once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from databuild.annotate.records import Record, record_of
from databuild.engine.chain import PURGE, Chain
from databuild.schema.identity import digest_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set
    from pathlib import Path

    from databuild.annotate.tasks import Task

Status = Literal["submitted", "discarded", "draft"]
SIMULATED = "simulated"
"""An annotator whose name begins with this is none."""


@dataclass(frozen=True)
class Heard:
    """What one person said of one record, as a tool tells it."""

    record: str
    annotator: str
    at: str
    status: Status
    answers: dict[str, Any]
    seconds: float | None = None
    origin: str = ""
    """The tool's own id of this answer, where it has one: it stays when a name changes."""


@dataclass(frozen=True)
class Vote(Heard):
    """What one person said of one record, as the log has it."""

    digest: str = ""
    guideline: str = ""
    source: str = ""


@dataclass
class Votes:
    """All that a vote log says, read once."""

    head: str = ""
    task: str = ""
    language: str = "en"
    guidelines: list[tuple[str, str, str]] = field(default_factory=list)
    """(at, version, text), the oldest first."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The fields and questions that were shown last; see `tasks.task_from`."""
    records: dict[str, Record] = field(default_factory=dict)
    rows: dict[str, list[str]] = field(default_factory=dict)
    """The rows that each record came from."""
    votes: dict[tuple[str, str], Vote] = field(default_factory=dict)
    """The last of each person on each record."""
    forgotten: set[str] = field(default_factory=set)
    """Records, and digests of the names of annotators, whose votes were erased."""

    def submitted(self) -> list[Vote]:
        """The votes that count, in the order of the log."""
        return [vote for vote in self.votes.values() if vote.status == "submitted"]

    def counts(self) -> dict[str, int]:
        """How many submitted votes each record has; 0 where none."""
        found = dict.fromkeys(self.records, 0)
        for vote in self.submitted():
            found[vote.record] += 1
        return found

    def guideline_at(self, at: str) -> str:
        """The version of the guidelines that was shown at a time; the first before any."""
        shown = [version for since, version, _ in self.guidelines if since <= at]
        return shown[-1] if shown else (self.guidelines[0][1] if self.guidelines else "")


class VoteLog:
    """The vote log of one data set."""

    def __init__(self, journals: Path, dataset: str) -> None:
        self.dataset = dataset
        self.path = journals / "votes" / f"{dataset}.jsonl"
        self._chain = Chain(self.path)

    @property
    def folder(self) -> Path:
        """Where files for, and from, annotators lie."""
        return self.path.with_suffix("")

    def head(self) -> str:
        """The digest of all of it."""
        return self._chain.head()

    def read(self) -> Votes:
        """Everything it says.

        Raises:
            StoreError: It was changed by hand.
        """
        found = Votes()
        for line in self._chain.read():
            _take(found, line)
        return found

    def put(self, task: Task, records: Sequence[Record]) -> dict[str, int]:
        """Note what is put before people, in one write; what is known already is not noted again.

        Returns:
            How many records are `new`, and how many were `known`.
        """
        with self._chain.appending() as appender:
            before = self.read()
            lines: list[dict[str, Any]] = []
            last = before.guidelines[-1][1] if before.guidelines else ""
            if (last, before.settings) != (task.version, task.settings):
                lines.append({
                    "kind": "guideline", "task": task.name, "version": task.version, "at": now(),
                    "language": task.language, "text": task.guideline, "settings": task.settings,
                })  # fmt: skip
            lines += [one.line() for one in records if not _is_noted(before, one)]
            appender.append(lines)
        new = sum(one.record not in before.records for one in records)
        return {"new": new, "known": len(records) - new}

    def hear(self, heard: Iterable[Heard], source: str) -> int:
        """Append the votes that are new or changed; return how many. Twice the same adds nothing.

        A draft or a discarded record of someone who had not voted is no vote, except that a
        discarded one is kept: it says that the record was looked at.
        """
        with self._chain.appending() as appender:
            before = self.read()
            lines = []
            names = {vote.origin: vote.annotator for vote in before.votes.values() if vote.origin}
            told = (replace(one, annotator=names.get(one.origin, one.annotator)) for one in heard)
            for one in sorted(told, key=lambda vote: (vote.at, vote.annotator, vote.record)):
                last = before.votes.get((one.record, one.annotator))
                is_gone = {one.record, digest_of_name(one.annotator)} & before.forgotten
                if is_gone or not _is_news(one, last):
                    continue
                lines.append({
                    "kind": "vote", "record": one.record, "annotator": one.annotator, "at": one.at,
                    "status": one.status, "answers": one.answers, "seconds": one.seconds,
                    "guideline": before.guideline_at(one.at), "from": source,
                    "replaces": last.digest if last else None,
                    "origin": one.origin,
                })  # fmt: skip
            appender.append(lines)
        return len(lines)

    def forget(self, rows: Set[str], annotators: Set[str], why: str) -> int:
        """Erase the records of rows, the votes on them, and all votes of some people.

        A record that another row shares stays. What is erased does not come in again, though the
        tool that people voted in may still have it.

        Args:
            rows: Ids of rows.
            annotators: Names.
            why: The reason, which the log keeps.

        Returns:
            How many lines are gone.
        """
        before = self.read()
        gone = {name for name, of in before.rows.items() if of and set(of) <= rows}

        def is_meant(line: dict[str, Any]) -> bool:
            if line["kind"] == "record":
                return line["record"] in gone or line["row"] in rows
            is_vote = line["kind"] == "vote"
            return is_vote and (line["record"] in gone or line["annotator"] in annotators)

        people = sorted(digest_of_name(name) for name in annotators)
        note = {"at": now(), "why": why, "records": sorted(gone), "annotators": people}
        return self._chain.erase(is_meant, note)


def digest_of_name(annotator: str) -> str:
    """What stands for the name of somebody who is forgotten."""
    return digest_text("annotator", annotator)


def now() -> str:
    """The time, ISO 8601, UTC, to the second."""
    return utc(datetime.now(UTC))


def utc(when: datetime) -> str:
    """A time as the log writes it; one without a zone is UTC.

    Example:
        >>> utc(datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
        '2026-03-01T09:30:00Z'
    """
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def _take(found: Votes, line: dict[str, Any]) -> None:
    found.head = line["digest"]
    if line["kind"] == "guideline":
        found.task, found.language = line["task"], line["language"]
        found.settings = line["settings"]
        found.guidelines.append((line["at"], line["version"], line["text"]))
    elif line["kind"] == "record":
        name, first = line["record"], found.records.get(line["record"])
        fresh = record_of(line)
        found.records[name] = fresh if first is None else _turned_as(first, fresh)
        rows = found.rows.setdefault(name, [])
        if line["row"] and line["row"] not in rows:
            rows.append(line["row"])
    elif line["kind"] == "vote":
        vote = Vote(
            line["record"], line["annotator"], line["at"], line["status"], line["answers"],
            line["seconds"], line["origin"], line["digest"], line["guideline"], line["from"],
        )  # fmt: skip
        found.votes[vote.record, vote.annotator] = vote
    elif line["kind"] == PURGE:
        found.forgotten.update(line["records"], line["annotators"])


def _turned_as(first: Record, again: Record) -> Record:
    """A record met again, in the first one's order of answers, with what depends on that order."""
    made = replace(again, fields=first.fields, shown=first.shown)
    if again.answers == first.answers:
        return made
    gold = None if again.gold is None else -again.gold
    margins = {name: -value for name, value in (again.margins or {}).items()}
    return replace(made, hidden=first.hidden, margins=margins, gold=gold)


def _is_noted(before: Votes, record: Record) -> bool:
    known = before.records.get(record.record)
    if known is None or record.row not in before.rows[record.record]:
        return False
    return _plan(known) == _plan(_turned_as(known, record))


def _plan(record: Record) -> str:
    """What may change of a record, as the log writes it."""
    line = record.line()
    for name in ("record", "task", "fields", "shown", "row"):
        del line[name]
    return json.dumps(line, sort_keys=True)


def _is_news(one: Heard, last: Vote | None) -> bool:
    if last is None:
        return one.status != "draft"
    return (one.status, one.answers) != (last.status, last.answers)
