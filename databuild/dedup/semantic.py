"""dedup.semantic: one row of every group of rows that mean nearly the same, by cosine.

Its facts: `rows`, `exact`, `near`, `earlier` (rows by stage), `texts` (different ones, compared),
`max_tokens` (what the model reads of a text) and `rows_cut` (rows with more than that),
`rows_without_text`, `rows_without_vector` and the first ten of them, `search` (`exact`, or `cells`
and then `missed_ratio`: the share of all duplicates that were missed, estimated from 512 kept rows
that are compared with everything), and the ten `largest_clusters` with the row that is kept, its
text, the least cosine to it and that row's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from databuild.dedup.apart import Apart, keep_apart, missed_ratio, unit_rows
from databuild.dedup.similar_rows import (
    facts_of,
    given_vectors,
    in_order,
    judged,
    units_of,
    verdicts,
)
from databuild.engine.resources import Silence
from databuild.engine.step import Reported, step
from databuild.errors import StepError
from databuild.models.cells import Cells
from databuild.models.embedded_texts import embed_texts
from databuild.models.embedder import Embedded
from databuild.recipe.options import Column, Columns, FirstColumn, ModelRef, StepConfig

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from databuild.engine.resources import Progress
    from databuild.models.embedder import Embedder


class SemanticConfig(StepConfig):
    """Options of `dedup.semantic`."""

    column: Columns = Field(default=("prompt",), min_length=1)
    """The text column to compare. Several, such as prompt and response, are compared as one text,
    so that a short prompt does not make equals of different answers."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Of a
    conversation `prompt` is only the last user turn: where it is compared, the contents of all
    turns before the last answer are, as one text."""
    model: ModelRef | None = None
    """The embedding model: a static (model2vec) or sentence-transformers folder, `packaged:
    all-minilm-l6-v2` (English only: of Chinese it tells paraphrases from other sentences badly), or
    `packaged: hashed-ngrams`, which compares spelling."""
    embedding: Column | None = None
    """In place of `model`: a column of vectors (`measure.embedding`), so that another threshold
    embeds nothing again. Then `column` is the text that the report shows."""
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
    return (config.messages,) if config.messages and "prompt" in config.column else ()


@step("dedup.semantic", kind="select", sees="table", version=1, also=_also)
def drop_similar(
    rows: pl.DataFrame,
    config: SemanticConfig,
    *,
    embedder: Embedder | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
    **earlier: pl.DataFrame,
) -> Reported:
    """Keep the best of every group of rows whose texts have nearly the same vector.

    Rows are visited best first; a row is dropped if a row kept before it has a cosine of at least
    `threshold`, computed in float64 from float32 vectors. So every dropped row has a kept row that
    is at least as good and verified; up to `exact_up_to` texts no two kept rows are similar.
    Neither the order of the rows nor their shards change the result. With `model`, equal texts are
    embedded once, and are duplicates whatever the threshold.

    Similar to nothing, and so kept and counted, are a text that is null or only white space, one of
    which the model reads no token, and one whose vector is not finite. Further inputs (`from:
    {rows: new, before: old}`) are tables of earlier rows: all count as kept before every row.

    Args:
        rows: n rows with `row_id`, the text columns, `config.prefer` and `config.embedding`.
        config: See `SemanticConfig`.
        embedder: The model that `model` names.
        scratch: Vectors lie here until the step is complete: a kill costs those of 256 texts.
        progress: Told of texts embedded, then of vectors compared.
        earlier: Earlier tables with the same columns but `prefer`.

    Returns:
        n rows with `row_id`, `part`, `reason` ("duplicate": the same text, "near duplicate",
        "duplicate of an earlier row") and `evidence` (`{"kept": <row_id>, "cosine": <to it, 6
        decimals>, "stage": "exact"|"near"|"earlier", "cluster": <row_id>}`). A cluster is a kept
        row and those that it stands for, and is named after it. For the facts see the module.

    Raises:
        StepError: More texts than `exact_up_to`, and FAISS is not installed.
        SchemaError: The embeddings are no vectors of one length.

    Cost:
        The model's time for each different text; n * kept * d multiply-adds; 4 * n * d
        bytes, and 4 * kept * d more for the index. See tests/bench/semantic.json.

    Example:
        >>> vectors = [[1.0, 0.0], [0.98, 0.2], [0.0, 1.0]]
        >>> rows = pl.DataFrame({"row_id": list("abc"), "prompt": list("xyz"), "v": vectors})
        >>> config = SemanticConfig(embedding="v", threshold=0.95)
        >>> found = drop_similar(rows, config).table
        >>> found.drop_nulls().select("row_id", "evidence").rows()
        [('b', '{"kept":"a","cosine":0.979804,"stage":"near","cluster":"a"}')]
    """
    progress = progress or Silence()
    table = in_order(rows, earlier, config)
    units = units_of(table, config)
    read = _vectors(units, config, embedder, scratch, progress)
    apart, has_N, facts = _compare(read.vectors_ND, units, config, progress)
    found = judged(table, units, has_N, apart)
    if config.model is not None:
        facts |= {"max_tokens": read.longest, "rows_cut": _rows_cut(found, units, read)}
    return Reported(verdicts(found), {**facts_of(found, config), **facts})


def _rows_cut(found: pl.DataFrame, units: pl.DataFrame, read: Embedded) -> int:
    cut = units.filter(pl.Series(read.is_cut_N, dtype=pl.Boolean)).select("unit")
    return found.filter(~pl.col("is_earlier")).join(cut, on="unit", how="semi").height


def _compare(
    vectors_ND: NDArray[np.float32], units: pl.DataFrame, config: SemanticConfig, progress: Progress
) -> tuple[Apart, NDArray[np.bool_], dict[str, Any]]:
    """Keep the units that lie apart, of those that have a direction; say how it was done."""
    vectors_ND, has_N = unit_rows(vectors_ND)
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
    facts: dict[str, Any] = {"texts": units.height, "search": "exact" if is_exact else "cells"}
    if not is_exact:
        facts["missed_ratio"] = missed_ratio(vectors_ND, apart, config.threshold, n_earlier)
    return apart, has_N, facts


def _vectors(
    units: pl.DataFrame,
    config: SemanticConfig,
    embedder: Embedder | None,
    scratch: Path | None,
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
