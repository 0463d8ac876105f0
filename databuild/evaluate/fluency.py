"""`evaluate.fluency`: what training cost on ordinary text, as perplexity of two models on it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from databuild.engine.step import step
from databuild.recipe.options import StepConfig

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


class FluencyConfig(StepConfig):
    """There is nothing to choose."""


@step("evaluate.fluency", kind="deliver", sees="table", version=1, reads=("nll_sum", "nll_tokens"))
def compare_fluency(
    rows: pl.DataFrame, config: FluencyConfig, base: pl.DataFrame, *, out: Path
) -> dict[str, Any]:
    """Compare two readings of the same texts, as `evaluate.perplexity` measures them.

    Args:
        rows: The model's `nll_sum` and `nll_tokens` per text.
        config: See `FluencyConfig`.
        base: Those of the model that it is compared with.
        out: Where `fluency.json` goes.

    Returns:
        Both perplexities and the number of tokens that each read.
    """
    del config
    facts = {
        "perplexity": {"model": perplexity(rows), "base": perplexity(base)},
        "tokens": {"model": int(rows["nll_tokens"].sum()), "base": int(base["nll_tokens"].sum())},
    }
    (out / "fluency.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return facts


def perplexity(texts: pl.DataFrame) -> float | None:
    """Exp of the mean negative log-likelihood per token over all texts; None when none was read."""
    read = texts.drop_nulls("nll_sum")
    tokens = int(read["nll_tokens"].sum())
    return round(math.exp(float(read["nll_sum"].sum()) / tokens), 4) if tokens else None
