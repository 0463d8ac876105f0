"""annotate.aggregate: one row per record from the votes on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import Field

from databuild.annotate.opinions import MOST, TASKS, VERDICTS, TaskName, opinions
from databuild.annotate.verdicts import CLASSES, with_verdicts
from databuild.engine.step import Produced, step
from databuild.recipe.options import Columns, StepConfig
from databuild.schema.rows import STRENGTHS

if TYPE_CHECKING:
    from collections.abc import Iterator

GRADED = ("grade", "strength", "weight", "agreement", "confidence", "spread")
_COUNTED = ("agreement", "confidence", "n_votes", "annotators", "voted_at")


class AggregateConfig(StepConfig):
    """Options of `annotate.aggregate`."""

    task: TaskName = "preference"
    """What people were asked. A ranking becomes one row for every two answers of a record."""
    method: Literal["majority", "mean", "dawid_skene"] = "majority"
    """How the votes on a record become one verdict. `majority`: what most say. `mean`: of grades
    and ratings the mean. `dawid_skene`: the most likely truth when everybody's own errors are
    estimated from all votes (Dawid and Skene 1979); worth it from about 20 votes a person on."""
    tie_up_to: float = Field(default=0.5, ge=0, lt=4)
    """With `method: mean`: a mean grade of at most this, either way, is a tie."""
    smoothing: float = Field(default=1.0, ge=0)
    """With `dawid_skene`: votes that everybody is taken to have cast beforehand for each true
    class, in equal parts on all classes, plus as many on the right one."""
    gold: Literal["drop", "keep"] = "drop"
    """Whether gold questions, of which the right answer was known, become rows. Dawid-Skene learns
    from them either way."""
    keep: Columns = ()
    """Other columns of the votes to keep: the value of the first vote on the record."""


def _reads(config: AggregateConfig) -> tuple[str, ...]:
    return TASKS[config.task].reads


def _also(config: AggregateConfig) -> tuple[str, ...]:
    return tuple(name for name in TASKS[config.task].optional if name != "shown_first")


def _adds(config: AggregateConfig) -> tuple[str, ...]:
    own: dict[str, tuple[str, ...]] = {
        "preference": ("prompt", "response_a", "response_b", "vote", *GRADED[:3], "spread"),
        "rating": ("prompt", "response", "rating", "score", "spread"),
        "thumbs": ("prompt", "response", "label", "weight"),
        "verification": ("question", "answer", "passage", "verdict"),
    }
    own["ranking"] = own["preference"]
    return ("record", *own[config.task], *_COUNTED, *config.keep)


@step(
    "annotate.aggregate",
    kind="produce",
    sees="table",
    version=1,
    reads=_reads,
    also=_also,
    adds=_adds,
    attributes=GRADED,
)
def aggregate_votes(rows: pl.DataFrame, config: AggregateConfig) -> Produced:
    """Make one row of all votes on a record: what they say together, and how surely.

    Preferences: `vote` is a, b or tie. By `majority` it is what most votes say; where two are
    equally frequent, the sign of the mean grade, and a tie where that is 0. By `mean` it is the
    sign of the mean grade, a tie up to `tie_up_to`. By `dawid_skene` it is the class of highest
    probability, a tie where a and b are equally likely. `grade`: by `mean` the mean of all grades;
    else the mean of those that say the same as `vote`; 0 of a tie. `strength` is that of |grade|
    rounded to the nearest whole number (4 significantly better, 3 better, 2 slightly better, 1
    marginally better; halves go up), null of a tie; `weight` is |grade| / 4. `spread` is the
    largest grade less the smallest.
    Ratings: `rating` is the mean (`majority`: the most frequent, of several the middle one),
    `score` is (rating - 1) / 4. Thumbs and verdicts: the most frequent, of equally frequent ones
    false, and of verdicts the first of wrong, partly, correct, unanswerable.

    Args:
        rows: Votes; see `databuild.annotate.opinions`.
        config: See `AggregateConfig`.

    Returns:
        One row per record with `parent_ids` (its votes), what people were shown, the above,
        `agreement` (the share of votes that say the same; of ratings: differ by at most half a
        point from the result), `confidence` (by Dawid-Skene the probability of the verdict, else
        `agreement`), `n_votes`, `annotators` (by name), `voted_at` (the last). Where the votes have
        them: means of `accuracy`, `relevance` and `safety`, all `issues`, the comments (a blank
        line between), `seconds` (the sum), `stratum`, `gold`, `simulated` (whether any is), and
        `edited`: the last rewrite of those who vote as the result, else the last of all. Votes that
        do not count are in `dropped`, with the reason. The facts: `records`, `votes`, `verdicts`
        (counts), `unanimous`, `one_vote`, and by Dawid-Skene `skill` of everybody.

    Example:
        >>> votes = pl.DataFrame({
        ...     "row_id": ["u", "v", "w"], "record": ["r"] * 3, "annotator": ["ann", "bo", "cy"],
        ...     "voted_at": ["2026-01-01"] * 3, "prompt": ["p"] * 3, "response_a": ["x"] * 3,
        ...     "response_b": ["y"] * 3, "grade": [3, 2, -1],
        ... })
        >>> made = aggregate_votes(votes, AggregateConfig())
        >>> made.rows.select("vote", "grade", "strength", "weight").rows()
        [('a', 2.5, 'better', 0.625)]
    """
    task = TASKS[config.task]
    told, left = opinions(rows, task)
    told, facts = with_verdicts(told, task, config.method, config.tie_up_to, config.smoothing)
    if config.gold == "drop" and "gold" in told.columns:
        is_gold = pl.col("gold").is_not_null()
        golden = told.filter(is_gold).select("row_id").unique(maintain_order=True)
        left = pl.concat([left, golden.with_columns(reason=pl.lit("a gold question"))])
        told = told.filter(~is_gold)
    made = told.group_by("unit", maintain_order=True).agg(*_columns(told, config))
    made = _finished(made, config)
    optional = [name for name in _also(config) if name in rows.columns]
    names = ["parent_ids", *dict.fromkeys([*_adds(config), *optional])]
    return Produced(
        rows=made.select(names),
        dropped=left,
        facts={"records": made.height, "votes": told.height, **_facts(made, config), **facts},
    )


def _columns(told: pl.DataFrame, config: AggregateConfig) -> Iterator[pl.Expr]:
    """What is said of a record, from its opinions in the order of annotators."""
    task = TASKS[config.task]
    yield pl.col("row_id").unique(maintain_order=True).alias("parent_ids")
    shown = dict.fromkeys([*task.shown, *config.keep])
    if config.task == "ranking":
        shown = dict.fromkeys([*(n for n in shown if n != "responses"), "response_a", "response_b"])
    first = {"messages", "tools", "model", "model_a", "model_b", "gold", "stratum"}
    present = [name for name in _also(config) if name in told.columns]
    yield from (pl.col(name).first() for name in ("record", *shown))
    yield from (pl.col(name).first() for name in present if name in first and name not in shown)
    yield from (
        pl.col(name).cast(pl.Float64).mean()
        for name in present
        if name in {"accuracy", "relevance", "safety"}
    )
    combined = {
        "issues": pl.col("issues").explode().drop_nulls().unique().sort(),
        "comment": _joined("comment", "\n\n"),
        "guideline": _joined("guideline", ", "),
        "seconds": pl.col("seconds").cast(pl.Float64).sum(),
        "simulated": pl.col("simulated").cast(pl.Boolean).fill_null(value=False).any(),
        "edited": _edited(),
    }
    yield from (combined[name].alias(name) for name in present if name in combined)
    yield from (pl.col(name).first() for name in ("_verdict", "_value", "agreement", "confidence"))
    yield pl.len().cast(pl.Int64).alias("n_votes")
    yield pl.col("annotator").sort().alias("annotators")
    yield pl.col("voted_at").max()
    yield (pl.col("said").max() - pl.col("said").min()).alias("spread")


def _joined(name: str, between: str) -> pl.Expr:
    text = pl.col(name).cast(pl.String)
    told = text.filter(text.str.strip_chars() != "").unique(maintain_order=True)
    return pl.when(told.len() > 0).then(told.str.join(between))


def _edited() -> pl.Expr:
    """The last rewrite of those who say what the result says, else the last of all."""
    text = pl.col("edited").cast(pl.String)
    is_written = text.str.strip_chars().fill_null("") != ""
    order = [pl.col("voted_at"), pl.col("annotator")]
    agreeing = text.sort_by(order).filter((is_written & pl.col("_agrees")).sort_by(order)).last()
    return pl.coalesce(agreeing, text.sort_by(order).filter(is_written.sort_by(order)).last())


def _finished(made: pl.DataFrame, config: AggregateConfig) -> pl.DataFrame:
    """The verdict and its number in the columns of the task."""
    value = pl.col("_value")
    if config.task in {"preference", "ranking"}:
        place = (value.abs() + 0.5).floor().clip(1, MOST)
        names = {float(MOST - n): name for n, name in enumerate(STRENGTHS)}
        strength = place.replace_strict(names, default=None, return_dtype=pl.String)
        vote = pl.col("_verdict").replace_strict(
            dict(enumerate(CLASSES)), default=None, return_dtype=pl.String
        )
        return made.with_columns(
            vote=vote, grade=value, weight=value.abs() / MOST,
            strength=pl.when(vote != "tie").then(strength),
        )  # fmt: skip
    if config.task == "rating":
        return made.with_columns(rating=value, score=(value - 1) / 4)
    if config.task == "thumbs":
        return made.with_columns(label=pl.col("_verdict") == 1, weight="agreement")
    verdicts = dict(enumerate(VERDICTS))
    verdict = pl.col("_verdict").replace_strict(verdicts, default=None, return_dtype=pl.String)
    return made.with_columns(verdict=verdict)


def _facts(made: pl.DataFrame, config: AggregateConfig) -> dict[str, Any]:
    column = {"preference": "vote", "ranking": "vote", "thumbs": "label", "verification": "verdict"}
    facts: dict[str, Any] = {
        "unanimous": int((made["agreement"] == 1).sum()),
        "one_vote": int((made["n_votes"] == 1).sum()),
    }
    name = column.get(config.task)
    if name is not None:
        counts = made.group_by(name).len().sort(name)
        facts["verdicts"] = {str(value): n for value, n in counts.iter_rows()}
    return facts
