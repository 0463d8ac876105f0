"""pairs.graded: preference pairs of four strengths from scored answers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Produced, step
from databuild.pairs.answers import REASONS_OF_PROMPTS, dropped, ranked_answers, talks_of
from databuild.pairs.grades import distribution, quantile_thresholds, strength, weight
from databuild.pairs.making import Made, make_pairs
from databuild.recipe.options import Column, StepConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

_GRADES = ("chosen_score", "rejected_score", "margin", "strength", "weight", "chosen_origin")
_ADDS = ("prompt", "chosen", "rejected", *_GRADES)


class GradedConfig(StepConfig):
    """Options of `pairs.graded`."""

    score: Column = "verify_score"
    """What is compared; higher is better."""
    passes: Column | None = "strict_pass"
    """A Boolean column: only an edited answer for which it is true ranks above the sampled ones."""
    min_margin: float = Field(default=0.0, ge=0)
    """Pairs need a larger difference of scores than 0 and at least this one."""
    thresholds: tuple[float, float, float] | Literal["quantiles"] = (0.6, 0.4, 0.2)
    """Smallest margins of the first three strengths; every other pair is "marginally better".
    `quantiles` takes them from the margins of the pairs themselves, at `quantiles`."""
    quantiles: tuple[float, float, float] = (0.75, 0.5, 0.25)
    """Where the thresholds stand among all margins with `thresholds: quantiles`; with these, about
    a quarter of the pairs has each strength. Equal margins get one strength."""
    weight_by: Literal["strength", "margin"] = "strength"
    """What `weight`, for graded training, follows: `strength_weights`, or the margin itself."""
    strength_weights: tuple[float, float, float, float] = (1.0, 0.75, 0.5, 0.25)
    """The weights of the four strengths, strongest first."""
    chosen_passes: bool = False
    """Make only pairs whose chosen answer passes (`passes`)."""
    max_length_ratio: float | None = Field(default=None, ge=1)
    """Longest ratio of a pair's two lengths in characters, the longer over the shorter. Without a
    bound, preference optimisation learns from edited answers, which are short, to be short."""
    match_length: bool = False
    """Take as rejected the answer of nearest length instead of the worst one, of all those that
    `min_margin` and `max_length_ratio` allow."""
    across: Column | None = None
    """A column such as `model_name`: only answers with different values in it are paired; a row
    without a value is in no pair. Edited answers are paired with all."""
    rejected_per_chosen: int = Field(default=1, ge=1)
    """Rejected answers of one chosen one; `max_pairs_per_prompt` must leave room for them."""
    max_pairs_per_prompt: int = Field(default=1, ge=1)
    """Of the possible pairs of a prompt, those with the largest margins are made. 3 leaves room for
    all that edited > chosen > rejected says."""
    trust_edits: bool = False
    """An edited answer ranks above all sampled ones, whatever its score and `passes` say, as where
    a person rewrote it: its pairs need no margin, and one without a score counts as equal to the
    best sampled one."""
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
        named = {"quantiles": self.quantiles}
        if self.thresholds != "quantiles":
            named = {"thresholds": self.thresholds}
        for name, values in named.items():
            if _rises((*values, 0.0)):
                msg = f"{name} must fall and stay above 0, not {list(values)}"
                raise ValueError(msg)
        if self.quantiles[0] >= 1:
            msg = f"quantiles must be below 1, not {list(self.quantiles)}"
            raise ValueError(msg)
        if min(self.strength_weights) <= 0:
            msg = f"strength_weights must be above 0, not {list(self.strength_weights)}"
            raise ValueError(msg)
        if self.rejected_per_chosen > self.max_pairs_per_prompt:
            msg = (
                f"rejected_per_chosen is {self.rejected_per_chosen}, and max_pairs_per_prompt "
                f"allows only {self.max_pairs_per_prompt}: raise it"
            )
            raise ValueError(msg)
        return self


def _rises(values: Iterable[float]) -> bool:
    return any(high <= low for high, low in pairwise(values))


@step(
    "pairs.graded",
    kind="produce",
    sees="table",
    version=2,
    also=lambda config: () if config.messages is None else (config.messages, "tools"),
    adds=_ADDS,
    attributes=_GRADES,
)
def make_graded_pairs(rows: pl.DataFrame, config: GradedConfig) -> Produced:
    """Pair good answers with bad ones of the same prompt, and grade each pair by its margin.

    The answers that were not edited, each text once, are ranked by score (equal scores by row_id);
    the i-th best is chosen over the i-th worst (and the `rejected_per_chosen` - 1 next worse ones
    than the i-th worst's neighbours). With `match_length` or `across` every answer may be chosen,
    over the answers that these options allow. The best edited answer that passes, E, ranks above
    the best of them, C, and the worst, R: E over C, E over R (Llama 3's edited > chosen >
    rejected, arXiv 2407.21783, section 4.2.1). A pair needs a margin above 0 and of at least
    `min_margin`, and what `chosen_passes` and `max_length_ratio` ask. Of equal margins C over R
    comes first. K answers of one score make no pair.

    Args:
        rows: The answers of all prompts, with `row_id` and the columns that `config` names.
        config: See `GradedConfig`.

    Returns:
        Pairs with `parent_ids` (chosen row, rejected row), `prompt`, `chosen`, `rejected`, their
        scores, `margin`, `strength`, `weight` (above 0), `chosen_origin`; where the answers have
        them, `tools` and the turns before the answer (`messages`). Rows that are in no pair are in
        `dropped`: "no score", "no prompt", "no value in <across>", "edited, but does not pass",
        "same text as a better one", "only one answer", "all scores equal", "no margin of
        <min_margin>", or "in none of the <n> allowed pairs of largest margin". The facts are those
        of `databuild.pairs.grades.distribution`, `prompts` and `prompts_without_pair` (by reason).

    Cost:
        1 million answers to 100,000 prompts: see tests/bench/pairs.json.

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a", "b", "c"], "prompt": ["p"] * 3, "response": ["x", "y", "z"],
        ...     "verify_score": [0.2, 0.9, 0.5],
        ... })
        >>> made = make_graded_pairs(rows, GradedConfig(origin=None, passes=None))
        >>> made.rows.select("chosen", "rejected", "strength", "weight").rows()
        [('y', 'x', 'significantly better', 1.0)]
        >>> made.dropped.rows()
        [('c', 'in none of the 1 allowed pairs of largest margin')]
    """
    answers = ranked_answers(rows, config)
    able = answers.filter(pl.col("reason").is_null())
    pairs = make_pairs(able, config)
    thresholds = (
        quantile_thresholds(pairs.margin, config.quantiles)
        if config.thresholds == "quantiles"
        else config.thresholds
    )
    made = _rows(rows, able, pairs, config).with_columns(strength=strength(thresholds))
    made = made.with_columns(weight=weight(config.weight_by, config.strength_weights))
    left = dropped(answers, able, pairs, config)
    facts = {**distribution(made, thresholds), **_prompts(answers, left)}
    talks = talks_of(rows, config)
    return Produced(
        rows=made.select("parent_ids", *_ADDS, *talks),
        dropped=left.select(rows["row_id"].gather(left["number"]).alias("row_id"), "reason"),
        facts=facts,
    )


def _rows(
    rows: pl.DataFrame, able: pl.DataFrame, pairs: Made, config: GradedConfig
) -> pl.DataFrame:
    """The pairs with their texts, which are gathered only now."""
    chosen, rejected = able["number"].gather(pairs.chosen), able["number"].gather(pairs.rejected)
    talks = talks_of(rows, config)
    origin = pl.lit(None, dtype=pl.String) if config.origin is None else pl.col(config.origin)
    made = rows.lazy().select(
        "row_id", prompt=config.prompt, chosen=config.response, chosen_origin=origin, **talks
    )
    gathered = made.select(pl.all().gather(chosen)).collect()
    other = rows.select(
        rejected_id=pl.col("row_id").gather(rejected),
        rejected=pl.col(config.response).gather(rejected),
    )
    scores = {
        f"{side}_score": able["score"].gather(numbers)
        for side, numbers in (("chosen", pairs.chosen), ("rejected", pairs.rejected))
    }
    return gathered.hstack(other).with_columns(
        margin=pairs.margin, parent_ids=pl.concat_list("row_id", "rejected_id"), **scores
    )


def _prompts(answers: pl.DataFrame, left: pl.DataFrame) -> dict[str, Any]:
    """How many prompts there were, and why some have no pair."""
    of_prompt = pl.col("reason").filter(pl.col("reason").str.contains(REASONS_OF_PROMPTS)).first()
    without = left.filter(pl.col("is_without")).group_by("asked").agg(of_prompt)
    reasons = without.select(pl.col("reason").fill_null("no usable answers"))
    counts = reasons["reason"].value_counts().sort("count", "reason", descending=[True, False])
    return {
        "prompts": answers["asked"].n_unique(),
        "prompts_without_pair": dict(counts.iter_rows()),
    }
