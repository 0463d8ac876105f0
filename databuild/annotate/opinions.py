"""Votes of any task as opinions: who said which value of which unit.

A unit is what one value is said of: a record; of a ranking, each pair of its answers. The tasks:

- `preference`: `grade`, -4 (b is much better) to 4 (a is), 0 a tie. Ordinal.
- `rating`: `rating`, 1 to 5. Ordinal.
- `thumbs`: `label`, true or false. Nominal.
- `ranking`: `ranks` of `responses`, 1 is the best, equal ranks are ties. Every two answers i < j of
  a record are one unit, and `grade` is the difference of their ranks, cut to -4..4: so a ranking is
  read as preferences.
- `verification`: `verdict`, `correct`, `partly`, `wrong` or `unanswerable`. Nominal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from databuild.errors import SchemaError

TaskName = Literal["preference", "rating", "thumbs", "ranking", "verification"]
MOST = 4
"""The strongest grade of a preference: much better."""
VERDICTS = ("wrong", "partly", "correct", "unanswerable")
_BY = ("record", "annotator", "voted_at")
_WHO = ("seconds", "guideline", "gold", "stratum", "simulated")


@dataclass(frozen=True)
class Task:
    """A task: the column that holds what people say, and which columns its votes have."""

    name: str
    value: str
    scale: Literal["ordinal", "nominal"]
    shown: tuple[str, ...]
    """Columns that every vote on a record repeats: what people were shown."""
    also: tuple[str, ...] = ()
    """Columns that its votes may have besides."""

    @property
    def is_mirrored(self) -> bool:
        """Whether people compare two answers, of which either might have been called a."""
        return self.name in {"preference", "ranking"}

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that its votes must have."""
        said = ("ranks",) if self.name == "ranking" else (self.value,)
        return (*_BY, *self.shown, *said)

    @property
    def optional(self) -> tuple[str, ...]:
        """The columns that its votes may have."""
        return (*self.also, *_WHO)


TASKS = {
    task.name: task
    for task in (
        Task(
            "preference", "grade", "ordinal", ("prompt", "response_a", "response_b"),
            ("messages", "tools", "model_a", "model_b", "edited", "accuracy", "relevance", "safety",
             "issues", "comment", "shown_first"),
        ),
        Task("rating", "rating", "ordinal", ("prompt", "response"),
             ("messages", "tools", "model", "comment")),
        Task("thumbs", "label", "nominal", ("prompt", "response"),
             ("messages", "tools", "model", "comment")),
        Task("ranking", "grade", "ordinal", ("prompt", "responses"),
             ("messages", "tools", "comment")),
        Task("verification", "verdict", "nominal", ("question", "answer", "passage"),
             ("edited", "comment")),
    )
}  # fmt: skip


