"""annotate.pairs: graded preference pairs from what people said together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import Field

from databuild.engine.step import Produced, step
from databuild.recipe.options import StepConfig
from databuild.schema.rows import STRENGTHS

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 4.0
_TALK = ("messages", "tools")
_ATTRIBUTES = ("margin", "strength", "weight", "agreement", "chosen_origin")
_ADDS = ("prompt", "chosen", "rejected", "relation", *_ATTRIBUTES)
_COLUMNS = ("_first", "_second", "_grade", "relation", "chosen_origin")


class PairsConfig(StepConfig):
    """Options of `annotate.pairs`."""

    edits: bool = True
    """Make the pairs that a rewrite gives: edited > chosen and edited > rejected."""
    edit_grade: float = Field(default=2.0, gt=0, le=4)
    """How much better than the chosen answer its rewrite is taken to be, as a grade (1 marginally,
    2 slightly, 3 better, 4 significantly); it comes on top of the grade over the rejected one."""
    ties: Literal["drop", "keep"] = "drop"
    """`keep` makes rows of ties, too, with `relation` "tie", no strength, and weight and margin 0:
    for trainers that know ties. `train.dpo` and `train.reward` with `weight: weight` skip them."""
    min_grade: float = Field(default=0.0, ge=0, le=4)
    """Preferences weaker than this grade make no pair of chosen and rejected."""


@step(
    "annotate.pairs",
    kind="produce",
    sees="table",
    version=1,
    reads=("prompt", "response_a", "response_b", "vote", "grade", "agreement"),
    also=("messages", "tools", "edited", "model_a", "model_b"),
    adds=_ADDS,
    attributes=_ATTRIBUTES,
)
def make_voted_pairs(rows: pl.DataFrame, config: PairsConfig) -> Produced:
    """Make chosen > rejected of every preference, and with a rewrite edited > chosen > rejected.

    A grade g gives `margin` and `weight` |g| / 4 and the `strength` of the nearest whole grade (see
    `annotate.aggregate`). The edited answer over the rejected one has the grade
    min(4, |g| + `edit_grade`), over the chosen one `edit_grade`. Of a tie, the rewrite is better
    than both answers by `edit_grade`. A rewrite equal to the answer that it would be better than
    makes no pair with it.

    Args:
        rows: What `annotate.aggregate` made of preferences or rankings.
        config: See `PairsConfig`.

    Returns:
        Pairs with `parent_ids` (the aggregated record), `prompt`, `chosen`, `rejected`, `relation`
        ("chosen > rejected", "edited > chosen", "edited > rejected", "tie"), `margin`, `strength`,
        `weight`, `agreement`, `chosen_origin` ("edited" or "sampled"), as `train.dpo` and
        `train.reward` take them. Where the input has them: `messages`, `tools`, and of each pair
        `edited`, `model_a`, `model_b` of its record. Records that make no pair are in `dropped`:
        "a tie", "both answers are equal", "no vote", "no prompt", "an answer is null", "weaker than
        grade <min_grade>". The facts count `pairs` by relation and `ties`.

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["r"], "prompt": ["p"], "response_a": ["x"], "response_b": ["y"],
        ...     "vote": ["b"], "grade": [-3.0], "agreement": [1.0], "edited": ["y, better"],
        ... })
        >>> made = make_voted_pairs(rows, PairsConfig())
        >>> made.rows.select("chosen", "rejected", "strength", "weight").rows()
        [('y', 'x', 'better', 0.75), ('y, better', 'y', 'slightly better', 0.5), \
('y, better', 'x', 'significantly better', 1.0)]
    """
    told = _told(rows, config)
    pairs = pl.concat([told.filter(keep).with_columns(**new) for keep, new in _kinds(config)])
    # Two answers that are equal are no pair; what is said of them is told below.
    pairs = pairs.filter(pl.col("_first") != pl.col("_second"))
    grade = pl.col("_grade")
    names = {float(4 - n): name for n, name in enumerate(STRENGTHS)}
    place = (grade + 0.5).floor().clip(1, 4)
    strength = place.replace_strict(names, default=None, return_dtype=pl.String)
    made = pairs.with_columns(
        parent_ids=pl.concat_list("row_id"), chosen="_first", rejected="_second",
        margin=grade / _MOST, weight=grade / _MOST,
        strength=pl.when(pl.col("relation") != "tie").then(strength),
        agreement=pl.col("agreement").cast(pl.Float64),
    )  # fmt: skip
    optional = ("messages", "tools", "edited", "model_a", "model_b")
    present = [name for name in optional if name in rows.columns]
    without = told.join(made.select("row_id").unique(), on="row_id", how="anti")
    counts = made.group_by("relation").len().sort("relation")
    return Produced(
        rows=made.select("parent_ids", *_ADDS, *present),
        dropped=without.select("row_id", reason=_reason(config)),
        facts={
            "pairs": dict(counts.iter_rows()),
            "ties": told.filter(pl.col("vote") == "tie").height,
        },
    )


def _told(rows: pl.DataFrame, config: PairsConfig) -> pl.DataFrame:
    """Which answer is better, by how much, and the rewrite, if there is one."""
    is_a, is_b = pl.col("vote") == "a", pl.col("vote") == "b"
    better = pl.when(is_a).then("response_a").when(is_b).then("response_b")
    worse = pl.when(is_a).then("response_b").when(is_b).then("response_a")
    grade = pl.col("grade").cast(pl.Float64).fill_nan(None).abs().fill_null(1.0).clip(0, _MOST)
    edited = pl.lit(None, dtype=pl.String)
    if config.edits and "edited" in rows.columns:
        text = pl.col("edited").cast(pl.String)
        edited = pl.when(text.str.strip_chars() != "").then(text)
    able = pl.all_horizontal(pl.col("prompt", "response_a", "response_b").is_not_null())
    return rows.with_columns(
        _able=able, _better=better, _worse=worse, _strong=grade, _edited=edited,
        _is_tie=(pl.col("vote") == "tie").fill_null(value=False),
    )  # fmt: skip


def _kinds(config: PairsConfig) -> Iterator[tuple[pl.Expr, dict[str, pl.Expr]]]:
    """Which records make a pair of each relation, and its two texts and grade."""
    able, is_tie = pl.col("_able"), pl.col("_is_tie")
    is_strong = pl.col("_strong") >= config.min_grade - 1e-9
    decided = able & pl.col("_better").is_not_null() & is_strong
    edit = pl.lit(config.edit_grade)
    over = (pl.col("_strong") + config.edit_grade).clip(0, _MOST)
    has_edit = able & pl.col("_edited").is_not_null()
    yield decided, _pair("_better", "_worse", pl.col("_strong"), "chosen > rejected", "sampled")
    chosen = has_edit & pl.col("_better").is_not_null()
    yield chosen, _pair("_edited", "_better", edit, "edited > chosen", "edited")
    yield chosen, _pair("_edited", "_worse", over, "edited > rejected", "edited")
    for side in ("response_a", "response_b"):
        yield has_edit & is_tie, _pair("_edited", side, edit, "edited > chosen", "edited")
    # Always there, so that an empty table has the same columns.
    ties = able & is_tie & pl.lit(config.ties == "keep")
    yield ties, _pair("response_a", "response_b", pl.lit(0.0), "tie", "sampled")


def _pair(
    first: str, second: str, grade: pl.Expr, relation: str, origin: str
) -> dict[str, pl.Expr]:
    values = (pl.col(first), pl.col(second), grade, pl.lit(relation), pl.lit(origin))
    return dict(zip(_COLUMNS, values, strict=True))


def _reason(config: PairsConfig) -> pl.Expr:
    return (
        pl.when(pl.col("prompt").is_null())
        .then(pl.lit("no prompt"))
        .when(~pl.col("_able"))
        .then(pl.lit("an answer is null"))
        .when(pl.col("response_a") == pl.col("response_b"))
        .then(pl.lit("both answers are equal"))
        .when("_is_tie")
        .then(pl.lit("a tie"))
        .when(pl.col("_better").is_null())
        .then(pl.lit("no vote"))
        .otherwise(pl.lit(f"weaker than grade {config.min_grade:g}"))
    )
