"""measure.embedding: a text as a vector, for steps that compare texts by what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from databuild.engine.step import step
from databuild.models.embedded_texts import embed_texts
from databuild.recipe.options import Column, ModelRef, StepConfig

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.resources import Progress
    from databuild.models.embedder import Embedder


class EmbeddingConfig(StepConfig):
    """Options of `measure.embedding`."""

    model: ModelRef
    """The embedding model: a static (model2vec) or sentence-transformers folder, `packaged:
    all-minilm-l6-v2`, or `packaged: hashed-ngrams`, which compares spelling, not meaning."""
    column: Column = "prompt"
    """The text column; the new column begins with its name."""
    prefix: str | None = None
    """Put before every text, as some models ask for (`"query: "`); null (`~`) puts there what the
    model's own folder says."""


@step(
    "measure.embedding",
    kind="measure",
    sees="row",
    version=2,
    adds=lambda config: (f"{config.column}_embedding",),
)
def measure_embedding(
    rows: pl.DataFrame,
    config: EmbeddingConfig,
    *,
    embedder: Embedder,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Embed each text with the model; equal texts are embedded once.

    Args:
        rows: n rows with `row_id` and `config.column`.
        config: See `EmbeddingConfig`.
        embedder: The model that `model` names.
        scratch: Vectors lie here until the step is complete: a kill costs those of 256 texts.
        progress: Told of texts embedded.

    Returns:
        n rows with `row_id` and `<column>_embedding: list[f32]`. A text that is null or nothing but
        white space has a null; so has one without a token, with the error "no token"; a vector with
        a number that is not finite is a null with an error.
    """
    text = pl.col(config.column)
    wanted = rows.select(text=pl.when(text.str.contains(r"\S")).then(text)).to_series()
    texts = wanted.drop_nulls().unique().sort()
    name, kind = f"{config.column}_embedding", pl.List(pl.Float32)
    if texts.is_empty():
        return rows.select("row_id", pl.lit(None, dtype=kind).alias(name))
    vectors_ND = embed_texts(
        texts, embedder, prefix=config.prefix, scratch=scratch, progress=progress
    ).vectors_ND
    vectors = pl.Series("vector", vectors_ND, dtype=pl.Array(pl.Float32, vectors_ND.shape[1]))
    known = pl.DataFrame({"text": texts, "vector": vectors.cast(kind)}).with_columns(
        error=pl.when(~pl.col("vector").list.eval(pl.element().is_finite()).list.all())
        .then(pl.lit("the vector has a number that is not finite"))
        .when(pl.col("vector").list.eval(pl.element() == 0).list.all())
        .then(pl.lit("no token"))
    )
    found = pl.DataFrame({"row_id": rows["row_id"], "text": wanted}).join(
        known, on="text", how="left", maintain_order="left"
    )
    vector = pl.when(pl.col("error").is_null()).then("vector")
    return found.select("row_id", vector.alias(name), "error")
