"""annotate.adjudicate: the records that need another look, beside those that are settled."""

from __future__ import annotations

import polars as pl
from pydantic import Field

from databuild.engine.step import step
from databuild.recipe.options import StepConfig

SETTLED, TIE, QUEUE = "settled", "tie", "adjudicate"


class AdjudicateConfig(StepConfig):
    """Options of `annotate.adjudicate`."""

    min_votes: int = Field(default=2, ge=1)
    """Records with fewer votes are not settled."""
    min_agreement: float = Field(default=0.6, ge=0, le=1)
    """Records of which a smaller share of votes says the same are not settled."""
    min_confidence: float | None = Field(default=None, ge=0, le=1)
    """Records whose verdict is less sure are not settled, such as 0.9 of Dawid-Skene's chance."""
    max_spread: float | None = Field(default=None, ge=0, le=8)
    """Records whose grades lie further apart are not settled, even where all agree on the side."""


@step(
    "annotate.adjudicate",
    kind="select",
    sees="row",
    version=1,
    reads=("n_votes", "agreement", "confidence"),
    also=("vote", "spread"),
    parts=(SETTLED, TIE, QUEUE),
)
def select_disputed(rows: pl.DataFrame, config: AdjudicateConfig) -> pl.DataFrame:
    """Put aggregated records into `settled`, `tie` and `adjudicate`.

    The queue `<step>.adjudicate` can be pushed again, to somebody who decides: their votes are
    further votes on the same records. A tie that people agree on is settled, and kept apart,
    because it is no preference. Nothing is dropped.

    Args:
        rows: What `annotate.aggregate` made.
        config: See `AdjudicateConfig`.

    Returns:
        n rows with `row_id`, `part`, and of the queue the `reason`, the first of: "only <n> votes",
        "agreement below <x>", "confidence below <x>", "grades further apart than <x>".

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["x", "y", "z"], "n_votes": [3, 2, 3], "agreement": [1.0, 0.5, 1.0],
        ...     "confidence": [1.0, 0.5, 1.0], "vote": ["a", "b", "tie"],
        ... })
        >>> select_disputed(rows, AdjudicateConfig())["part"].to_list()
        ['settled', 'adjudicate', 'tie']
    """
    few = pl.col("n_votes") < config.min_votes
    votes = pl.when(pl.col("n_votes") == 1).then(pl.lit("only 1 vote"))
    reason = pl.when(few.fill_null(value=True)).then(
        votes.otherwise(pl.format("only {} votes", pl.col("n_votes").fill_null(0)))
    )
    told = [reason, _below("agreement", config.min_agreement)]
    if config.min_confidence is not None:
        told.append(_below("confidence", config.min_confidence))
    if config.max_spread is not None and "spread" in rows.columns:
        apart = pl.lit(f"grades further apart than {config.max_spread:g}")
        told.append(pl.when(pl.col("spread") > config.max_spread).then(apart))
    is_tie = pl.col("vote") == "tie" if "vote" in rows.columns else pl.lit(value=False)
    part = (
        pl.when(pl.col("reason").is_not_null())
        .then(pl.lit(QUEUE))
        .when(is_tie.fill_null(value=False))
        .then(pl.lit(TIE))
        .otherwise(pl.lit(SETTLED))
    )
    rows = rows.with_columns(reason=pl.coalesce(*told))
    return rows.select("row_id", part.alias("part"), "reason")


def _below(name: str, least: float) -> pl.Expr:
    is_less = (pl.col(name) < least - 1e-9).fill_null(value=True)
    return pl.when(is_less).then(pl.lit(f"{name} below {least:g}"))
