"""`evaluate.compare`: a model against the one it started from, on the same prompts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import Field

from databuild.engine.step import step
from databuild.errors import SchemaError, StepError
from databuild.recipe.options import Column, StepConfig
from databuild.text.resampling import Interval, bootstrap_mean

if TYPE_CHECKING:
    from pathlib import Path


class CompareConfig(StepConfig):
    """What is compared."""

    metric: Column
    """A column of both exams, a number or a truth value."""
    resamples: int = Field(default=10_000, ge=100)
    """Bootstrap resamples over prompts."""


@step(
    "evaluate.compare",
    kind="deliver",
    sees="table",
    version=1,
    reads=("prompt", "completion_tokens"),
)
def compare_with_base(
    rows: pl.DataFrame, config: CompareConfig, base: pl.DataFrame, *, out: Path, seed: int
) -> dict[str, Any]:
    """Compare two exams on the same prompts, and write `verdict.json`.

    Args:
        rows: The model's exam: `prompt`, `completion_tokens` and the metric.
        config: See `CompareConfig`.
        base: The exam of the model that it is compared with.
        out: Where `verdict.json` goes.
        seed: Seed of the bootstrap.

    Returns:
        Means with 95 % intervals over prompts, the paired difference, reply lengths in tokens.

    Raises:
        StepError: The exams share no prompt with a score.
        SchemaError: The metric is neither a number nor a truth value.
    """
    for table in (rows, base):
        check_metric("evaluate.compare", table, config.metric)
    mine, other = (_by_prompt(table, config.metric) for table in (rows, base))
    both = mine.join(other, on="prompt", suffix="_base").sort("prompt").drop_nulls("score")
    both = both.drop_nulls("score_base")
    if both.is_empty():
        what = f"the two exams share no prompt that has a {config.metric!r}"
        raise StepError("evaluate.compare", what, fix="check the part and the exam's steps")
    model, start = both["score"].to_numpy(), both["score_base"].to_numpy()
    gain = bootstrap_mean(model - start, seed, config.resamples)
    facts: dict[str, Any] = {
        "metric": config.metric,
        "n_prompts": both.height,
        "n_not_compared": mine.height + other.height - 2 * both.height,
        "model": _plain(bootstrap_mean(model, seed, config.resamples)),
        "base": _plain(bootstrap_mean(start, seed, config.resamples)),
        "difference": _plain(gain),
        "excludes_zero": gain.low > 0 or gain.high < 0,
    }
    facts["reply_tokens"] = {"model": _mean(both["tokens"]), "base": _mean(both["tokens_base"])}
    (out / "verdict.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return facts


def check_metric(where: str, table: pl.DataFrame, metric: str) -> None:
    """Refuse a metric whose mean means nothing.

    Raises:
        SchemaError: The column is neither a number nor a truth value.
    """
    dtype = table.schema[metric]
    if not (dtype.is_numeric() or dtype in {pl.Boolean, pl.Null}):
        what = f"the metric {metric!r} is {dtype}, which has no mean"
        raise SchemaError(where, what, fix="name a column of numbers or truth values")


def _by_prompt(table: pl.DataFrame, metric: str) -> pl.DataFrame:
    score = pl.col(metric).cast(pl.Float64).fill_nan(None).mean()
    return table.group_by("prompt").agg(score=score, tokens=pl.col("completion_tokens").mean())


def _plain(interval: Interval) -> dict[str, float]:
    return {name: round(value, 6) for name, value in interval._asdict().items()}


def _mean(values: pl.Series) -> float:
    return round(float(np.mean(values.to_numpy())), 3)
