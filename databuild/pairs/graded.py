"""pairs.graded: preference pairs of four strengths from scored answers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Produced, step
from databuild.recipe.options import Column, StepConfig
from databuild.schema.rows import STRENGTHS
from databuild.text.conversations import (
    asked,
    context,
    has_conversations,
    turns_before_answer,
)
from databuild.text.ranking import known_score

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_ADDS = (
    "prompt",
    "chosen",
    "rejected",
    "chosen_score",
    "rejected_score",
    "margin",
    "strength",
    "chosen_origin",
)


class GradedConfig(StepConfig):
    """Options of `pairs.graded`."""

    score: Column = "verify_score"
    """What is compared; higher is better."""
    passes: Column | None = "strict_pass"
    """A Boolean column: only an edited answer for which it is true ranks above the sampled ones."""
    min_margin: float = Field(default=0.0, ge=0)
    """Pairs need a larger difference of scores than 0 and at least this one."""
    thresholds: tuple[float, float, float] = (0.6, 0.4, 0.2)
    """Smallest margins of the first three strengths; every other pair is "marginally better"."""
    chosen_passes: bool = False
    """Make only pairs whose chosen answer passes (`passes`)."""
    max_length_ratio: float | None = Field(default=None, ge=1)
    """Longest ratio of a pair's two lengths in characters, the longer over the shorter. Without a
    bound, preference optimisation learns from edited answers, which are short, to be short."""
    max_pairs_per_prompt: int = Field(default=1, ge=1)
    """Of the possible pairs of a prompt, those with the largest margins are made."""
    prompt: Column = "prompt"
    """Answers with the same text here are compared."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Only
    answers with the same turns before them are compared; these become the `messages` of a pair,
    beside the `tools` of its chosen row."""
    response: Column = "response"
    """The answer."""
    origin: Column | None = "origin"
    """The column that says "edited" of a rewritten answer; null (`~`) where there is none."""

    @model_validator(mode="after")
    def _falling(self) -> Self:
        if any(high <= low for high, low in pairwise((*self.thresholds, 0.0))):
            msg = f"thresholds must fall and stay above 0, not {list(self.thresholds)}"
            raise ValueError(msg)
        return self


@step(
    "pairs.graded",
    kind="produce",
    sees="group",
    version=1,
    also=lambda config: () if config.messages is None else (config.messages, "tools"),
    adds=_ADDS,
    group=lambda config: (config.prompt,),
    attributes=("chosen_score", "rejected_score", "margin", "strength", "chosen_origin"),
)
def make_graded_pairs(rows: pl.DataFrame, config: GradedConfig) -> Produced:
    """Pair good answers with bad ones of the same prompt, and grade each pair by its margin.

    The answers that were not edited, each text once, are ranked by score (equal scores by row_id);
    the i-th best is chosen over the i-th worst. The best edited answer that passes, E, ranks above
    the best of them, C, and the worst, R: E over C, E over R (Llama 3's edited > chosen >
    rejected). A pair needs a margin above 0 and of at least `min_margin`, and what `chosen_passes`
    and `max_length_ratio` ask. Of equal margins C over R comes first.

    Args:
        rows: The answers of one or more prompts, with `row_id` and the columns that `config` names.
        config: See `GradedConfig`.

    Returns:
        Pairs with `parent_ids` (chosen row, rejected row), `prompt`, `chosen`, `rejected`, their
        scores, `margin`, `strength`, `chosen_origin`; where the answers have them, `tools` and the
        turns before the answer (`messages`). Rows that are in no pair are in `dropped`:
        "no score", "no prompt", "edited, but does not pass", "same text as a better one", "only one
        answer", "all scores equal", "no margin of <min_margin>", or "in none of the <n> allowed
        pairs of largest margin".

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a", "b", "c"], "prompt": ["p"] * 3, "response": ["x", "y", "z"],
        ...     "verify_score": [0.2, 0.9, 0.5],
        ... })
        >>> made = make_graded_pairs(rows, GradedConfig(origin=None, passes=None))
        >>> made.rows.select("chosen", "rejected", "strength").rows()
        [('y', 'x', 'significantly better')]
        >>> made.dropped.rows()
        [('c', 'in none of the 1 allowed pairs of largest margin')]
    """
    talks = _talks(rows, config)
    answers = _answers(rows, config, talks)
    able = answers.filter(pl.col("reason").is_null())
    pairs = _pairs(able, config, talks)
    parents = pl.concat_list("chosen_id", "rejected_id").alias("parent_ids")
    made = pairs.select(parents, *_ADDS, *talks)
    used = pl.concat([pairs["chosen_id"], pairs["rejected_id"]])
    return Produced(rows=made, dropped=_dropped(answers, used, config))


def _talks(rows: pl.DataFrame, config: GradedConfig) -> dict[str, pl.Expr]:
    """What a pair of conversations needs besides its texts: what was said before, and the tools."""
    if config.messages is None:
        return {}
    tools = {"tools": pl.col("tools")} if "tools" in rows.columns else {}
    if not has_conversations(rows, config.messages):
        return tools
    before = pl.when(context(rows, config.messages).is_not_null())
    return {config.messages: before.then(turns_before_answer(config.messages)), **tools}


def _answers(
    rows: pl.DataFrame, config: GradedConfig, talks: Mapping[str, pl.Expr]
) -> pl.DataFrame:
    """Every row, the best of its prompt first, with the reason why it cannot be in a pair."""
    is_edited = (
        pl.lit(value=False) if config.origin is None else pl.col(config.origin).eq_missing("edited")
    )
    passes = (
        pl.lit(value=True)
        if config.passes is None
        else pl.col(config.passes).fill_null(value=False)
    )
    score = known_score(config.score)
    answers = rows.select(
        "row_id",
        asked=asked(rows, config.prompt, config.messages),
        prompt=config.prompt,
        response=config.response,
        score=score,
        is_edited=is_edited,
        passes=passes,
        origin=pl.lit(None, dtype=pl.String) if config.origin is None else pl.col(config.origin),
        reason=pl.when(score.is_null() | pl.col(config.response).is_null())
        .then(pl.lit("no score"))
        .when(pl.col(config.prompt).is_null())
        .then(pl.lit("no prompt"))
        .when(is_edited & ~passes)
        .then(pl.lit("edited, but does not pass")),
        **talks,
    ).sort(
        "asked",
        "score",
        "is_edited",
        "row_id",
        descending=[False, True, False, False],
        nulls_last=True,
    )
    is_open = pl.col("reason").is_null()
    text = pl.col("response").str.strip_chars()
    is_again = is_open & (pl.int_range(pl.len()).over("asked", text, is_open) > 0)
    again = pl.when(is_again).then(pl.lit("same text as a better one"))
    return answers.with_columns(reason=pl.coalesce("reason", again))


def _pairs(able: pl.DataFrame, config: GradedConfig, talks: Collection[str]) -> pl.DataFrame:
    """All pairs that are allowed, cut to the largest margins of every prompt."""
    place, n = pl.int_range(pl.len()).over("asked"), pl.len().over("asked")
    sampled = able.filter(~pl.col("is_edited")).with_columns(best=place, worst=n - 1 - place)
    edited = able.filter("is_edited").unique("asked", keep="first", maintain_order=True)
    top = sampled.filter(pl.col("best") == 0)
    bottom = sampled.filter((pl.col("worst") == 0) & (pl.col("best") > 0))
    folded = sampled.join(
        sampled, left_on=["asked", "best"], right_on=["asked", "worst"], suffix="_r"
    ).filter(pl.col("best") < pl.col("best_r"))
    pairs = pl.concat(
        [
            _paired(folded, 0, talks),
            _paired(edited.join(bottom, on="asked", suffix="_r"), 1, talks),
            _paired(edited.join(top, on="asked", suffix="_r"), 2, talks),
        ]
    )
    margin = pl.col("margin")
    # Scores are sums of floats: 0.2 must not fail because it came out as 0.19999999999999996.
    pairs = pairs.filter((margin > 0) & (margin >= config.min_margin - 1e-9))
    if config.chosen_passes:
        pairs = pairs.filter("passes")
    if config.max_length_ratio is not None:
        lengths = [pl.col(name).str.len_chars() for name in ("chosen", "rejected")]
        longer, shorter = pl.max_horizontal(lengths), pl.min_horizontal(lengths)
        pairs = pairs.filter(longer <= config.max_length_ratio * shorter)
    return (
        pairs.sort("asked", "margin", "order", "chosen_id", descending=[False, True, False, False])
        .filter(pl.int_range(pl.len()).over("asked") < config.max_pairs_per_prompt)
        .with_columns(strength=_strength(config))
    )


def _paired(joined: pl.DataFrame, order: int, talks: Collection[str]) -> pl.DataFrame:
    return joined.select(
        "asked",
        "prompt",
        *talks,
        chosen="response",
        rejected="response_r",
        chosen_score="score",
        rejected_score="score_r",
        margin=pl.col("score") - pl.col("score_r"),
        chosen_origin="origin",
        passes="passes",
        chosen_id="row_id",
        rejected_id="row_id_r",
        order=pl.lit(order),
    )


def _strength(config: GradedConfig) -> pl.Expr:
    grade = pl.lit(STRENGTHS[-1])
    for name, least in reversed(list(zip(STRENGTHS[:-1], config.thresholds, strict=True))):
        grade = pl.when(pl.col("margin") >= least - 1e-9).then(pl.lit(name)).otherwise(grade)
    return grade


def _dropped(answers: pl.DataFrame, used: pl.Series, config: GradedConfig) -> pl.DataFrame:
    is_open = pl.col("reason").is_null()
    n_open = is_open.sum().over("asked")
    scores = pl.col("score").filter(is_open)
    spread = (scores.max() - scores.min()).over("asked")
    reason = pl.coalesce(
        "reason",
        pl.when(n_open == 1).then(pl.lit("only one answer")),
        pl.when(spread == 0).then(pl.lit("all scores equal")),
        pl.when(spread < config.min_margin - 1e-9).then(
            pl.lit(f"no margin of {config.min_margin:g}")
        ),
        pl.lit(f"in none of the {config.max_pairs_per_prompt} allowed pairs of largest margin"),
    )
    return answers.select("row_id", reason=reason).filter(~pl.col("row_id").is_in(used.implode()))
