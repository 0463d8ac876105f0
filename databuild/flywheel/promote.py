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
from databuild.text.resampling import bootstrap_mean

_BEST = "\0best"
_KIND = "\0kind"


class PromoteConfig(StepConfig):
    """What decides, and between whom."""

    metric: Column
    """A column of both exams, a number or a truth value; its mean over the same prompts decides."""
    min_gain: float = Field(default=0.0, ge=0)
    """The candidate's mean must exceed the best model's by more than this."""
    sure: bool = False
    """The whole 95 % interval of the paired gain must exceed `min_gain`, not its mean alone."""
    by: Column | None = None
    """A column of kinds of prompts, such as `family` or `capability`; see `max_loss`."""
    max_loss: float | None = Field(default=None, ge=0)
    """In no kind of prompt (`by`) may the metric's mean fall by more than this: the check against
    forgetting. Without `by`, all prompts are one kind."""
    keep: dict[Column, float] = Field(default_factory=dict)
    """Other columns of the exam, numbers or truth values, and by how much each one's mean may fall
    at most, such as `floor_fresh: 0.05` against repetition."""
    candidate: ModelRef
    best: ModelRef


@step("flywheel.promote", kind="train", sees="table", version=2, reads=("prompt",))
def promote_if_better(
    rows: pl.DataFrame, config: PromoteConfig, best_rows: pl.DataFrame, *, seed: int
) -> dict[str, Any]:
    """Choose between two models by the mean of a metric over the prompts that both answered.

    Args:
        rows: The candidate's exam.
        best_rows: The best model's exam on the same prompts.
        config: See `PromoteConfig`.
        seed: Seed of the bootstrap, where `sure` asks for one.

    Returns:
        `model`: `candidate` or `best`; both means, the number of prompts, the paired difference,
        `refused`: what else than the gain spoke against the candidate, in words.

    Raises:
        StepError: The exams share no prompt with a score, so nothing can be said.
        SchemaError: A column that is compared is neither a number nor a truth value.
    """
    for table in (rows, best_rows):
        for column in (config.metric, *config.keep):
            check_metric("flywheel.promote", table, column)
    both = _by_prompt(rows, config).join(_by_prompt(best_rows, config), on="prompt", suffix=_BEST)
    scored = both.drop_nulls([config.metric, config.metric + _BEST]).sort("prompt")
    if scored.is_empty():
        what = f"candidate and best share no prompt that has a {config.metric!r}"
        raise StepError("flywheel.promote", what, fix="check the gate's part and the exam's steps")
    candidate, best = (_mean(scored[config.metric + suffix]) for suffix in ("", _BEST))
    gain = candidate - best
    refused = [*_unsure(scored, config, seed), *_forgotten(scored, config), *_lost(both, config)]
    return {
        "model": "candidate" if gain > config.min_gain and not refused else "best",
        "metric": config.metric,
        "candidate": candidate,
        "best": best,
        "gain": gain,
        "n_prompts": scored.height,
        "refused": refused,
    }


def _by_prompt(table: pl.DataFrame, config: PromoteConfig) -> pl.DataFrame:
    names = dict.fromkeys([config.metric, *config.keep])
    means = [pl.col(name).cast(pl.Float64).fill_nan(None).mean() for name in names]
    kind = pl.lit(None) if config.by is None else pl.col(config.by)
    return table.group_by("prompt").agg(*means, kind.first().cast(pl.String).alias(_KIND))


def _mean(values: pl.Series) -> float:
    # Exact sums: two models with the same scores in another order must come out as equals.
    return fsum(values) / len(values)


def _unsure(scored: pl.DataFrame, config: PromoteConfig, seed: int) -> list[str]:
    if not config.sure:
        return []
    gains = scored[config.metric] - scored[config.metric + _BEST]
    low = bootstrap_mean(gains.to_numpy(), seed).low
    if low > config.min_gain:
        return []
    return [f"the gain's 95 % interval begins at {low:+.4f}, not above {config.min_gain:g}"]


def _forgotten(scored: pl.DataFrame, config: PromoteConfig) -> list[str]:
    if config.max_loss is None:
        return []
    kinds = scored.sort(_KIND, nulls_last=True).group_by(_KIND, maintain_order=True)
    return [
        f"{config.metric} of {config.by or 'all'} {kind or ''} fell by {loss:.4f}, more than "
        f"{config.max_loss:g}"
        for (kind,), group in kinds
        if (loss := _loss(group, config.metric)) > config.max_loss
    ]


def _lost(both: pl.DataFrame, config: PromoteConfig) -> list[str]:
    found = []
    for column, most in config.keep.items():
        known = both.drop_nulls([column, column + _BEST])
        if known.is_empty():
            found.append(f"the exams share no prompt that has a {column!r}")
        elif (loss := _loss(known, column)) > most:
            found.append(f"{column} fell by {loss:.4f}, more than {most:g}")
    return found


def _loss(table: pl.DataFrame, column: str) -> float:
    return _mean(table[column + _BEST]) - _mean(table[column])
