"""pairs.best: rejection sampling, the best answers of every prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import DROPPED, Reported, shortfall, step
from databuild.pairs.answers import numbered
from databuild.recipe.options import Column, Names, StepConfig
from databuild.text.conversations import asked
from databuild.text.ranking import known_score, origin_rank

if TYPE_CHECKING:
    from numpy.typing import NDArray


class BestConfig(StepConfig):
    """Options of `pairs.best`."""

    top: int = Field(default=1, ge=1)
    """Answers kept per prompt."""
    score: Column = "verify_score"
    """What is compared; higher is better."""
    min_score: float | None = None
    """The bar: rows with a lower score are dropped."""
    require: Column | None = None
    """A Boolean column that must be true, such as `strict_pass`."""
    max_rows: int | None = Field(default=None, ge=1)
    """Rows kept in all, the best scores first; without it, all."""
    per: Column | None = None
    """A column such as `capability`, with a `quota` for each of its values."""
    quota: int | dict[str, int] | None = None
    """Rows kept for each value of `per`, the best scores first: one number for all, or one by
    value, `{maths: 500, chat: 2000}`; a value without one keeps no row. What is missing to a quota
    is reported as a shortfall."""
    prompt: Column = "prompt"
    """Answers with the same text here compete."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Answers
    compete only where all turns before them are the same, too."""
    response: Column = "response"
    """The answer; the same one (but for white space at its ends) is kept once per prompt."""
    origin: Column | None = "origin"
    """The column that says how an answer was made; null (`~`) where there is none."""
    prefer: Names = ("sampled", "edited")
    """Of equal scores, origins that come first here win; origins that are not named come last."""

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.per is None) != (self.quota is None):
            msg = "per and quota belong together: name the column and the rows of each value"
            raise ValueError(msg)
        quotas = self.quota.values() if isinstance(self.quota, dict) else [self.quota or 0]
        if any(quota < 0 for quota in quotas):
            msg = f"a quota is a number of rows, not {min(quotas)}"
            raise ValueError(msg)
        return self


@step(
    "pairs.best",
    kind="select",
    sees="table",
    version=3,
    also=lambda config: () if config.messages is None else (config.messages,),
)
def select_best_answers(rows: pl.DataFrame, config: BestConfig) -> Reported:
    """Keep the `top` answers of every prompt by score.

    Equal scores are ordered by `prefer`, then by the smallest row_id. A null or NaN score never
    wins.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `BestConfig`.

    Returns:
        n rows with `row_id`, `part` and `reason`: "no score", "not <require>", "below the bar of
        <min_score>", "same text as a better one", "not among the top <top>", "beyond the quota of
        <n> for <per> <value>", or "beyond the best <max_rows> rows", the first that holds. With
        `per` the fact `kept` counts rows by value, and `shortfall` says which quotas are not met.

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a", "b", "c"], "prompt": ["p"] * 3, "response": ["x", "y", "z"],
        ...     "verify_score": [0.5, 1.0, float("nan")],
        ... })
        >>> select_best_answers(rows, BestConfig(origin=None)).table["reason"].to_list()
        ['not among the top 1', None, 'no score']
    """
    ranked = _ranked(rows, config)
    if config.per is not None:
        ranked = _within_quotas(ranked, config)
    if config.max_rows is not None:
        is_open = pl.col("reason").is_null()
        reason = pl.when(is_open & (is_open.cum_sum() > config.max_rows)).then(
            pl.lit(f"beyond the best {config.max_rows} rows")
        )
        ranked = ranked.with_columns(reason=pl.coalesce("reason", reason))
    found = ranked.sort("number").select(
        part=pl.when(pl.col("reason").is_null()).then(pl.lit("kept")).otherwise(pl.lit(DROPPED)),
        reason="reason",
    )
    return Reported(rows.select("row_id").hstack(found), _facts(ranked, config))


def _within_quotas(ranked: pl.DataFrame, config: BestConfig) -> pl.DataFrame:
    """Of each value of `per` the best rows; `ranked` has the best of all first."""
    is_open = pl.col("reason").is_null()
    per, quota = pl.col("per"), config.quota
    if isinstance(quota, dict):
        most = per.replace_strict(
            list(quota), list(quota.values()), default=0, return_dtype=pl.Int64
        )
    else:
        most = pl.lit(quota, dtype=pl.Int64)
    reason = pl.format(
        "beyond the quota of {} for " + f"{config.per} " + "{}", most, per.fill_null("null")
    )
    beyond = is_open & (pl.int_range(pl.len()).over("per", is_open) >= most)
    return ranked.with_columns(reason=pl.coalesce("reason", pl.when(beyond).then(reason)))


def _facts(ranked: pl.DataFrame, config: BestConfig) -> dict[str, Any]:
    if config.per is None:
        return {}
    kept = ranked.filter(pl.col("reason").is_null())["per"].fill_null("null").value_counts()
    counts = dict(kept.sort("count", "per", descending=[True, False]).iter_rows())
    quota = config.quota
    values = sorted(set(ranked["per"].fill_null("null")))
    quotas = quota if isinstance(quota, dict) else dict.fromkeys(values, quota or 0)
    lacking = shortfall((name, n, int(counts.get(name, 0))) for name, n in quotas.items())
    return {"kept": counts, "shortfall": lacking}


def _ranked(rows: pl.DataFrame, config: BestConfig) -> pl.DataFrame:
    """Every row, the best of all first: its `number` in `rows`, `per` and `reason`."""
    score = known_score(config.score)
    required = (
        pl.col(config.require).fill_null(value=False) if config.require else pl.lit(value=True)
    )
    below = pl.lit(value=False) if config.min_score is None else score < config.min_score
    early = (
        pl.when(score.is_null()).then(pl.lit("no score"))
        .when(~required).then(pl.lit(f"not {config.require}"))
        .when(below).then(pl.lit(f"below the bar of {config.min_score}"))
    )  # fmt: skip
    facts = rows.select(
        "row_id",
        number=pl.int_range(pl.len(), dtype=pl.Int64),
        prompt=numbered(rows.select(asked(rows, config.prompt, config.messages)).to_series()),
        text=numbered(rows.select(pl.col(config.response).str.strip_chars()).to_series()),
        score=score,
        origin=origin_rank(config.origin, config.prefer),
        per=pl.lit(None, dtype=pl.String)
        if config.per is None
        else pl.col(config.per).cast(pl.String),
        reason=early,
    ).sort(
        pl.col("reason").is_not_null(), pl.col("score"), "origin", "row_id",
        descending=[False, True, False, False], nulls_last=True,
    )  # fmt: skip
    is_open = facts["reason"].is_null().to_numpy()
    prompt, text = facts["prompt"].to_numpy(), facts["text"].to_numpy()
    # Open rows stand first: a text that comes again within them comes after a better one.
    once = pl.Series(prompt * max(rows.height, 1) + text).is_first_distinct().to_numpy()
    left = np.flatnonzero(is_open & once)
    too_low = np.zeros(facts.height, dtype=bool)
    too_low[left] = _places(prompt[left]) >= config.top
    again, low = pl.Series(is_open & ~once), pl.Series(too_low)
    return facts.select(
        "number",
        "per",
        reason=pl.when(again)
        .then(pl.lit("same text as a better one"))
        .when(low)
        .then(pl.lit(f"not among the top {config.top}"))
        .otherwise("reason"),
    )


def _places(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each element its place, from 0, among the elements that are equal to it."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    is_first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    starts = np.flatnonzero(is_first)
    numbers = np.arange(len(groups))
    places = np.empty(len(groups), dtype=np.int64)
    places[order] = numbers - starts[np.cumsum(is_first) - 1]
    return places
