"""dedup.semantic: one row of every group of rows that mean nearly the same, by cosine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from databuild.dedup.apart import keep_apart, missed_ratio, unit_rows
from databuild.dedup.cells import Cells
from databuild.dedup.similar_rows import (
    facts_of,
    given_vectors,
    in_order,
    judged,
    units_of,
    verdicts,
)
from databuild.engine.step import Reported, step
from databuild.errors import StepError
from databuild.models.embedded_texts import embed_texts
from databuild.models.embedder import Embedded
from databuild.recipe.options import Column, Columns, FirstColumn, ModelRef, StepConfig

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.resources import Progress
    from databuild.models.embedder import Embedder


class SemanticConfig(StepConfig):
    """Options of `dedup.semantic`."""

    columns: Columns = Field(default=("prompt",), min_length=1)
    """The text column to compare. Several, such as prompt and response, are compared as one text,
    so that a short prompt does not make equals of different answers."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Of a
    conversation `prompt` is only the last user turn: where it is compared, the contents of all
    turns before the last answer are, as one text."""
    model: ModelRef | None = None
    """The embedding model: a static (model2vec) or sentence-transformers folder, `packaged:
    all-minilm-l6-v2` (English), or `packaged: hashed-ngrams`, which compares spelling."""
    embedding: Column | None = None
    """In place of `model`: a column of vectors (`measure.embedding`), so that another threshold
    embeds nothing again. Then `columns` are the texts that the report shows."""
    prefix: str | None = None
    """Put before every text, as some models ask for (`"query: "`); null (`~`) puts there what the
    model's own folder says."""
    threshold: float = Field(default=0.9, gt=0, le=1)
    """Cosine from which on two texts are duplicates. What it means depends on the model."""
    prefer: FirstColumn | None = None
    """Keep the row with the highest value of this column; without it, the smallest row_id."""
    exact_up_to: int = Field(default=100_000, ge=0)
    """Up to so many different texts each is compared with all that are kept. Beyond that an index
    (FAISS) proposes which, and a few duplicates are missed; their share is estimated and told."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.model is None) == (self.embedding is None):
            msg = "say where vectors come from: either a `model` or an `embedding` column"
            raise ValueError(msg)
        if self.embedding is not None and self.prefix is not None:
            msg = "`prefix` is for a `model`; the vectors of `embedding` are made already"
            raise ValueError(msg)
        return self


def _also(config: SemanticConfig) -> tuple[str, ...]:
    return (config.messages,) if config.messages and "prompt" in config.columns else ()


@step("dedup.semantic", kind="select", sees="table", version=1, also=_also)
def drop_similar(
    rows: pl.DataFrame,
    config: SemanticConfig,
    against: pl.DataFrame | None = None,
    *,
    embedder: Embedder | None,
    scratch: Path,
    progress: Progress,
) -> Reported:
    """Keep the best of every group of rows whose texts have nearly the same vector.

    Rows are visited best first; a row is dropped if a row kept before it has a cosine of at least
    `threshold`, computed in float64 from float32 vectors. So every dropped row has a kept row that
    is at least as good and verified; up to `exact_up_to` texts no two kept rows are similar.
    Neither the order of the rows nor their shards change the result. Equal texts are embedded once,
    and are duplicates whatever the threshold.

    Similar to nothing, and therefore kept, are: a text that is null or only white space, one of
    which the model reads no token, and one whose vector has a number that is not finite. The facts
    count them, and name the rows without a vector.

    Args:
        rows: n rows with `row_id`, the text columns, `config.prefer` and `config.embedding`.
        config: See `SemanticConfig`.
        against: Earlier data, with the same columns but `prefer`. All of it counts as kept before
            every row; it is not part of the result.
        embedder: The model that `model` names.
        scratch: Vectors lie here until the step is complete: a kill costs those of 256 texts.
        progress: Texts embedded, then vectors compared.

    Returns:
        n rows with `row_id`, `part`, `reason` ("same text", "similar", "similar to earlier
        data") and `evidence` (`{"kept": <row_id>, "cosine": <to it, 6
        decimals>, "stage": "exact", "near" or "earlier", "cluster": <row_id of the group's
        best>}`). A group is what one kept row stands for. Facts: `texts` (different ones compared),
        `max_tokens` (what the model reads of a text), `rows_cut` (rows with more than that),
        `rows_without_text`, `rows_without_vector` (and ten of their ids), `search` (`exact` or
        `cells`, and then `missed_ratio`: of all duplicates those that were missed, estimated
        from 512 kept rows that are compared with everything), `clusters`: the ten largest groups
        with size, the row that is kept, its text, the least cosine to it and that row's text.

    Raises:
        StepError: More texts than `exact_up_to`, and FAISS is not installed.
        SchemaError: The embeddings are no vectors of one length.

    Cost:
        The model's time for each different text; n * kept * d multiply-adds; 8 * n * d bytes.

    Example:
        >>> from databuild.engine.resources import Silence
        >>> vectors = [[1.0, 0.0], [0.98, 0.2], [0.0, 1.0]]
        >>> rows = pl.DataFrame({"row_id": list("abc"), "prompt": list("xyz"), "v": vectors})
        >>> config = SemanticConfig(embedding="v", threshold=0.95)
        >>> given = {"embedder": None, "scratch": None, "progress": Silence()}
        >>> found = drop_similar(rows, config, **given).table
        >>> found.drop_nulls().select("row_id", "evidence").rows()
        [('b', '{"kept":"a","cosine":0.979804,"stage":"near","cluster":"a"}')]
    """
    table = in_order(rows, against, config)
    units = units_of(table, config)
    read = _vectors(units, config, embedder, scratch, progress)
    vectors_ND, has_N = unit_rows(read.vectors_ND)
    if not has_N.all():
        vectors_ND = vectors_ND[has_N]
    n_earlier = int((units["is_earlier"].to_numpy() & has_N).sum())
    is_exact = len(vectors_ND) <= config.exact_up_to
    progress.total(len(vectors_ND) - n_earlier, "vectors compared")
    apart = keep_apart(
        vectors_ND,
        config.threshold,
        n_earlier=n_earlier,
        index=None if is_exact else Cells(vectors_ND),
        tick=progress.tick,
    )
    found = judged(table, units, has_N, apart)
    facts: dict[str, Any] = {"texts": units.height, "search": "exact" if is_exact else "cells"}
    if not is_exact:
        facts["missed_ratio"] = missed_ratio(vectors_ND, apart, config.threshold, n_earlier)
    cut = units.filter(pl.Series(read.is_cut_N, dtype=pl.Boolean)).select("unit")
    facts |= {"max_tokens": read.longest} if read.longest else {}
    facts |= {"rows_cut": found.join(cut, on="unit", how="semi").height} if config.model else {}
    return Reported(verdicts(found), facts | facts_of(found, config))


def _vectors(
    units: pl.DataFrame,
    config: SemanticConfig,
    embedder: Embedder | None,
    scratch: Path,
    progress: Progress,
) -> Embedded:
    """A vector for every unit."""
    if config.embedding is not None:
        vectors_ND = given_vectors(units["vector"], config.embedding)
        return Embedded(vectors_ND, np.zeros(units.height, dtype=np.bool_))
    if embedder is None:
        what = "the model was not opened"
        raise StepError("dedup.semantic", what, fix="give the step an embedder")
    return embed_texts(
        units["text"], embedder, prefix=config.prefix, scratch=scratch, progress=progress
    )
