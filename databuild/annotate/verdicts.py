"""What the opinions on a unit say together: by majority, by mean, or by Dawid-Skene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.annotate.dawid_skene import dawid_skene
from databuild.annotate.opinions import VERDICTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from databuild.annotate.opinions import Task

CLASSES = ("b", "tie", "a")
"""The classes of preferences, as the sign of a grade plus 1."""
_NEAR = 0.5


def with_verdicts(
    told: pl.DataFrame, task: Task, method: str, tie_up_to: float, smoothing: float
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Give every opinion the verdict of its unit.

    Args:
        told: What `opinions` returns, in its order.
        task: The task of the votes.
        method: `majority`, `mean` or `dawid_skene`.
        tie_up_to: With `mean`: the largest mean grade that is a tie.
        smoothing: With `dawid_skene`.

    Returns:
        `told` with `_verdict` (a class: of preferences a place in `CLASSES`, of thumbs 1 for true,
        of verdicts a place in `VERDICTS`, of ratings the rating less 1), `_value` (grade or
        rating), `_agrees` (whether this opinion says the same), `agreement` and `confidence`; and
        facts.
    """
    told = told.with_columns(_class=class_of(task))
    told = told.with_columns(_often=pl.len().over("unit", "_class"))
    told = told.with_columns(_is_most=pl.col("_often") == pl.col("_often").max().over("unit"))
    n_classes = {"rating": 5, "thumbs": 2, "verification": len(VERDICTS)}.get(task.name, 3)
    facts: dict[str, Any] = {}
    if method == "dawid_skene" and told.height:
        told, facts = _by_dawid_skene(told, task, n_classes, smoothing)
    else:
        told = told.with_columns(_by_votes(task, method, tie_up_to).alias("_verdict"))
    told = told.with_columns(_agrees=pl.col("_class") == pl.col("_verdict"))
    told = told.with_columns(_value=_value(task, method))
    if task.name == "rating":
        told = told.with_columns(_agrees=(pl.col("said") - pl.col("_value")).abs() <= _NEAR)
    share = pl.col("_agrees").cast(pl.Float64).mean().over("unit")
    told = told.with_columns(agreement=share)
    sure = pl.col("_sure") if "_sure" in told.columns else pl.col("agreement")
    return told.with_columns(confidence=sure), facts


def class_of_gold(task: Task, dtype: pl.DataType) -> pl.Expr:
    """The class that the right answer of a gold question is, null where there is none."""
    gold = pl.col("gold")
    if task.name in {"preference", "ranking"}:
        return gold.cast(pl.Float64, strict=False).sign().cast(pl.Int64) + 1
    if task.name == "rating":
        return gold.cast(pl.Float64, strict=False).round().cast(pl.Int64) - 1
    if task.name == "thumbs" and dtype != pl.String:
        return gold.cast(pl.Int64, strict=False)
    names = VERDICTS if task.name == "verification" else ("false", "true")
    text = gold.cast(pl.String).str.strip_chars().str.to_lowercase()
    places = {name: place for place, name in enumerate(names)}
    return text.replace_strict(places, default=None, return_dtype=pl.Int64)


def class_of(task: Task) -> pl.Expr:
    """The class of what was said: the place of a side, a rating less 1, or the number itself."""
    said = pl.col("said")
    if task.name in {"preference", "ranking"}:
        return said.sign().cast(pl.Int64) + 1
    if task.name == "rating":
        return said.round().cast(pl.Int64) - 1
    return said.cast(pl.Int64)


def _by_votes(task: Task, method: str, tie_up_to: float) -> pl.Expr:
    mean = pl.col("said").mean().over("unit")
    if task.name in {"preference", "ranking"} and method == "mean":
        sign = pl.when(mean.abs() > tie_up_to + 1e-9).then(mean.sign()).otherwise(0.0)
        return sign.cast(pl.Int64) + 1
    # The classes that come most often: several where votes are split evenly.
    first = pl.col("_class").filter("_is_most")
    if task.name in {"preference", "ranking"}:
        is_one = (first.min() == first.max()).over("unit")
        sign = pl.when(mean.abs() > 1e-9).then(mean.sign()).otherwise(0.0).cast(pl.Int64) + 1
        return pl.when(is_one).then(first.min().over("unit")).otherwise(sign)
    if task.name == "rating":
        return first.median().round().cast(pl.Int64).over("unit")
    return first.min().over("unit")


def _value(task: Task, method: str) -> pl.Expr:
    mean = pl.col("said").mean().over("unit")
    if task.name == "rating":
        return pl.col("_verdict").cast(pl.Float64) + 1 if method != "mean" else mean
    if task.name not in {"preference", "ranking"}:
        return pl.col("_verdict").cast(pl.Float64)
    same = pl.col("said").filter("_agrees").mean().over("unit")
    sign = pl.col("_verdict").cast(pl.Float64) - 1
    # Dawid-Skene may find what nobody said: such a verdict is as weak as can be.
    grade = mean if method == "mean" else same.fill_null(sign)
    return pl.when(sign == 0).then(0.0).otherwise(grade)


def _by_dawid_skene(
    told: pl.DataFrame, task: Task, n_classes: int, smoothing: float
) -> tuple[pl.DataFrame, dict[str, Any]]:
    units_N = told["unit"].rle_id().to_numpy().astype(np.int64)
    people = told["annotator"].unique().sort()
    numbers = pl.DataFrame({"annotator": people, "_a": np.arange(len(people))})
    who = told.select("annotator").join(numbers, on="annotator", how="left", maintain_order="left")
    who_N, said_N = who["_a"].to_numpy().astype(np.int64), told["_class"].to_numpy()
    known_U, n_units = _known(told, task, units_N), int(units_N.max()) + 1
    if task.is_mirrored:
        # Every unit once more with its answers exchanged, so that neither side is likelier
        # beforehand: which answer is called a is whoever's choice who made the pairs.
        units_N = np.concatenate([units_N, units_N + n_units])
        who_N, said_N = np.tile(who_N, 2), np.concatenate([said_N, 2 - said_N])
        if known_U is not None:
            known_U = np.concatenate([known_U, np.where(known_U < 0, -1, 2 - known_U)])
    found = dawid_skene(
        units_N, who_N, said_N, n_classes=n_classes, smoothing=smoothing, known_U=known_U
    )
    units_N = units_N[: told.height]
    # Chances are rounded: their last bits depend on the processor, and a verdict must not.
    posterior_UC = found.posterior_UC[:n_units].round(6)
    verdict_U = posterior_UC.argmax(axis=1)
    if task.is_mirrored:  # a and b alike: nobody can tell, and neither side is the first
        verdict_U[(verdict_U == 0) & (posterior_UC[:, 0] == posterior_UC[:, 2])] = 1
    told = told.with_columns(
        _verdict=pl.Series(verdict_U[units_N], dtype=pl.Int64),
        _sure=pl.Series(posterior_UC.max(axis=1)[units_N], dtype=pl.Float64),
    )
    skill = {name: round(float(s), 3) for name, s in zip(people, found.skill(), strict=True)}
    return told, {"skill": skill, "iterations": found.iterations}


def _known(told: pl.DataFrame, task: Task, units_N: NDArray[np.int64]) -> NDArray[np.int64] | None:
    if "gold" not in told.columns or task.name == "ranking":
        return None
    gold = told.select(class_of_gold(task, told.schema["gold"]).fill_null(-1)).to_series()
    known_U = np.full(int(units_N.max()) + 1, -1, dtype=np.int64)
    known_U[units_N] = gold.to_numpy()
    return known_U
