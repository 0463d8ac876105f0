"""`evaluate.perplexity`: how well a model predicts ordinary text, token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.step import step
from databuild.recipe.options import Column, ModelRef, StepConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class PerplexityConfig(StepConfig):
    """Which text, read by which model."""

    model: ModelRef
    column: Column = "text"


@step(
    "evaluate.perplexity", kind="measure", sees="table", version=1, adds=("nll_sum", "nll_tokens")
)
def measure_perplexity(
    rows: pl.DataFrame,
    config: PerplexityConfig,
    *,
    reader: Callable[[Sequence[str]], list[dict[str, Any]]],
) -> pl.DataFrame:
    """Read each text with the model and add up the negative log-likelihood of its tokens.

    Args:
        rows: Texts in `config.column`.
        config: See `PerplexityConfig`.
        reader: Reads texts with the model; per text `nll_sum` (nats) and `n_tokens`, or `error`.

    Returns:
        `nll_sum` and `nll_tokens` per row; both null, with an error, where a text cannot be read.
    """
    if rows.is_empty():
        return rows.select("row_id", nll_sum=pl.lit(0.0), nll_tokens=pl.lit(0, dtype=pl.Int64))
    read = reader(rows[config.column].fill_null("").to_list())
    columns = {
        "row_id": rows["row_id"],
        "nll_sum": pl.Series([one.get("nll_sum") for one in read], dtype=pl.Float64),
        "nll_tokens": pl.Series([one.get("n_tokens") for one in read], dtype=pl.Int64),
        "error": pl.Series([one.get("error") for one in read], dtype=pl.String),
    }
    return pl.DataFrame(columns)
