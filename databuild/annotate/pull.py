"""annotate.pull: what people said, from the vote log, after bringing in what is new.

Rows have as parents the rows that the record came from. All tasks: `record` (hash), `comment`,
`annotator`, `voted_at` (ISO 8601, UTC), `seconds` (between this person's vote before and this one,
null where not known), `guideline` (content hash), `gold` (the grade that is expected, of a gold
question), `stratum`, `simulated` (the annotator's name begins with "simulated"). Further, by task:

- `preference`: `prompt`, `messages`, `response_a`, `response_b` and `model_a`, `model_b` in the
  row's own order, whatever order was shown (`shown_first`), `vote` (a or b), `grade` (-4 to 4:
  positive is a better; 1 negligibly, 2 slightly, 3 better, 4 much better), `edited`, `accuracy`,
  `relevance`, `safety` (1 to 5), `issues`
- `rating`: `response`, `rating` (1 to 5)
- `thumbs`: `response`, `label`
- `ranking`: `responses`, `ranks` (1 is the best; equal is a tie)
- `verification`: `question`, `answer`, `passage`, `verdict`, `edited`
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field

from databuild.annotate.desk import desk_of
from databuild.annotate.fetching import fetch, need_records
from databuild.annotate.log import VoteLog
from databuild.annotate.options import DatasetConfig
from databuild.annotate.table import SCHEMAS, votes_table
from databuild.engine.step import Produced, step
from databuild.errors import ServiceError, StepError, WaitingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from databuild.annotate.log import Votes

_ATTRIBUTES = ("seconds", "guideline", "stratum", "gold", "simulated", "shown_first")


class PullConfig(DatasetConfig):
    """Options of `annotate.pull`."""

    votes_per_record: int | None = Field(default=None, ge=1)
    """How many votes make a record answered; null is what `annotate.push` asked for."""
    share: float = Field(default=1.0, ge=0, le=1)
    """Go on when this share of the records is answered; until then the run waits for people. 0 goes
    on with what there is."""


def look_outside(config: PullConfig, journals: Path, *, fetch: bool) -> tuple[str, str]:
    """Bring new votes into the log where `fetch` says so; return its head, and what to say.

    Raises:
        ServiceError: The tool refuses (a wrong key).
        StoreError: The log was changed by hand.
    """
    log = VoteLog(journals, config.dataset)
    told = _fetched(config, log) if fetch else ""
    return log.head(), told


def _fetched(config: PullConfig, log: VoteLog) -> str:
    return fetch(log, desk_of(config.tool, log, config.server)).note


@step(
    "annotate.pull",
    kind="produce",
    sees="table",
    version=2,
    adds=lambda config: tuple(SCHEMAS[config.task]),
    attributes=_ATTRIBUTES,
    outside=look_outside,
)
def read_votes(
    rows: pl.DataFrame,
    config: PullConfig,
    gold: pl.DataFrame | None = None,
    *,
    journals: Path,
    told: str,
) -> Produced:
    """Make a row of every submitted vote on the records that came from these rows.

    Before its key is made, new votes are brought from the tool into the vote log, whose head is
    part of the key. Where the tool cannot be reached the log alone is used, and that is said. A
    person's later vote on a record takes the place of the earlier one; votes that were taken back
    (draft) or discarded are no rows. Everyone who voted counts, also beyond the number asked for.

    Args:
        rows: The rows that `annotate.push` put before people.
        config: See `PullConfig`.
        gold: The rows of gold questions, where some were mixed in.
        journals: The folder of the journals.
        told: What there was to say when the votes were brought in.

    Returns:
        A row for each vote, with the columns that the module's text names; rows without one are in
        `dropped`, with the reason. The facts count records, answered ones and votes.

    Raises:
        WaitingError: Fewer than `share` of the records are answered.
        StepError: None of the rows was put before people under this name.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from databuild.annotate.log import Heard
        >>> from databuild.annotate.records import Record
        >>> from databuild.annotate.tasks import load_task
        >>> fields = {"prompt": "2 + 2?", "answers": ["4.", "5."]}
        >>> record = Record("r1", "preference", fields, shown=(1, 0), row="a")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = VoteLog(Path(folder), "demo")
        ...     _ = log.put(load_task("preference"), [record])
        ...     at, said = "2026-03-01T09:30:00Z", {"preference": "b_much"}
        ...     _ = log.hear([Heard("r1", "ann", at, "submitted", said)], "file")
        ...     config = PullConfig(dataset="demo", tool="files")
        ...     rows = pl.DataFrame({"row_id": ["a"]})
        ...     made = read_votes(rows, config, journals=Path(folder), told="")
        >>> made.rows.select("vote", "grade", "shown_first", "annotator").row(0)
        ('a', 4, 'b', 'ann')
    """
    votes = (log := VoteLog(journals, config.dataset)).read()
    if gold is not None:
        rows = pl.concat([rows.select("row_id"), gold.select("row_id")])
    if rows.height:
        need_records(votes, config.dataset, config.task)
    parents = _parents(rows, votes, config)
    facts = _facts(votes, parents, config)
    _wait(log, facts, config, told, _owing(votes, parents))
    mine = [vote for vote in votes.submitted() if vote.record in parents]
    made = votes_table(config.task, mine, votes.records, parents)
    return Produced(made, dropped=_dropped(rows, votes, parents), facts=facts)


def _parents(rows: pl.DataFrame, votes: Votes, config: PullConfig) -> dict[str, list[str]]:
    """The rows that each record came from."""
    given = set(rows["row_id"])
    found = {record: sorted(given.intersection(of)) for record, of in votes.rows.items()}
    parents = {record: of for record, of in found.items() if of}
    if rows.height and not parents:
        what = f"none of the {rows.height} rows was put before people as {config.dataset!r}"
        fix = "take `from:` the rows that annotate.push takes"
        raise StepError("annotate.pull", what, fix=fix)
    return parents


def _owing(votes: Votes, records: Iterable[str]) -> list[str]:
    """Who has not voted on a record that was put before them."""
    owing = {
        name
        for record in records
        for name in votes.records[record].assigned
        if (record, name) not in votes.votes
    }
    return sorted(owing)


def _facts(votes: Votes, parents: dict[str, list[str]], config: PullConfig) -> dict[str, Any]:
    counts = votes.counts()
    answered = sum(
        counts[record] >= (config.votes_per_record or votes.records[record].wanted)
        for record in parents
    )
    cast = sum(counts[record] for record in parents)
    facts: dict[str, Any] = {
        "records": len(parents), "answered": answered, "votes": cast,
        "annotators": len({v.annotator for v in votes.submitted() if v.record in parents}),
        "in_short": f"{answered:,} of {len(parents):,} records answered",
    }  # fmt: skip
    elsewhere = sum(counts.values()) - cast
    return {**facts, "votes_on_other_rows": elsewhere} if elsewhere else facts


def _wait(
    log: VoteLog, facts: dict[str, Any], config: PullConfig, told: str, owing: Sequence[str]
) -> None:
    """Stop while too few records are answered; say where each of those who owe one answers.

    Raises:
        WaitingError: They are.
    """
    needed = ceil(config.share * facts["records"])
    if facts["answered"] >= needed:
        return
    try:
        desk = desk_of(config.tool, log, config.server)
        place = desk.place(config.dataset)
        each = desk.places(config.dataset, owing) if owing else {}
        place = "; ".join(f"{where} ({name})" for name, where in each.items()) or place
    except ServiceError as error:
        place = f"Argilla ({error.what})"
    what = (
        f"waiting for people: {facts['answered']:,} of {facts['records']:,} records are answered, "
        f"{needed:,} are needed ({facts['votes']:,} votes so far)"
    )
    what = f"{what}; {told}" if told else what
    raise WaitingError(
        f"annotate.pull {config.dataset}", what,
        fix=f"answer at {place}, then run the same command again",
    )  # fmt: skip


def _dropped(rows: pl.DataFrame, votes: Votes, parents: dict[str, list[str]]) -> pl.DataFrame:
    """Every row without a vote, with the reason."""
    counts, seen = votes.counts(), {record for record, _ in votes.votes}
    voted = {row for record, found in parents.items() if counts[record] for row in found}
    known = {
        row: "only discarded" if record in seen else "no votes yet"
        for record, found in parents.items()
        for row in found
    }
    left = [
        (row, known.get(row, "not put before people")) for row in rows["row_id"] if row not in voted
    ]
    return pl.DataFrame(left, schema={"row_id": pl.String, "reason": pl.String}, orient="row")
