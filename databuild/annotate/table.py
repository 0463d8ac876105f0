"""Votes as a table: one row per submitted vote, with the answers in the row's own order again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.annotate.log import SIMULATED
from databuild.schema.rows import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from databuild.annotate.log import Vote
    from databuild.annotate.records import Record

_TEXT = pl.String()
_WHO: dict[str, pl.DataType] = {
    "comment": _TEXT, "annotator": _TEXT, "voted_at": _TEXT, "seconds": pl.Float64(),
    "guideline": _TEXT, "gold": pl.Int8(), "stratum": _TEXT, "simulated": pl.Boolean(),
}  # fmt: skip
_ASKED: dict[str, pl.DataType] = {"record": _TEXT, "prompt": _TEXT, "messages": MESSAGES}
_RATINGS = ("accuracy", "relevance", "safety")
SCHEMAS: Mapping[str, Mapping[str, pl.DataType]] = {
    "preference": {
        **_ASKED, "response_a": _TEXT, "response_b": _TEXT, "model_a": _TEXT, "model_b": _TEXT,
        "vote": _TEXT, "grade": pl.Int8(), "edited": _TEXT,
        **dict.fromkeys(_RATINGS, pl.Int8()), "issues": pl.List(_TEXT), "shown_first": _TEXT,
        **_WHO,
    },
    "rating": {**_ASKED, "response": _TEXT, "rating": pl.Int8(), **_WHO},
    "thumbs": {**_ASKED, "response": _TEXT, "label": pl.Boolean(), **_WHO},
    "ranking": {**_ASKED, "responses": pl.List(_TEXT), "ranks": pl.List(pl.Int8()), **_WHO},
    "verification": {
        "record": _TEXT, "question": _TEXT, "answer": _TEXT, "passage": _TEXT, "verdict": _TEXT,
        "edited": _TEXT, **_WHO,
    },
}  # fmt: skip
"""The columns that `annotate.pull` makes, by task."""
STRENGTHS = {"negligibly": 1, "slightly": 2, "better": 3, "much": 4}
"""The grade of each strength; positive where the row's first answer is the better one."""


def grade_of(label: str, record: Record) -> int:
    """The signed grade of a label, for the row's own order of answers.

    Example:
        >>> from databuild.annotate.records import Record
        >>> shown_swapped = Record("r", "preference", {}, shown=(1, 0))
        >>> grade_of("a_much", shown_swapped), grade_of("b_slightly", shown_swapped)
        (-4, 2)
    """
    side, _, strength = label.partition("_")
    sign = 1 if (side == "a") != record.is_swapped else -1
    return sign * STRENGTHS[strength]


def label_of(grade: int, record: Record) -> str:
    """The label that a grade has on the page: the inverse of `grade_of`.

    Example:
        >>> from databuild.annotate.records import Record
        >>> label_of(-4, Record("r", "preference", {}, shown=(1, 0)))
        'a_much'
    """
    strength = next(name for name, value in STRENGTHS.items() if value == abs(grade))
    return f"{'a' if (grade > 0) != record.is_swapped else 'b'}_{strength}"


def votes_table(
    task: str, votes: Iterable[Vote], records: Mapping[str, Record], rows: Mapping[str, list[str]]
) -> pl.DataFrame:
    """One row per vote; `parent_ids` are the rows that its record came from."""
    made = [{"parent_ids": rows[vote.record], **_row(vote, records[vote.record])} for vote in votes]
    schema = {"parent_ids": pl.List(_TEXT), **SCHEMAS[task]}
    return pl.DataFrame(made, schema=schema, orient="row")


def _row(vote: Vote, record: Record) -> dict[str, Any]:
    who = {
        "record": record.record, "comment": vote.answers.get("comment"),
        "annotator": vote.annotator, "voted_at": vote.at, "seconds": vote.seconds,
        "guideline": vote.guideline, "gold": record.gold, "stratum": record.stratum,
        "simulated": vote.annotator.startswith(SIMULATED),
    }  # fmt: skip
    fields, said = record.fields, vote.answers
    if record.task == "verification":
        texts = {name: fields[name] for name in ("question", "answer", "passage")}
        return {**who, **texts, "verdict": said["verdict"], "edited": said.get("edited")}
    asked = {**who, "prompt": fields["prompt"], "messages": fields.get("messages")}
    if record.task == "preference":
        return {**asked, **_preference(vote, record)}
    if record.task == "ranking":
        return {**asked, "responses": record.answers, "ranks": _ranks(vote, record)}
    one = {**asked, "response": record.answers[0]}
    if record.task == "rating":
        return {**one, "rating": said["rating"]}
    return {**one, "label": said["thumb"] == "up"}


def _preference(vote: Vote, record: Record) -> dict[str, Any]:
    said, hidden = vote.answers, record.hidden or {}
    grade = grade_of(said["preference"], record)
    return {
        "response_a": record.answers[0], "response_b": record.answers[1],
        "model_a": hidden.get("model_a"), "model_b": hidden.get("model_b"),
        "grade": grade, "vote": "a" if grade > 0 else "b", "edited": said.get("edited"),
        **{name: said.get(name) for name in _RATINGS}, "issues": sorted(said.get("issues", ())),
        "shown_first": "b" if record.is_swapped else "a",
    }  # fmt: skip


def _ranks(vote: Vote, record: Record) -> list[int]:
    """The rank of each answer in the row's own order, 1 the best; equal ones are ties."""
    by_name = {one["value"]: one["rank"] for one in vote.answers["ranking"]}
    shown = [by_name[f"response_{place}"] for place in range(1, len(record.shown) + 1)]
    own = dict(zip(record.shown, shown, strict=True))
    return [own[index] for index in range(len(shown))]
