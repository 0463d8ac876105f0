"""annotate.push: put rows before people, in a tool of their choice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from databuild.annotate.desk import Asked, desk_of
from databuild.annotate.laying_out import assigned, with_gold
from databuild.annotate.log import VoteLog
from databuild.annotate.options import DatasetConfig
from databuild.annotate.reading import columns_of, records_of
from databuild.annotate.tasks import Language, Task, load_task, shown_task, task_files
from databuild.engine.step import step
from databuild.errors import StepError
from databuild.recipe.options import FirstColumn, FirstColumns, Names, Paths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl

    from databuild.annotate.desk import Desk
    from databuild.annotate.log import Votes
    from databuild.annotate.records import Record


class PushConfig(DatasetConfig):
    """Options of `annotate.push`."""

    language: Language = "en"
    """Of titles and guidelines: `en` or `zh`."""
    files: Paths = ()
    """Your own settings (`.yaml`) and guidelines (`.md`), each in the place of the shipped one
    under `annotation/`. Titles, issue tags and guidelines are yours; names and required questions
    are not."""
    votes_per_record: int = Field(default=1, ge=1)
    """How many people shall answer each record."""
    annotators: Names = ()
    """Who answers, by user name: each record is assigned to `votes_per_record` of them, everyone
    gets as many. Argilla shows every record to everybody; its filter `assigned_to` shows one's own.
    Files are written for each. Without names, everybody answers what is next."""
    margins: FirstColumns = ()
    """Columns that say how much better the first answer is (negative: the second is), one per
    reward: records on which they disagree in sign go first, then those of small margin."""
    scores: FirstColumns = ()
    """Further columns to keep with the record, hidden from annotators."""
    stratum: FirstColumn | None = None
    """A column whose values are all met in proportion, from the first record on."""
    limit: int | None = Field(default=None, ge=1)
    """Put at most this many records before people, the first of that order (gold ones not
    counted)."""
    assist: bool = False
    """Select beforehand the answer that the first of `margins` stands for. Enter then submits the
    model's opinion unread: not for data that shall measure agreement. Only of `preference`."""
    gold_grade: str = "gold"
    """Of the input `gold` (rows of gold questions): the grade that is expected, such as -4 to 4 of
    `preference` in the row's own order of answers."""
    max_chars: int = Field(default=20_000, ge=1, le=20_000)
    """The longest text that the page shows (Argilla takes no longer turn of a prompt); a row with a
    longer one is skipped, and said."""
    prompt: str = "prompt"
    """What was asked."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out."""
    response_a: str = "response_a"
    """Of `preference`: one answer."""
    response_b: str = "response_b"
    """Of `preference`: the other answer."""
    response: str = "response"
    """Of `rating` and `thumbs`: the answer."""
    responses: str = "responses"
    """Of `ranking`: a list of answers."""
    k: int = Field(default=4, ge=2, le=9)
    """Of `ranking`: how many answers a record has."""
    question: str = "question"
    """Of `verification`: the question."""
    answer: str = "answer"
    """Of `verification`: the answer."""
    passage: str = "passage"
    """Of `verification`: the passage that question and answer were made from."""

    @property
    def suggesting(self) -> str:
        """The margin whose answer is selected beforehand; empty without `assist`."""
        return self.margins[0] if self.assist else ""

    @model_validator(mode="after")
    def _must_fit(self) -> Self:
        if len(set(self.annotators)) < len(self.annotators):
            msg = "annotators names someone twice"
            raise ValueError(msg)
        if self.annotators and len(self.annotators) < self.votes_per_record:
            msg = (
                f"votes_per_record is {self.votes_per_record}, but there are only "
                f"{len(self.annotators)} annotators"
            )
            raise ValueError(msg)
        if self.assist and (self.task != "preference" or not self.margins):
            msg = "assist needs the task preference and a column of margins"
            raise ValueError(msg)
        return self


def _optional(config: PushConfig) -> tuple[str, ...]:
    messages = () if config.messages is None else (config.messages,)
    return (*messages, *(("model_a", "model_b") if config.task == "preference" else ()))