def opinions(rows: pl.DataFrame, task: Task) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The opinions of votes, and the votes that are none.

    Of several votes of one annotator on a record the last counts (by `voted_at`, then row_id).

    Args:
        rows: Votes with `row_id` and the columns of the task.
        task: One of `TASKS`.

    Returns:
        Opinions, in the order of unit and annotator: all columns of the votes, `unit`, and `said`,
        what was said as a number (of a verdict its place in `VERDICTS`); of rankings also
        `response_a`, `response_b` and `grade`. Then (`row_id`, `reason`) of the votes left out:
        "no record", "no annotator", "no <value> ..." or "replaced by a later vote of the same
        annotator".

    Raises:
        SchemaError: The value is a column of another type.

    Example:
        >>> votes = pl.DataFrame({
        ...     "row_id": ["v", "w"], "record": ["r", "r"], "annotator": ["ann", "ann"],
        ...     "voted_at": ["2026-01-01", "2026-01-02"], "prompt": ["p", "p"],
        ...     "response_a": ["x", "x"], "response_b": ["y", "y"], "grade": [1, -2],
        ... })
        >>> found, left = opinions(votes, TASKS["preference"])
        >>> found["said"].to_list(), left["reason"].to_list()
        ([-2.0], ['replaced by a later vote of the same annotator'])
    """
    value, allowed = _value(rows, task)
    told = rows.with_columns(said=value).sort("voted_at", "row_id", nulls_last=False)
    last = pl.col("row_id") == pl.col("row_id").last().over("record", "annotator", "_able")
    reason = (
        pl.when(pl.col("record").is_null())
        .then(pl.lit("no record"))
        .when(pl.col("annotator").is_null())
        .then(pl.lit("no annotator"))
        .when(pl.col("said").is_null())
        .then(pl.lit(f"no {allowed}"))
        .when(~last)
        .then(pl.lit("replaced by a later vote of the same annotator"))
    )
    able = pl.all_horizontal(pl.col("record", "annotator", "said").is_not_null())
    told = told.with_columns(_able=able).with_columns(reason=reason).drop("_able")
    left = told.filter(pl.col("reason").is_not_null()).select("row_id", "reason")
    kept = told.filter(pl.col("reason").is_null()).drop("reason").with_columns(unit="record")
    if task.name == "ranking":
        kept = _as_preferences(kept)
    return kept.sort("unit", "annotator"), left


def _value(rows: pl.DataFrame, task: Task) -> tuple[pl.Expr, str]:
    """What was said as a number, null where it is none of those allowed; and what is allowed."""
    if task.name == "verification":
        places = {verdict: float(place) for place, verdict in enumerate(VERDICTS)}
        _of_type(rows, "verdict", rows.schema["verdict"] in {pl.String, pl.Null}, "text")
        text = pl.col("verdict").cast(pl.String).str.strip_chars().str.to_lowercase()
        number = text.replace_strict(places, default=None, return_dtype=pl.Float64)
        return number, f"verdict of {' | '.join(VERDICTS)}"
    if task.name == "ranking":
        whole = pl.col("ranks").list.len() == pl.col("responses").list.len()
        told = whole & (pl.col("ranks").list.len() >= 2)
        told &= ~pl.col("ranks").list.eval(pl.element().is_null()).list.any()
        return pl.when(told).then(pl.lit(0.0)), "rank of every answer"
    if task.name == "thumbs":
        _of_type(rows, "label", rows.schema["label"] in {pl.Boolean, pl.Null}, "true or false")
        return pl.col("label").cast(pl.Float64), "label"
    low, high = (-MOST, MOST) if task.name == "preference" else (1, 5)
    dtype = rows.schema[task.value]
    _of_type(rows, task.value, dtype.is_numeric() or dtype == pl.Null, "a number")
    number = pl.col(task.value).cast(pl.Float64)
    told = number.is_between(low, high) & number.is_not_nan()
    return pl.when(told).then(number), f"{task.value} from {low} to {high}"


def _of_type(rows: pl.DataFrame, name: str, is_right: bool, wanted: str) -> None:  # noqa: FBT001
    if not is_right:
        what = f"{name!r} is {rows.schema[name]}, not {wanted}"
        raise SchemaError("annotate", what, fix="name the `task` that people were asked")


def _as_preferences(kept: pl.DataFrame) -> pl.DataFrame:
    """Every two answers of a ranking as one preference."""
    places = pl.int_ranges(pl.col("ranks").list.len())
    one = kept.with_columns(_i=places).explode("_i")
    two = one.with_columns(_j=places).explode("_j").filter(pl.col("_i") < pl.col("_j"))
    rank = [pl.col("ranks").list.get(pl.col(side)).cast(pl.Float64) for side in ("_i", "_j")]
    grade = (rank[1] - rank[0]).clip(-MOST, MOST)
    return two.with_columns(
        unit=pl.format("{} {}-{}", "record", "_i", "_j"),
        said=grade,
        response_a=pl.col("responses").list.get(pl.col("_i")),
        response_b=pl.col("responses").list.get(pl.col("_j")),
    ).drop("_i", "_j")
