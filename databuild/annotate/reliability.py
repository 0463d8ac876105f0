"""How far people agree: of all, of each stratum, of each of them, in numbers.

- `alpha`: Krippendorff's, with a 95 % bootstrap interval over units (`databuild.annotate.alpha`).
  Of preferences it is mirrored: which answer is called a makes no difference.
- Of an annotator: `n_votes`; `with_others`, the share of (their vote, another's vote on the same
  unit) that are of one class (preferences: the same side; a tie is a side); `alpha_without`, the
  alpha of all others: where it is clearly above `alpha`, this person is at odds with everybody;
  `gold_n` and `gold_accuracy`; `seconds`, the median of a vote; `shown_first`, of votes that prefer
  one answer the share for the one shown first, with Wilson's 95 % interval: one without 0.5 in it
  speaks of position bias; `ties`, the share of ties; `strength`, the mean |grade|.
- A gold question is answered right by the expected class; a rating by at most one point beside it.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.annotate.alpha import Alpha, alpha
from databuild.annotate.opinions import TASKS
from databuild.annotate.verdicts import class_of, class_of_gold

if TYPE_CHECKING:
    from databuild.annotate.opinions import Task

_Z = 1.959964
RATED = ("accuracy", "relevance", "safety")


def agreement_of(
    told: pl.DataFrame, task: Task, *, by: tuple[str, ...], seed: int, resamples: int
) -> dict[str, Any]:
    """Everything that the page tells, as plain numbers.

    Args:
        told: What `opinions` returns.
        task: The task of the votes.
        by: Columns whose values alpha is told for.
        seed: Of the bootstrap.
        resamples: Bootstrap resamples.

    Returns:
        `n_votes`, `n_units`, `n_annotators`, `n_simulated`, `per_unit` (units by number of votes),
        `alpha`, `strata` (by column: value, votes, alpha), `guidelines` (likewise), `ratings`
        (alpha of each), `gold`, `shown_first`, and `annotators`.
    """
    told = with_gold_answers(told, task).with_columns(_class=class_of(task))
    sizes = told.group_by("unit").len().group_by(votes="len").len().sort("votes")
    simulated = told["simulated"].sum() if "simulated" in told.columns else 0
    found: dict[str, Any] = {
        "task": task.name,
        "scale": task.scale,
        "n_votes": told.height,
        "n_units": told["unit"].n_unique(),
        "n_annotators": told["annotator"].n_unique(),
        "n_simulated": int(simulated or 0),
        "per_unit": {str(votes): n for votes, n in sizes.iter_rows()},
        "alpha": _alpha(told, task, seed, resamples),
        "strata": {
            name: _each(told, name, task, seed, resamples) for name in by if name in told.columns
        },
        "guidelines": (
            _each(told, "guideline", task, seed, resamples) if "guideline" in told.columns else []
        ),
        "ratings": {
            name: _alpha(_rated(told, name), TASKS["rating"], seed, resamples)
            for name in RATED
            if name in told.columns and told[name].count()
        },
        "gold": _gold(told),
        "shown_first": _shown_first(told),
    }
    found["annotators"] = _annotators(told, task)
    return found


def _alpha(told: pl.DataFrame, task: Task, seed: int, resamples: int) -> dict[str, Any]:
    return asdict(alpha_of(told, task, seed=seed, resamples=resamples))


def alpha_of(told: pl.DataFrame, task: Task, *, seed: int = 0, resamples: int = 0) -> Alpha:
    """Krippendorff's alpha of opinions."""
    units = told["unit"].rank("dense").cast(pl.Int64).to_numpy()
    said = told["said"].to_numpy()
    is_mirrored = task.is_mirrored
    return alpha(units, said, task.scale, mirrored=is_mirrored, seed=seed, resamples=resamples)


def _each(
    told: pl.DataFrame, name: str, task: Task, seed: int, resamples: int
) -> list[dict[str, Any]]:
    """Alpha for each value of a column, those with most votes first."""
    named = told.with_columns(pl.col(name).cast(pl.String).fill_null("(none)"))
    counts = named.group_by(name).len().sort("len", name, descending=[True, False])
    return [
        {
            "value": value, "n_votes": n,
            "alpha": _alpha(named.filter(pl.col(name) == value), task, seed, resamples),
        }
        for value, n in counts.iter_rows()
    ]  # fmt: skip


