"""How much better: strengths, weights, and what is to be said of their distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.schema.rows import STRENGTHS

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_IN_ONE = 0.8
"""Of more pairs than this share in one grade it is said that the grades say next to nothing."""
ENOUGH_PAIRS = 20
LEAST_WEIGHT = 0.01


def quantile_thresholds(margins: pl.Series, quantiles: Sequence[float]) -> tuple[float, ...]:
    """The margins that stand at these quantiles, strongest first.

    The quantile q is a margin that occurs: the lower neighbour of place q * (n - 1). Equal margins
    get one strength, so a margin that many pairs share may take the place of two.

    Example:
        >>> quantile_thresholds(pl.Series([0.1, 0.2, 0.3, 0.4, 0.5]), (0.75, 0.5, 0.25))
        (0.4, 0.3, 0.2)
    """
    found = [margins.quantile(q, interpolation="lower") for q in quantiles]
    return tuple(float(value) for value in found if value is not None)


def strength(thresholds: Sequence[float]) -> pl.Expr:
    """The strength of `margin`: that of the first threshold that it reaches, else the last one."""
    grade = pl.lit(STRENGTHS[-1])
    for name, least in reversed(list(zip(STRENGTHS, thresholds, strict=False))):
        grade = pl.when(pl.col("margin") >= least - 1e-9).then(pl.lit(name)).otherwise(grade)
    return grade


def weight(by: str, weights: Sequence[float]) -> pl.Expr:
    """The weight of a pair: that of its strength, or its margin (0.01 at least)."""
    if by == "margin":
        return pl.col("margin").clip(lower_bound=LEAST_WEIGHT)
    return pl.col("strength").replace_strict(
        list(STRENGTHS), list(weights), return_dtype=pl.Float64
    )


def distribution(pairs: pl.DataFrame, thresholds: Sequence[float]) -> dict[str, Any]:
    """Facts about the grades of pairs, with a `warning` where they say next to nothing.

    Args:
        pairs: `margin` and `strength`.
        thresholds: The smallest margins of the first three strengths.

    Returns:
        `pairs`, `grades` (pairs by strength), `thresholds`, `margins` (lowest, median, highest); a
        `warning` and `in_short` where at least 20 pairs have more than 80 % in one grade.
    """
    counts = dict(pairs.group_by("strength").len().iter_rows())
    facts: dict[str, Any] = {
        "pairs": pairs.height,
        "grades": {name: int(counts.get(name, 0)) for name in STRENGTHS},
        "thresholds": [round(value, 9) for value in thresholds],
    }
    if pairs.is_empty():
        return facts
    lowest, median, highest = (
        pairs["margin"].quantile(q, interpolation="lower") for q in (0.0, 0.5, 1.0)
    )
    facts["margins"] = {"lowest": lowest, "median": median, "highest": highest}
    name, most = max(counts.items(), key=lambda item: item[1])
    if pairs.height >= ENOUGH_PAIRS and most > MOST_IN_ONE * pairs.height:
        told = f"{most:,} of {pairs.height:,} pairs are {name}"
        facts["warning"] = f"{told}: {_advice(pairs, thresholds)}"
        facts["in_short"] = f"{told}; set thresholds" if _differ(pairs) else told
    return facts


def _differ(pairs: pl.DataFrame) -> bool:
    return bool((pairs["margin"].max() or 0) > (pairs["margin"].min() or 0))  # type: ignore[operator]


def _advice(pairs: pl.DataFrame, thresholds: Sequence[float]) -> str:
    if not _differ(pairs):
        return "all margins are equal, so the grades say nothing; score on a finer scale"
    known = ", ".join(f"{value:g}" for value in thresholds)
    least, most = pairs.select(least=pl.min("margin"), most=pl.max("margin")).row(0)
    return (
        f"the grades say next to nothing with thresholds [{known}]; set `thresholds: quantiles`, "
        f"or thresholds between the margins {least:g} and {most:g}"
    )
