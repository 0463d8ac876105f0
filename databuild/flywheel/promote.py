"""`flywheel.promote`: the candidate becomes the best model only if it did better on dev."""

from __future__ import annotations

from math import fsum
from typing import Any

import polars as pl
from pydantic import Field

from databuild.engine.step import step
from databuild.errors import StepError
from databuild.evaluate.compare import check_metric
from databuild.recipe.options import Column, ModelRef, StepConfig


class PromoteConfig(StepConfig):
    """What decides, and between whom."""

    metric: Column
    """A column of both exams, a number or a truth value; its mean over the same prompts decides."""
    min_gain: float = Field(default=0.0, ge=0)
    """The candidate's mean must exceed the best model's by more than this."""
    candidate: ModelRef
    best: ModelRef


@step("flywheel.promote", kind="train", sees="table", version=1, reads=("prompt",))
def promote_if_better(
    rows: pl.DataFrame, config: PromoteConfig, best_rows: pl.DataFrame
) -> dict[str, Any]:
    """Choose between two models by the mean of a metric over the prompts that both answered.

    Args:
        rows: The candidate's exam.
        best_rows: The best model's exam on the same prompts.
        config: See `PromoteConfig`.

    Returns:
        `model`: `candidate` or `best`; both means, the number of prompts, the paired difference.

    Raises:
        StepError: The exams share no prompt with a score, so nothing can be said.
        SchemaError: The metric is neither a number nor a truth value.
    """
    for table in (rows, best_rows):
        check_metric("flywheel.promote", table, config.metric)
    scores = [
        table.group_by("prompt").agg(pl.col(config.metric).cast(pl.Float64).fill_nan(None).mean())
        for table in (rows, best_rows)
    ]
    both = scores[0].join(scores[1], on="prompt", suffix="_best").drop_nulls()
    if both.is_empty():
        what = f"candidate and best share no prompt that has a {config.metric!r}"
        raise StepError("flywheel.promote", what, fix="check the gate's part and the exam's steps")
    # Exact sums: two models with the same scores in another order must come out as equals.
    candidate = fsum(both[config.metric]) / both.height
    best = fsum(both[f"{config.metric}_best"]) / both.height
    gain = candidate - best
    return {
        "model": "candidate" if gain > config.min_gain else "best",
        "metric": config.metric,
        "candidate": candidate,
        "best": best,
        "gain": gain,
        "n_prompts": both.height,
    }
