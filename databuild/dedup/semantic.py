"""dedup.semantic: one row of every group of rows that mean nearly the same, by cosine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from databuild.dedup.apart import Apart, keep_apart, missed_ratio, unit_rows
from databuild.dedup.cells import Cells
from databuild.engine.step import DROPPED, Reported, step
from databuild.errors import SchemaError, StepError
from databuild.models.embedded_texts import embed_texts
from databuild.recipe.options import Column, Columns, FirstColumn, ModelRef, StepConfig
from databuild.text.conversations import with_context
from databuild.text.ranking import best_first

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from databuild.engine.resources import Progress
    from databuild.models.embedder import Embedder

_LARGEST, _SHOWN = 10, 120


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
        scratch: Vectors lie here until the step is complete: a kill costs those of 512 texts.
        progress: Texts embedded, then vectors compared.

    Returns:
        n rows with `row_id`, `part`, `reason` ("same text", "similar", "same text as earlier
        data", "similar to earlier data") and `evidence` (`{"kept": <row_id>, "cosine": <to it, 6
        decimals>, "stage": "text" or "cosine", "cluster": <row_id of the group's best>}`). A
        group is what one kept row stands for. Facts: `texts` (different ones compared),
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
        >>> import tempfile
        >>> from databuild.engine.resources import Silence
        >>> vectors = [[1.0, 0.0], [0.98, 0.2], [0.0, 1.0]]
        >>> rows = pl.DataFrame({"row_id": list("abc"), "prompt": list("xyz"), "v": vectors})
        >>> config = SemanticConfig(embedding="v", threshold=0.95)
        >>> given = {"embedder": None, "scratch": None, "progress": Silence()}
        >>> found = drop_similar(rows, config, **given).table
        >>> found.drop_nulls().select("row_id", "evidence").rows()
        [('b', '{"kept":"a","cosine":0.979804,"stage":"cosine","cluster":"a"}')]
    """
    table = _visited(rows, against, config)
    units = _units(table, config)
    vectors_ND, is_cut_N, longest = _vectors(units, config, embedder, scratch, progress)
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
    found = _found(table, units, has_N, apart)
    facts: dict[str, Any] = {"texts": units.height, "search": "exact" if is_exact else "cells"}
    if not is_exact:
        facts["missed_ratio"] = missed_ratio(vectors_ND, apart, config.threshold, n_earlier)
    cut = units.filter(pl.Series(is_cut_N, dtype=pl.Boolean)).select("unit")
    facts |= {"max_tokens": longest} if longest else {}
    facts |= {"rows_cut": found.join(cut, on="unit", how="semi").height} if config.model else {}
    return Reported(_verdicts(found), facts | _facts(found, config))


def _visited(
    rows: pl.DataFrame, against: pl.DataFrame | None, config: SemanticConfig
) -> pl.DataFrame:
    """All rows in the order in which they are visited: earlier data, then the best first."""
    prefer = [config.prefer] if config.prefer else []
    tables = [best_first(_texts(rows, config, prefer), config.prefer).drop(prefer)]
    if against is not None:
        tables.insert(0, best_first(_texts(against, config), None))
    is_earlier = [len(tables) == 2 and place == 0 for place in range(len(tables))]
    return pl.concat(
        [t.with_columns(is_earlier=pl.lit(b)) for t, b in zip(tables, is_earlier, strict=True)],
        how="vertical_relaxed",
    ).with_row_index("place")


def _texts(
    rows: pl.DataFrame, config: SemanticConfig, also: list[str] | None = None
) -> pl.DataFrame:
    """The text of each row: its columns as one, null where there is nothing to read."""
    talks = config.messages if _also(config) else None
    compared = [
        with_context(rows, c, talks if c == "prompt" else None).alias(f"text:{c}")
        for c in config.columns
    ]
    text = pl.concat_str(compared, separator="\n\n", ignore_nulls=True)
    vector = [] if config.embedding is None else [pl.col(config.embedding).alias("vector")]
    return rows.select(
        "row_id", *(also or []), *vector, text=pl.when(text.str.contains(r"\S")).then(text)
    )


def _units(table: pl.DataFrame, config: SemanticConfig) -> pl.DataFrame:
    """What is compared, once each, in the order of visits: different texts, or vectors of rows."""
    if config.embedding is not None:
        units = table.filter(pl.col("vector").is_not_null()).with_columns(same="place")
    else:
        units = (
            table.filter(pl.col("text").is_not_null())
            .with_columns(same=pl.col("place").first().over("text"))
            .filter(pl.col("same") == pl.col("place"))
        )
    return units.drop("same").with_row_index("unit")


def _vectors(
    units: pl.DataFrame,
    config: SemanticConfig,
    embedder: Embedder | None,
    scratch: Path,
    progress: Progress,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int | None]:
    """A vector for every unit, which texts were cut, and at how many tokens."""
    if config.embedding is not None:
        vectors_ND = _given_vectors(units["vector"], config.embedding)
        return vectors_ND, np.zeros(units.height, dtype=np.bool_), None
    if embedder is None:
        what = "the model was not opened"
        raise StepError("dedup.semantic", what, fix="give the step an embedder")
    found = embed_texts(
        units["text"], embedder, prefix=config.prefix, scratch=scratch, progress=progress
    )
    return found.vectors_ND, found.is_cut_N, embedder.longest


