"""measure.difficulty: how little a prompt helps a model to foresee the answer (IFD)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.step import step
from databuild.recipe.options import Column, ModelRef, StepConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FACTS = ("nll", "given_nll", "ifd")


class DifficultyConfig(StepConfig):
    """Options of `measure.difficulty`."""

    model: ModelRef
    """Any local language model; a small one ranks rows much as a large one does (Li et al. 2024b,
    Superfiltering)."""
    prompt: Column = "prompt"
    """The column with what is asked."""
    response: Column = "response"
    """The column with the answer; the new columns begin with its name."""
    before: str = ""
    """What stands before the prompt when the model reads it, such as a chat's opening tokens."""
    after: str = "\n\n"
    """What stands between the prompt and the answer."""


@step(
    "measure.difficulty",
    kind="measure",
    sees="row",
    version=1,
    adds=lambda config: tuple(f"{config.response}_{fact}" for fact in _FACTS),
)
def measure_difficulty(
    rows: pl.DataFrame,
    config: DifficultyConfig,
    *,
    reader: Callable[[Sequence[str | tuple[str, str]]], list[dict[str, Any]]],
) -> pl.DataFrame:
    """Measure instruction-following difficulty: perplexity with the prompt over that without.

    IFD = exp(mean negative log-likelihood of the answer's tokens given the prompt - the same mean
    without the prompt), the ratio of the two perplexities (Li et al. 2024, "From Quantity to
    Quality"; as a ratio of perplexities in "Superfiltering", section 3). Near 0 the prompt says it
    all; near 1 it hardly helps; above 1 it misleads, often because prompt and answer do not belong
    together. Both means are over the same tokens: the first, for which there is no prediction
    without the prompt, is left out of both. Prompts are cut to their last 512 tokens, answers to
    their first 512.

    Args:
        rows: n rows with `row_id` and the two text columns.
        config: See `DifficultyConfig`.
        reader: Reads pairs of (what stands before, text) with the model; for each, `nll_sum` (nats)
            over `n_tokens`, or `error`.

    Returns:
        n rows with `row_id` and, with `<r>` for the answer's column: `<r>_nll` and `<r>_given_nll`
        (nats a token, 0 or more, without and with the prompt) and `<r>_ifd` (above 0). All three
        are null where the prompt or the answer is null or blank, and, with an error, where the
        answer cannot be read.
    """
    prompt, response = pl.col(config.prompt), pl.col(config.response)
    is_whole = prompt.str.contains(r"\S") & response.str.contains(r"\S")
    whole = rows.filter(is_whole).select(
        "row_id",
        context=pl.concat_str(pl.lit(config.before), prompt, pl.lit(config.after)),
        text=response,
    )
    given = [(str(context), str(text)) for context, text in whole.select("context", "text").rows()]
    alone = list(dict.fromkeys(text for _, text in given))
    read = reader([*given, *(("", text) for text in alone)]) if given else []
    by_text = dict(zip(alone, read[len(given) :], strict=True))
    pairs = [(by_text[text], one) for (_, text), one in zip(given, read, strict=False)]
    nll = pl.Series([_mean(without) for without, _ in pairs], dtype=pl.Float64)
    given_nll = pl.Series([_mean(with_it) for _, with_it in pairs], dtype=pl.Float64)
    errors = [with_it.get("error") or without.get("error") for without, with_it in pairs]
    measured = whole.select(
        "row_id",
        nll.alias(f"{config.response}_nll"),
        given_nll.alias(f"{config.response}_given_nll"),
        (given_nll - nll).exp().alias(f"{config.response}_ifd"),
        pl.Series("error", errors, dtype=pl.String),
    )
    return rows.select("row_id").join(measured, on="row_id", how="left", maintain_order="left")


def _mean(read: dict[str, Any]) -> float | None:
    nll, n_tokens = read.get("nll_sum"), read.get("n_tokens")
    return None if nll is None or not n_tokens else float(nll) / int(n_tokens)