@step(
    "annotate.push",
    kind="deliver",
    sees="table",
    version=2,
    reads=lambda config: ("*", *columns_of(config)),
    also=_optional,
    brings=lambda config: task_files(config.task, config.language),
)
def put_before_people(
    rows: pl.DataFrame,
    config: PushConfig,
    gold: pl.DataFrame | None = None,
    *,
    out: Path,
    journals: Path,
    files: tuple[Path, ...],
    seed: int,
) -> dict[str, Any]:
    """Put rows before annotators: questions, guidelines, and what is answered first and by whom.

    A record's id is the hash of what it shows, so a row pushed twice is there once, and a row with
    another text is another record. Pushed again with other margins or people, it keeps its votes
    and its order of answers, and takes the new place. Records and guidelines are noted in the vote
    log first; a push that was interrupted goes on where it stopped. Which of two answers is shown
    first is drawn for each record, and only the log knows it. Gold questions look like all others.

    Args:
        rows: n rows with `row_id` and the columns that the task needs.
        config: See `PushConfig`.
        gold: Rows of gold questions with the same columns and `gold_grade`.
        out: An empty folder: `records.jsonl` and `guidelines.md` are written to it.
        journals: The folder of the journals.
        files: The user's settings and guidelines.
        seed: Of all draws.

    Returns:
        `dataset`, `tool`, `records`, `gold`, `guideline` (version) and, of this call, `new`,
        `changed` (there already, now in another place or for other people) and `there` (as they
        were); `answer_at`, the page or file of each annotator (of everybody, under an empty name,
        where none is named); `rows_skipped` with reasons such as "its prompt is empty" or "a text
        is longer than the page shows".

    Raises:
        StepError: No rows, or none that can be shown; the data set is of another task.
        ServiceError: The tool cannot be reached, or refuses.
    """
    task = shown_task(load_task(config.task, config.language, files), config.k)
    records, skipped = _some_records(rows, config, seed)
    questions, odd = _gold_records(gold, config, seed)
    log = VoteLog(journals, config.dataset)
    known = log.read()
    _check_task(known, task, config)
    taken = {one.record for one in questions}
    twice = [one for one in records if one.record in taken]
    skipped += [{"row_id": one.row, "reason": "is a gold question"} for one in twice]
    laid = with_gold([one for one in records if one.record not in taken], questions)
    laid = assigned(laid, config.annotators, config.votes_per_record, seed, known.records)
    log.put(task, laid)
    noted = log.read().records
    asked = Asked(config.dataset, task, [noted[one.record] for one in laid], config.suggesting)
    desk = desk_of(config.tool, log, config.server)
    counts = desk.push(asked)
    _write(out, task, laid)
    return {
        "dataset": config.dataset, "tool": config.tool, "records": len(laid),
        "gold": len(questions), "guideline": task.version, **counts,
        "answer_at": _places(desk, asked, journals), "rows_skipped": skipped + odd,
    }  # fmt: skip


def _some_records(
    rows: pl.DataFrame, config: PushConfig, seed: int
) -> tuple[list[Record], list[dict[str, Any]]]:
    """The records of the rows, and the rows that cannot be shown."""
    records, skipped = records_of(rows, config, seed)
    if not records:
        why = f": {skipped[0]['reason']}" if skipped else ""
        what = f"no rows to write{why}"
        raise StepError("annotate.push", what, fix="look at the steps before with `databuild show`")
    return records, skipped


def _places(desk: Desk, asked: Asked, journals: Path) -> dict[str, str]:
    """Where each annotator answers; under the empty name where nobody is named.

    A file is told as it lies within the runs folder, so that a manifest does not depend on where
    that is.
    """
    people = sorted({name for one in asked.records for name in one.assigned})
    found = desk.places(asked.dataset, people) if people else {"": desk.place(asked.dataset)}
    return {name: at.replace(f"{journals}/", "journals/") for name, at in found.items()}


def _gold_records(
    gold: pl.DataFrame | None, config: PushConfig, seed: int
) -> tuple[list[Record], list[dict[str, str]]]:
    if gold is None:
        return [], []
    if config.gold_grade not in gold.columns:
        what = f"the input gold has no column {config.gold_grade!r}; it has {gold.columns}"
        raise StepError("annotate.push", what, fix="name it with `gold_grade`")
    return records_of(gold, config, seed, gold=config.gold_grade)


def _check_task(known: Votes, task: Task, config: PushConfig) -> None:
    """Refuse to mix two tasks, or rankings of two lengths, under one name."""
    if not known.records:
        return
    first = next(iter(known.records.values()))
    if known.task != task.name or (task.name == "ranking" and len(first.answers) != config.k):
        what = f"the data set {config.dataset!r} is of the task {known.task!r}"
        if known.task == task.name:
            what = f"{what} with {len(first.answers)} answers, not {config.k}"
        raise StepError("annotate.push", what, fix="choose another `dataset`")


def _write(out: Path, task: Task, records: Sequence[Record]) -> None:
    lines = [json.dumps(one.line(), ensure_ascii=False) + "\n" for one in records]
    text = "".join(lines).encode("utf-8", "surrogatepass")
    (out / "records.jsonl").write_bytes(text)
    (out / "guidelines.md").write_text(task.guideline, encoding="utf-8")
