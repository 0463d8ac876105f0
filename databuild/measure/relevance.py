"""measure.relevance: how near an answer is to its prompt in meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.engine.step import step
from databuild.models.embedded_texts import embed_texts
from databuild.recipe.options import Column, ModelRef, StepConfig

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from databuild.engine.resources import Progress
    from databuild.models.embedder import Embedder


class RelevanceConfig(StepConfig):
    """Options of `measure.relevance`."""

    model: ModelRef
    """The embedding model, as for `measure.embedding`; `packaged: all-minilm-l6-v2` is English.
    Of each text it reads as much as it was trained for (256 tokens)."""
    prompt: Column = "prompt"
    """The column with the task."""
    input: Column | None = None
    """The column with the material of the task, where it is a column of its own."""
    response: Column = "response"
    """The column with the answer; the new column begins with its name."""


@step(
    "measure.relevance",
    kind="measure",
    sees="row",
    version=1,
    adds=lambda config: (f"{config.response}_relevance",),
)
def measure_relevance(
    rows: pl.DataFrame,
    config: RelevanceConfig,
    *,
    embedder: Embedder,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Measure the cosine between the vectors of the prompt (with its input) and of the answer.

    From -1 to 1. Low values are answers about something else, but also rightly short ones (a
    number, a name): look at the lowest, then choose a bound. What it adds to the default checks on
    a set that people cleaned is in tests/bench/cleaning.json (`relevance`).

    Args:
        rows: n rows with `row_id` and the columns that the options name.
        config: See `RelevanceConfig`.
        embedder: The model that `model` names; equal texts are embedded once.
        scratch: Vectors lie here until the step is complete: a kill costs those of 256 texts.
        progress: Told of texts embedded.

    Returns:
        n rows with `row_id` and `<response>_relevance: f64`: null where prompt or answer is null or
        blank, and, with an error, where a vector is zero ("no token") or not finite.
    """
    parts = [config.prompt, *([config.input] if config.input else [])]
    shown = [pl.when(pl.col(name).str.contains(r"\S")).then(pl.col(name)) for name in parts]
    response = pl.col(config.response)
    texts = rows.select(
        asked=pl.when(shown[0].is_not_null()).then(
            pl.concat_str(shown, separator="\n", ignore_nulls=True)
        ),
        said=pl.when(response.str.contains(r"\S")).then(response),
    ).with_row_index("row")
    texts = texts.drop_nulls()
    name = f"{config.response}_relevance"
    found = rows.select("row_id").with_row_index("row")
    if texts.is_empty():
        return found.select("row_id", pl.lit(None, dtype=pl.Float64).alias(name))
    distinct = pl.concat([texts["asked"].rename("text"), texts["said"].rename("text")])
    distinct = distinct.unique().sort()
    found_ND = embed_texts(distinct, embedder, scratch=scratch, progress=progress).vectors_ND
    cosines = _cosines(texts, distinct, found_ND.astype(np.float64))
    return found.join(cosines, on="row", how="left", maintain_order="left").select(
        "row_id", pl.col("cosine").alias(name), "error"
    )


def _cosines(
    texts: pl.DataFrame, distinct: pl.Series, vectors_ND: NDArray[np.float64]
) -> pl.DataFrame:
    places = pl.DataFrame({"text": distinct}).with_row_index("place")
    sides = [
        texts.join(places, left_on=side, right_on="text", how="left", maintain_order="left")[
            "place"
        ]
        for side in ("asked", "said")
    ]
    finite_N: NDArray[np.bool_] = np.asarray(np.isfinite(vectors_ND).all(axis=1))
    clean_ND = np.where(finite_N[:, None], vectors_ND, 0.0)
    lengths_N = np.linalg.norm(clean_ND, axis=1)
    units_ND = clean_ND / np.where(lengths_N > 0, lengths_N, 1.0)[:, None]
    one, two = (side.to_numpy() for side in sides)
    cosines_N = np.clip((units_ND[one] * units_ND[two]).sum(axis=1), -1.0, 1.0)
    is_finite = pl.Series(finite_N[one] & finite_N[two])
    has_tokens = pl.Series((lengths_N[one] > 0) & (lengths_N[two] > 0))
    return pl.DataFrame(
        {"row": texts["row"], "value": cosines_N, "finite": is_finite, "tokens": has_tokens}
    ).select(
        "row",
        cosine=pl.when(pl.col("finite") & pl.col("tokens")).then("value"),
        error=pl.when(~pl.col("finite"))
        .then(pl.lit("the vector has a number that is not finite"))
        .when(~pl.col("tokens"))
        .then(pl.lit("no token")),
    )