def _rated(told: pl.DataFrame, name: str) -> pl.DataFrame:
    rated = told.with_columns(said=pl.col(name).cast(pl.Float64).fill_nan(None))
    return rated.filter(pl.col("said").is_not_null())


def with_gold_answers(told: pl.DataFrame, task: Task) -> pl.DataFrame:
    """Add `_right`: whether a gold question was answered rightly; null where it is none."""
    if "gold" not in told.columns or task.name == "ranking":
        return told.with_columns(_right=pl.lit(None, dtype=pl.Boolean))
    expected = class_of_gold(task, told.schema["gold"])
    if task.name == "rating":
        return told.with_columns(_right=(class_of(task) - expected).abs() <= 1)
    return told.with_columns(_right=class_of(task) == expected)


def _gold(told: pl.DataFrame) -> dict[str, Any]:
    return {"n": int(told["_right"].count()), "accuracy": _mean(told["_right"])}


def _shown_first(told: pl.DataFrame) -> dict[str, Any] | None:
    """The share of preferences for the answer that was shown first."""
    if "shown_first" not in told.columns or not told["shown_first"].count():
        return None
    decided = told.filter((pl.col("said") != 0) & pl.col("shown_first").is_in(["a", "b"]))
    took = (decided["said"] > 0) == (decided["shown_first"] == "a")
    return share_with_interval(int(took.sum()), decided.height)


def share_with_interval(hits: int, n: int) -> dict[str, Any]:
    """A share with Wilson's 95 % interval (Wilson 1927).

    Example:
        >>> told = share_with_interval(8, 10)
        >>> told["share"], round(told["low"], 3), round(told["high"], 3)
        (0.8, 0.49, 0.943)
    """
    if not n:
        return {"n": 0, "share": None, "low": None, "high": None}
    share = hits / n
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return {"n": n, "share": share, "low": max(middle - half, 0.0), "high": min(middle + half, 1.0)}


def _mean(values: pl.Series) -> float | None:
    mean = values.cast(pl.Float64).mean()
    return None if mean is None else float(mean)  # type: ignore[arg-type]


def _annotators(told: pl.DataFrame, task: Task) -> list[dict[str, Any]]:
    """One line for each annotator, by name."""
    same = _with_others(told)
    lines = []
    for (name,), own in told.sort("annotator").group_by("annotator", maintain_order=True):
        others = told.filter(pl.col("annotator") != name)
        pairs, agreeing = same.get(str(name), (0, 0))
        line: dict[str, Any] = {
            "annotator": name,
            "n_votes": own.height,
            "with_others": agreeing / pairs if pairs else None,
            "n_with_others": pairs,
            "alpha_without": _alpha(others, task, 0, 0)["value"],
            "gold_n": int(own["_right"].count()),
            "gold_accuracy": _mean(own["_right"]),
            "seconds": _median(own, "seconds"),
            "shown_first": _shown_first(own),
            "is_simulated": bool("simulated" in own.columns and own["simulated"].any()),
        }
        if task.name in {"preference", "ranking"}:
            line["ties"] = _mean(own["said"] == 0)
            line["strength"] = _mean(own["said"].abs())
        lines.append(line)
    return lines


def _median(own: pl.DataFrame, name: str) -> float | None:
    if name not in own.columns:
        return None
    value = own[name].cast(pl.Float64).fill_nan(None).median()
    return None if value is None else float(value)  # type: ignore[arg-type]


def _with_others(told: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """Of each annotator: pairs with another's vote on the same unit, and how many agree."""
    many = pl.len().over("unit") - 1
    same = pl.len().over("unit", "_class") - 1
    counted = told.select("annotator", many=many.cast(pl.Int64), same=same.cast(pl.Int64))
    sums = counted.group_by("annotator").agg(pl.col("many").sum(), pl.col("same").sum())
    return {str(name): (many, same) for name, many, same in sums.iter_rows()}
