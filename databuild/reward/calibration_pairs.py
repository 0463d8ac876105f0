"""Which pairs people judged, and how each scorer judges them: the input of a calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.errors import SchemaError
from databuild.text.conversations import asked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_SIDES = {"a": 1.0, "b": -1.0, "tie": 0.0, "both_bad": 0.0}
MOST_ANSWERS = 32
"""Of a prompt with more graded answers, those of the smallest row ids are paired."""


@dataclass(frozen=True)
class Judged:
    """Pairs with what people and scorers say of them; N pairs in G groups."""

    labels_N: NDArray[np.float64]
    """1: people find a better; -1: b; 0: a tie."""
    margins_SN: Mapping[str, NDArray[np.float64]]
    """By scorer: above 0 where it finds a better; NaN where it has no score."""
    chars_N2: NDArray[np.float64]
    """The lengths of a and b in characters."""
    groups_N: NDArray[np.int64]
    """The group of each pair, from 0: pairs of one prompt, or each for itself."""
    group_ids: Sequence[str]
    strata: pl.DataFrame
    """A text for each pair and stratum column."""
    skipped: list[dict[str, str]]
    """Rows that are in no pair, with the reason."""

    @property
    def n_groups(self) -> int:
        """How many groups there are."""
        return len(self.group_ids)


def read_pairs(
    rows: pl.DataFrame,
    label: str | None,
    sides: tuple[str, str],
    scores: Mapping[str, tuple[str, ...]],
    by: Sequence[str],
) -> Judged:
    """Pairs from rows that are pairs.

    Args:
        rows: Pairs with `row_id`.
        label: The column that says which side people prefer; None: always the first.
        sides: The columns of the two answers.
        scores: By scorer the columns of both sides' scores, or one column that is above 0 where it
            finds the first better.
        by: The columns of strata.

    Raises:
        SchemaError: The label is neither text nor a number.
    """
    rows = rows.sort("row_id")
    told = rows.select("row_id", label=_label(rows, label), **_chars(sides))
    reason = (
        pl.when(pl.col("label").is_null())
        .then(pl.lit("no label"))
        .when(pl.col("chars_a").is_null() | pl.col("chars_b").is_null())
        .then(pl.lit("an answer is null"))
    )
    told = told.with_columns(reason=reason)
    rows = rows.filter(told["reason"].is_null())
    kept = told.filter(pl.col("reason").is_null())
    margins = {
        name: _number(rows, columns[0]) - (_number(rows, columns[1]) if len(columns) == 2 else 0.0)
        for name, columns in scores.items()
    }
    return Judged(
        kept["label"].to_numpy(), margins, kept.select("chars_a", "chars_b").to_numpy(),
        np.arange(kept.height), kept["row_id"].to_list(), _strata(rows, by),
        told.filter(pl.col("reason").is_not_null()).select("row_id", "reason").to_dicts(),
    )  # fmt: skip


def pair_answers(
    rows: pl.DataFrame,
    grade: str,
    response: str,
    groups: tuple[str, str | None],
    scores: Mapping[str, tuple[str, ...]],
    by: Sequence[str],
) -> Judged:
    """All pairs of graded answers to the same prompt; the one of the smaller row id is a.

    Args:
        rows: Answers with `row_id`.
        grade: The column of grades, a number or a truth value; equal grades are a tie.
        response: The column of answers.
        groups: The columns of prompts and of conversations.
        scores: By scorer the column of its scores.
        by: The columns of strata; those of a are taken.

    Raises:
        SchemaError: The grade is neither a number nor a truth value.
    """
    if not (rows.schema[grade].is_numeric() or rows.schema[grade] in {pl.Boolean, pl.Null}):
        what = f"the grade {grade!r} is {rows.schema[grade]}"
        raise SchemaError("reward.calibrate", what, fix="name a column of numbers, or use `label`")
    rows = rows.sort("row_id").with_columns(
        _grade=pl.col(grade).cast(pl.Float64).fill_nan(None),
        _group=asked(rows, *groups),
        _chars=pl.col(response).str.len_chars(),
    )
    able = pl.all_horizontal(pl.col("_grade", "_chars", "_group").is_not_null())
    place = pl.int_range(pl.len()).over("_group", able)
    alone = pl.len().over("_group", able) == 1
    reason = (
        pl.when(~able)
        .then(pl.lit("no grade, prompt or answer"))
        .when(alone)
        .then(pl.lit("the only graded answer to its prompt"))
        .when(place >= MOST_ANSWERS)
        .then(pl.lit(f"more than {MOST_ANSWERS} answers to its prompt"))
    )
    rows = rows.with_columns(_reason=reason)
    kept = rows.filter(pl.col("_reason").is_null()).with_row_index("_n")
    one = kept.select("_n", "_group")
    both = one.join(one, on="_group", suffix="_b").filter(pl.col("_n") < pl.col("_n_b"))
    both = both.sort("_n", "_n_b")
    a_N, b_N = both["_n"].to_numpy(), both["_n_b"].to_numpy()
    grades_K, chars_K = kept["_grade"].to_numpy(), kept["_chars"].to_numpy().astype(np.float64)
    margins = {}
    for name, columns in scores.items():
        scores_K = _number(kept, columns[0])
        margins[name] = scores_K[a_N] - scores_K[b_N]
    ids = kept.group_by("_group", maintain_order=True).agg(pl.col("row_id").first())
    numbered = both.join(ids.with_row_index("_g"), on="_group", how="left", maintain_order="left")
    return Judged(
        np.sign(grades_K[a_N] - grades_K[b_N]), margins,
        np.stack([chars_K[a_N], chars_K[b_N]], axis=1), numbered["_g"].to_numpy().astype(np.int64),
        ids["row_id"].to_list(), _strata(kept[a_N], by),
        rows.filter(pl.col("_reason").is_not_null())
        .select("row_id", reason="_reason").to_dicts(),
    )  # fmt: skip


def _label(rows: pl.DataFrame, label: str | None) -> pl.Expr:
    if label is None:
        return pl.lit(1.0)
    dtype = rows.schema[label]
    if dtype.is_numeric():
        value = pl.col(label).cast(pl.Float64).fill_nan(None)
        return value.sign()
    if dtype not in {pl.String, pl.Null}:
        what = f"the label {label!r} is {dtype}"
        raise SchemaError("reward.calibrate", what, fix="name a column of a, b, tie, or of numbers")
    text = pl.col(label).cast(pl.String).str.strip_chars().str.to_lowercase()
    return text.replace_strict(_SIDES, default=None, return_dtype=pl.Float64)


def _chars(sides: tuple[str, str]) -> dict[str, pl.Expr]:
    return {
        f"chars_{side}": pl.col(column).str.len_chars().cast(pl.Float64)
        for side, column in zip("ab", sides, strict=True)
    }


def _number(rows: pl.DataFrame, column: str) -> NDArray[np.float64]:
    """A score as a number, NaN where it is missing or not finite."""
    values = rows[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _strata(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    return rows.select(pl.col(name).cast(pl.String).fill_null("(none)") for name in by)
