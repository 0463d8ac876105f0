"""The pairs of ranked answers: all that are allowed, cut to the largest margins of every prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from databuild.pairs.matching import Ints, Ranked, Rule, folded, is_allowed, searched

if TYPE_CHECKING:
    from databuild.pairs.graded import GradedConfig


class Made(NamedTuple):
    """Pairs as row numbers of the table of able answers, and their margins."""

    chosen: pl.Series
    rejected: pl.Series
    margin: pl.Series


def make_pairs(able: pl.DataFrame, config: GradedConfig) -> Made:
    """Pair the answers of every prompt.

    Args:
        able: As `databuild.pairs.answers.ranked_answers` makes them, without a reason.
        config: See `GradedConfig`.

    Returns:
        Pairs by prompt, the largest margin first; of equal ones those without an edited answer,
        then those of the better chosen answer, then of the worse rejected one.
    """
    rule = Rule(
        least=config.min_margin,
        per_chosen=config.rejected_per_chosen,
        max_ratio=config.max_length_ratio,
        by_length=config.match_length,
    )
    sampled = np.flatnonzero(~able["is_edited"].to_numpy())
    ranked = _ranked(able, sampled, with_model=config.across is not None)
    if config.match_length or config.across is not None:
        chosen, rejected = searched(ranked, rule)
    else:
        chosen, rejected = folded(ranked, config.rejected_per_chosen)
        allowed = is_allowed(ranked, rule, chosen, rejected)
        chosen, rejected = chosen[allowed], rejected[allowed]
    scores = able["score"].to_numpy()
    pairs = pl.DataFrame(
        {
            "chosen": sampled[chosen],
            "rejected": sampled[rejected],
            "margin": ranked.score[chosen] - ranked.score[rejected],
            "order": np.zeros(len(chosen), dtype=np.int64),
        }
    )
    pairs = pl.concat([pairs, *_of_edited(able, sampled, ranked, scores, config)])
    if config.chosen_passes:
        pairs = pairs.filter(able["passes"].gather(pairs["chosen"]))
    return Made(*_largest(pairs, able["asked"], config.max_pairs_per_prompt))


def _ranked(able: pl.DataFrame, numbers: Ints, *, with_model: bool) -> Ranked:
    return Ranked(
        prompt=able["asked"].to_numpy()[numbers],
        score=able["score"].to_numpy()[numbers],
        chars=able["chars"].to_numpy()[numbers],
        model=able["model"].to_numpy()[numbers] if with_model else None,
    )


def _of_edited(
    able: pl.DataFrame, sampled: Ints, ranked: Ranked, scores: np.ndarray, config: GradedConfig
) -> list[pl.DataFrame]:
    """E over R and E over C, for the best edited answer E of each prompt."""
    is_edited = able["is_edited"].to_numpy()
    asked = able["asked"].to_numpy()
    numbers = np.flatnonzero(is_edited)
    numbers = numbers[np.unique(asked[numbers], return_index=True)[1]]
    if not len(numbers) or not len(sampled):
        return []
    first = np.searchsorted(ranked.prompt, asked[numbers], side="left")
    last = np.searchsorted(ranked.prompt, asked[numbers], side="right") - 1
    has_any = last >= first
    numbers, first, last = numbers[has_any], first[has_any], last[has_any]
    best = scores[numbers]
    if config.trust_edits:
        best = np.fmax(best, ranked.score[first])
    found = []
    chars = able["chars"].to_numpy()
    for order, (other, is_pair) in enumerate([(last, last > first), (first, last >= first)], 1):
        margin = best - ranked.score[other]
        allowed = is_pair.copy()
        if not config.trust_edits:
            allowed &= (margin > 0) & (margin >= config.min_margin - 1e-9)
        if config.max_length_ratio is not None:
            left, right = chars[numbers], ranked.chars[other]
            allowed &= np.maximum(left, right) <= config.max_length_ratio * np.minimum(left, right)
        found.append(
            pl.DataFrame(
                {
                    "chosen": numbers[allowed],
                    "rejected": sampled[other[allowed]],
                    "margin": margin[allowed],
                    "order": np.full(allowed.sum(), order, dtype=np.int64),
                }
            )
        )
    return found


def _largest(pairs: pl.DataFrame, asked: pl.Series, most: int) -> list[pl.Series]:
    pairs = pairs.with_columns(asked=asked.gather(pairs["chosen"])).sort(
        "asked", "margin", "order", "chosen", "rejected",
        descending=[False, True, False, False, True],
    )  # fmt: skip
    prompts = pairs["asked"].to_numpy()
    place = np.arange(len(prompts)) - np.searchsorted(prompts, prompts)
    kept = pairs.filter(pl.Series(place < most, dtype=pl.Boolean))
    return [kept[name] for name in ("chosen", "rejected", "margin")]
