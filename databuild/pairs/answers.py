"""The answers of prompts, ranked, with the reason why one cannot be in a pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.text.conversations import (
    asked,
    context,
    has_conversations,
    turns_before_answer,
)
from databuild.text.ranking import known_score

if TYPE_CHECKING:
    from databuild.pairs.graded import GradedConfig
    from databuild.pairs.making import Made

REASONS_OF_PROMPTS = "^(only one answer|all scores equal|no margin of|in none of the)"
"""Begins of the reasons that tell of a prompt why it has no pair, not of one answer."""


def talks_of(rows: pl.DataFrame, config: GradedConfig) -> dict[str, pl.Expr]:
    """What a pair of conversations needs besides its texts: what was said before, and the tools."""
    if config.messages is None:
        return {}
    tools = {"tools": pl.col("tools")} if "tools" in rows.columns else {}
    if not has_conversations(rows, config.messages):
        return tools
    before = pl.when(context(rows, config.messages).is_not_null())
    return {config.messages: before.then(turns_before_answer(config.messages)), **tools}


def ranked_answers(rows: pl.DataFrame, config: GradedConfig) -> pl.DataFrame:
    """Every row, the best of its prompt first, with the reason why it cannot be in a pair.

    Returns:
        `number` (of the row in `rows`), `asked` (a number per prompt), `score`, `is_edited`,
        `passes`, `chars`, `model` (a number per value of `across`), `reason`.
    """
    is_edited = (
        pl.lit(value=False) if config.origin is None else pl.col(config.origin).eq_missing("edited")
    )
    passes = (
        pl.lit(value=True)
        if config.passes is None
        else pl.col(config.passes).fill_null(value=False)
    )
    codes = numbered(rows.select(asked(rows, config.prompt, config.messages)).to_series())
    answers = rows.select(
        "row_id",
        asked=codes,
        number=pl.int_range(pl.len(), dtype=pl.Int64),
        text=pl.col(config.response).str.strip_chars(),
        chars=pl.col(config.response).str.len_chars().cast(pl.Int64),
        score=known_score(config.score),
        is_edited=is_edited,
        passes=passes,
        model=pl.lit(0) if config.across is None else pl.col(config.across).rank("dense"),
        reason=_reason(config, is_edited, passes),
    )
    answers = answers.sort(
        "asked", "score", "is_edited", "row_id",
        descending=[False, True, False, False], nulls_last=True,
    )  # fmt: skip
    is_open = pl.col("reason").is_null()
    # A struct of numbers and a text: the same text of one prompt, among those that can be paired.
    is_again = is_open & ~pl.struct("asked", "text", is_open).is_first_distinct()
    again = pl.when(is_again).then(pl.lit("same text as a better one"))
    return answers.with_columns(reason=pl.coalesce("reason", again)).drop("text", "row_id")


def numbered(values: pl.Series) -> pl.Series:
    """A number for each value: equal values have equal numbers, in order of first occurrence."""
    groups = (
        pl.DataFrame({"value": values})
        .with_row_index("row")
        .group_by("value", maintain_order=True)
        .agg("row")
    )
    numbers = np.empty(len(values), dtype=np.int64)
    sizes = groups["row"].list.len().to_numpy()
    numbers[groups["row"].explode(empty_as_null=False).to_numpy()] = np.repeat(
        np.arange(len(groups)), sizes
    )
    return pl.Series(numbers)


def _reason(config: GradedConfig, is_edited: pl.Expr, passes: pl.Expr) -> pl.Expr:
    score, trusted = known_score(config.score), is_edited & config.trust_edits
    no_model = pl.lit(value=False) if config.across is None else pl.col(config.across).is_null()
    return (
        pl.when((score.is_null() & ~trusted) | pl.col(config.response).is_null())
        .then(pl.lit("no score"))
        .when(pl.col(config.prompt).is_null())
        .then(pl.lit("no prompt"))
        .when(is_edited & ~passes & ~trusted)
        .then(pl.lit("edited, but does not pass"))
        .when(no_model & ~is_edited)
        .then(pl.lit(f"no value in {config.across}"))
    )


def dropped(
    answers: pl.DataFrame, able: pl.DataFrame, pairs: Made, config: GradedConfig
) -> pl.DataFrame:
    """The answers that are in no pair, with the reason, and whether their prompt has none."""
    used = np.zeros(answers.height, dtype=bool)
    used[able["number"].gather(pairs.chosen).to_numpy()] = True
    used[able["number"].gather(pairs.rejected).to_numpy()] = True
    is_open = pl.col("reason").is_null()
    score = pl.col("score").filter(is_open)
    told = answers.with_columns(is_used=pl.Series(used).gather(answers["number"]))
    prompts = told.group_by("asked").agg(
        n_open=is_open.sum(), spread=score.max() - score.min(), is_without=~pl.col("is_used").any()
    )
    reason = pl.coalesce(
        "reason",
        pl.when(pl.col("n_open") == 1).then(pl.lit("only one answer")),
        pl.when(pl.col("spread") == 0).then(pl.lit("all scores equal")),
        pl.when(pl.col("spread") < config.min_margin - 1e-9).then(
            pl.lit(f"no margin of {config.min_margin:g}")
        ),
        pl.lit(f"in none of the {config.max_pairs_per_prompt} allowed pairs of largest margin"),
    )
    left = told.filter(~pl.col("is_used")).join(prompts, on="asked", how="left")
    return left.select("number", "asked", "is_without", reason=reason)
