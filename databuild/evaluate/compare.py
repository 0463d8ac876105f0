"""`evaluate.compare`: a model against the one it started from, on the same prompts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import Field

from databuild.engine.step import step
from databuild.errors import SchemaError, StepError
from databuild.evaluate.paired import randomisation_test, wins
from databuild.recipe.options import Column, StepConfig
from databuild.text.resampling import Interval, bootstrap_mean
from databuild.text.sentences import repetition_ratio

if TYPE_CHECKING:
    from pathlib import Path


class CompareConfig(StepConfig):
    """What is compared."""

    metric: Column
    """A column of both exams, a number or a truth value."""
    by: Column | None = None
    """A column of kinds of prompts, such as `family` or `capability`: each is compared alone, too,
    which shows what was forgotten."""
    response: str | None = "response"
    """The answers, where the exams have them: how much they repeat themselves."""
    resamples: int = Field(default=10_000, ge=100)
    """Bootstrap resamples over prompts."""


@step(
    "evaluate.compare",
    kind="deliver",
    sees="table",
    version=2,
    reads=("prompt", "completion_tokens"),
    also=lambda config: () if config.response is None else (config.response,),
)
def compare_with_base(
    rows: pl.DataFrame, config: CompareConfig, base: pl.DataFrame, *, out: Path, seed: int
) -> dict[str, Any]:
    """Compare two exams on the same prompts, and write `verdict.json`.

    `win_rate` is the share of prompts on which the model scores higher, ties counted half;
    `p_value` that of `evaluate.paired.randomisation_test`; `repetition` the mean share of repeated
    word 3-grams in an answer. With `by` there is an entry for each kind of prompt, the worst first,
    and `worse_in` names those whose interval lies below zero. Intervals of kinds are not corrected
    for their number.

    Args:
        rows: The model's exam: `prompt`, `completion_tokens` and the metric.
        config: See `CompareConfig`.
        base: The exam of the model that it is compared with.
        out: Where `verdict.json` goes.
        seed: Seed of the bootstrap.

    Returns:
        Means with 95 % intervals over prompts, the paired difference and its tests, how many
        prompts got better and worse, reply lengths in tokens, repetition.

    Raises:
        StepError: The exams share no prompt with a score.
        SchemaError: The metric is neither a number nor a truth value.
    """
    for table in (rows, base):
        check_metric("evaluate.compare", table, config.metric)
    mine, other = (_by_prompt(table, config) for table in (rows, base))
    both = mine.join(other, on="prompt", suffix="_base").sort("prompt").drop_nulls("score")
    both = both.drop_nulls("score_base")
    if both.is_empty():
        what = f"the two exams share no prompt that has a {config.metric!r}"
        raise StepError("evaluate.compare", what, fix="check the part and the exam's steps")
    gain = (both["score"] - both["score_base"]).to_numpy()
    told = wins(gain)
    facts: dict[str, Any] = {
        "metric": config.metric,
        "n_prompts": both.height,
        "n_not_compared": mine.height + other.height - 2 * both.height,
        **(compared := _compared(both, config, seed)),
        "excludes_zero": compared["difference"]["low"] > 0 or compared["difference"]["high"] < 0,
        "win_rate": _plain(bootstrap_mean(told, seed, config.resamples)),
        "p_value": round(randomisation_test(gain, seed, config.resamples), 6),
        "prompts": {
            name: int((told == value).sum())
            for name, value in (("better", 1), ("equal", 0.5), ("worse", 0))
        },
        "reply_tokens": {"model": _mean(both["tokens"]), "base": _mean(both["tokens_base"])},
    }
    if "repetition" in both.columns and "repetition_base" in both.columns:
        named = (("model", "repetition"), ("base", "repetition_base"))
        facts["repetition"] = {who: _mean(both[column].drop_nulls()) for who, column in named}
    if config.by is not None:
        facts["by"] = _kinds(both, config, seed)
        facts["worse_in"] = [one["of"] for one in facts["by"] if one["difference"]["high"] < 0]
    (out / "verdict.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return facts


def _compared(both: pl.DataFrame, config: CompareConfig, seed: int) -> dict[str, Any]:
    """Both means and the paired difference, with intervals."""
    model, start = both["score"].to_numpy(), both["score_base"].to_numpy()
    of = {"model": model, "base": start, "difference": model - start}
    return {
        name: _plain(bootstrap_mean(scores, seed, config.resamples)) for name, scores in of.items()
    }


def _kinds(both: pl.DataFrame, config: CompareConfig, seed: int) -> list[dict[str, Any]]:
    kinds = [
        {
            "of": "(none)" if kind is None else str(kind),
            "n_prompts": group.height,
            **_compared(group, config, seed),
        }
        for (kind,), group in both.group_by("kind", maintain_order=True)
    ]
    return sorted(kinds, key=lambda one: (one["difference"]["mean"], one["of"]))


def check_metric(where: str, table: pl.DataFrame, metric: str) -> None:
    """Refuse a metric whose mean means nothing.

    Raises:
        SchemaError: The column is neither a number nor a truth value.
    """
    dtype = table.schema[metric]
    if not (dtype.is_numeric() or dtype in {pl.Boolean, pl.Null}):
        what = f"the metric {metric!r} is {dtype}, which has no mean"
        raise SchemaError(where, what, fix="name a column of numbers or truth values")


def _by_prompt(table: pl.DataFrame, config: CompareConfig) -> pl.DataFrame:
    columns = {
        "score": pl.col(config.metric).cast(pl.Float64).fill_nan(None).mean(),
        "tokens": pl.col("completion_tokens").mean(),
    }
    if config.by is not None:
        columns["kind"] = pl.col(config.by).first()
    if config.response is not None and config.response in table.columns:
        repeated = [
            None if one is None else repetition_ratio(one) for one in table[config.response]
        ]
        table = table.with_columns(pl.Series("\0repeated", repeated, dtype=pl.Float64))
        columns["repetition"] = pl.col("\0repeated").mean()
    return table.group_by("prompt").agg(**columns)


def _plain(interval: Interval) -> dict[str, float]:
    return {name: round(value, 6) for name, value in interval._asdict().items()}


def _mean(values: pl.Series) -> float:
    return round(float(np.mean(values.to_numpy())), 3) if len(values) else 0.0
