"""annotate.gate: only votes of people who can be relied on, and only if they agree enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field

from databuild.annotate.opinions import TASKS, TaskName, opinions
from databuild.annotate.reliability import alpha_of, with_gold_answers
from databuild.engine.step import DROPPED, Reported, step
from databuild.errors import StepError
from databuild.recipe.options import StepConfig

if TYPE_CHECKING:
    from collections.abc import Iterator


class GateConfig(StepConfig):
    """Options of `annotate.gate`."""

    task: TaskName = "preference"
    """What people were asked."""
    min_alpha: float | None = Field(default=None, ge=-1, le=1)
    """Krippendorff's alpha that the kept votes must reach, else the run stops. 0.667 is the least
    that he would draw conclusions from; judgements of taste seldom reach it."""
    min_stratum_alpha: float | None = Field(default=None, ge=-1, le=1)
    """Strata (`stratum`) of a lower alpha are dropped; one without two votes on a record stays."""
    min_gold_accuracy: float | None = Field(default=None, ge=0, le=1)
    """All votes of an annotator who answers a smaller share of gold questions rightly are
    dropped."""
    min_gold: int = Field(default=3, ge=1)
    """Nobody is judged by fewer gold questions."""
    min_seconds: float | None = Field(default=None, ge=0)
    """Votes given faster are dropped; one whose time is not known stays."""
    human_only: bool = False
    """Drop simulated votes."""


def _also(config: GateConfig) -> tuple[str, ...]:
    return TASKS[config.task].optional


@step(
    "annotate.gate",
    kind="select",
    sees="table",
    version=1,
    reads=lambda config: TASKS[config.task].reads,
    also=_also,
)
def select_reliable(rows: pl.DataFrame, config: GateConfig) -> Reported:
    """Drop votes that cannot be relied on; stop the run where the others do not agree enough.

    In this order: simulated votes, fast votes, the votes of annotators who fail gold questions,
    strata of low alpha. What stays must have `min_alpha`. Votes that do not count (replaced by a
    later one, or without a value) pass: `annotate.aggregate` says of them why.

    Args:
        rows: Votes; see `databuild.annotate.opinions`.
        config: See `GateConfig`.

    Returns:
        n rows with `row_id`, `part`, `reason` and `evidence`. The facts: `alpha` of the kept votes
        (null where it is not defined), its `n_units`, and `votes`, kept and all.

    Raises:
        StepError: Alpha is below `min_alpha`, or there are no two votes on any record to tell.

    Example:
        >>> votes = pl.DataFrame({
        ...     "row_id": ["u", "v"], "record": ["r", "r"], "annotator": ["ann", "bo"],
        ...     "voted_at": ["t", "t"], "prompt": ["p"] * 2, "response_a": ["x"] * 2,
        ...     "response_b": ["y"] * 2, "grade": [3, 2], "seconds": [9.0, 0.4],
        ... })
        >>> found = select_reliable(votes, GateConfig(min_seconds=2)).table
        >>> found["reason"].to_list(), found["evidence"].to_list()
        ([None, 'faster than 2 s'], [None, '0.4 s'])
    """
    task = TASKS[config.task]
    told, _ = opinions(rows, task)
    verdicts: dict[str, Any] = {
        "row_id": rows.schema["row_id"],
        "reason": pl.String,
        "evidence": pl.String,
    }
    dropped = pl.DataFrame(schema=verdicts)
    for rule in (_simulated, _fast, _failing, _at_odds):
        for found in rule(told, config):
            dropped = pl.concat([dropped, found.select(*verdicts).unique("row_id")])
            told = told.join(found, on="row_id", how="anti", maintain_order="left")
    reached = alpha_of(told, task)
    _check(reached.value, reached.n_units, config, rows.height)
    table = rows.select("row_id").join(dropped, on="row_id", how="left", maintain_order="left")
    part = pl.when(pl.col("reason").is_null()).then(pl.lit("kept")).otherwise(pl.lit(DROPPED))
    facts: dict[str, Any] = {
        "alpha": None if reached.value is None else round(reached.value, 6),
        "n_units": reached.n_units,
        "votes": {"kept": rows.height - dropped.height, "all": rows.height},
    }
    if reached.value is not None:
        facts["in_short"] = f"alpha {reached.value:.2f}"
    return Reported(table.select("row_id", part.alias("part"), "reason", "evidence"), facts)


def _check(value: float | None, n_units: int, config: GateConfig, n_votes: int) -> None:
    if config.min_alpha is None or not n_votes:
        return
    fix = "look at the page of annotate.agreement, mend the guidelines or settle the disputed "
    fix += "records, and pull again; or lower min_alpha"
    if value is None:
        what = "agreement cannot be told: "
        what += "all votes are equal" if n_units else "no record has two votes"
        raise StepError("annotate.gate", what, fix=fix)
    if value < config.min_alpha - 1e-12:
        what = f"alpha is {value:.3f} over {n_units:,} records"
        what += f", below min_alpha {config.min_alpha:g}"
        raise StepError("annotate.gate", what, fix=fix)


def _simulated(told: pl.DataFrame, config: GateConfig) -> Iterator[pl.DataFrame]:
    if config.human_only and "simulated" in told.columns:
        found = told.filter(pl.col("simulated").cast(pl.Boolean))
        none = pl.lit(None, dtype=pl.String)
        yield found.select("row_id", reason=pl.lit("a simulated vote"), evidence=none)


def _fast(told: pl.DataFrame, config: GateConfig) -> Iterator[pl.DataFrame]:
    if config.min_seconds is not None and "seconds" in told.columns:
        found = told.filter(pl.col("seconds").cast(pl.Float64) < config.min_seconds)
        reason = pl.lit(f"faster than {config.min_seconds:g} s")
        evidence = pl.format("{} s", pl.col("seconds").cast(pl.Float64).round(2))
        yield found.select("row_id", reason=reason, evidence=evidence)


def _failing(told: pl.DataFrame, config: GateConfig) -> Iterator[pl.DataFrame]:
    if config.min_gold_accuracy is None:
        return
    answered = with_gold_answers(told, TASKS[config.task])
    by_person = answered.group_by("annotator").agg(
        n=pl.col("_right").count(), right=pl.col("_right").cast(pl.Float64).mean()
    )
    least = config.min_gold_accuracy
    failing = by_person.filter((pl.col("n") >= config.min_gold) & (pl.col("right") < least - 1e-12))
    found = told.join(failing, on="annotator")
    evidence = pl.format(
        "{}: {} of {}", "annotator", (pl.col("right") * pl.col("n")).round().cast(pl.Int64), "n"
    )
    reason = pl.lit(f"annotator answers less than {least:g} of gold questions rightly")
    yield found.select("row_id", reason=reason, evidence=evidence)


def _at_odds(told: pl.DataFrame, config: GateConfig) -> Iterator[pl.DataFrame]:
    if config.min_stratum_alpha is None or "stratum" not in told.columns:
        return
    for (stratum,), votes in told.sort("stratum").group_by("stratum", maintain_order=True):
        reached = alpha_of(votes, TASKS[config.task]).value
        if reached is not None and reached < config.min_stratum_alpha - 1e-12:
            yield votes.select(
                "row_id",
                reason=pl.lit(f"stratum with alpha below {config.min_stratum_alpha:g}"),
                evidence=pl.lit(f"{stratum}: alpha {reached:.3f}"),
            )