def _given_vectors(column: pl.Series, name: str) -> NDArray[np.float32]:
    """The vectors of a column as a matrix that may be written to; a null in one becomes NaN."""
    dtype = column.dtype
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    if inner is None or not (inner.is_numeric() or inner == pl.Null):
        what = f"the column {name!r} holds {dtype}, not vectors of numbers"
        raise SchemaError("dedup.semantic", what, fix="name a column that measure.embedding made")
    lists = column.cast(pl.List(pl.Float32))
    widths = lists.list.len().unique().sort()
    if len(widths) > 1:
        what = f"the vectors of {name!r} have the lengths {widths.to_list()[:3]}"
        raise SchemaError("dedup.semantic", what, fix="use vectors of one model")
    width = int(widths[0]) if len(widths) else 1
    flat = lists.explode(empty_as_null=False).fill_null(float("nan")).to_numpy()
    return flat.reshape(len(lists), width).copy()


def _found(
    table: pl.DataFrame, units: pl.DataFrame, has_N: NDArray[np.bool_], apart: Apart
) -> pl.DataFrame:
    """Every row with its unit, the row that stands for it, how near that is, and by what."""
    place = units["place"].to_numpy()
    stands_N, cosine_N = place.copy(), np.ones(len(place))
    known = np.flatnonzero(has_N)
    stands_N[known], cosine_N[known] = place[known][apart.kept_N], apart.cosine_N
    judged = units.select(
        "unit",
        first="place",
        has_vector=pl.Series(has_N, dtype=pl.Boolean),
        stands=pl.Series(stands_N, dtype=pl.UInt32),
        cosine=pl.Series(cosine_N, dtype=pl.Float64),
        text="text",
    )
    if "vector" in table.columns:
        found = table.join(
            judged.drop("text"), left_on="place", right_on="first", how="left", coalesce=False
        )
    else:
        found = table.join(judged, on="text", how="left", maintain_order="left")
    # Without a vector a text is like nothing, not even like itself.
    is_known = pl.col("has_vector").fill_null(value=False)
    names = table.select(stands="place", kept="row_id", kept_earlier="is_earlier")
    return (
        found.with_columns(
            stands=pl.when(is_known).then("stands").otherwise("place"),
            stage=pl.when(pl.col("stands") == pl.col("first"))
            .then(pl.lit("text")).otherwise(pl.lit("cosine")),
        )
        .join(names, on="stands", how="left", maintain_order="left")
        .with_columns(is_dropped=(pl.col("stands") != pl.col("place")) & ~pl.col("is_earlier"))
    )  # fmt: skip


def _verdicts(found: pl.DataFrame) -> pl.DataFrame:
    reason = (
        pl.when(pl.col("stage") == "text").then(pl.lit("same text")).otherwise(pl.lit("similar"))
    )
    other = pl.when(pl.col("stage") == "text").then(pl.lit("as")).otherwise(pl.lit("to"))
    earlier = pl.format("{} {} earlier data", reason, other)
    told = pl.struct("kept", pl.col("cosine").round(6), "stage", cluster="kept")
    return found.filter(~pl.col("is_earlier")).select(
        "row_id",
        part=pl.when("is_dropped").then(pl.lit(DROPPED)).otherwise(pl.lit("kept")),
        reason=pl.when("is_dropped").then(pl.when("kept_earlier").then(earlier).otherwise(reason)),
        evidence=pl.when("is_dropped").then(told.struct.json_encode()),
    )


def _facts(found: pl.DataFrame, config: SemanticConfig) -> dict[str, Any]:
    own = found.filter(~pl.col("is_earlier"))
    has_text = pl.col("text").is_not_null()
    given = pl.col("vector").is_not_null() if config.embedding else has_text
    without = own.filter(given & ~pl.col("has_vector").fill_null(value=False))
    shown = pl.col("text").str.slice(0, _SHOWN)
    farthest = pl.col("text").sort_by("cosine", "place").first().str.slice(0, _SHOWN)
    groups = (
        own.filter("is_dropped")
        .group_by("stands", "kept")
        .agg(dropped=pl.len(), least_cosine=pl.col("cosine").min().round(6), farthest=farthest)
        .sort("dropped", "stands", descending=[True, False])
        .head(_LARGEST)
        .join(found.select(stands="place", text=shown), on="stands", maintain_order="left")
    )
    return {
        "rows_without_text": own.filter(~has_text).height,
        "rows_without_vector": {
            "rows": without.height,
            "first": without["row_id"].sort().head(_LARGEST).to_list(),
        },
        "clusters": groups.select("kept", pl.col("dropped") + 1, "text", "least_cosine", "farthest")
        .rename({"dropped": "size"})
        .to_dicts(),
    }
