"""The rows of `dedup.semantic`: what is compared, in which order, and what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.engine.step import DROPPED
from databuild.errors import SchemaError
from databuild.text.conversations import with_context
from databuild.text.ranking import best_first
from databuild.text.whitespace import collapsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from databuild.dedup.apart import Apart
    from databuild.dedup.semantic import SemanticConfig

LARGEST, EXAMPLE_CHARS = 10, 80


def in_order(
    rows: pl.DataFrame, earlier: Mapping[str, pl.DataFrame], config: SemanticConfig
) -> pl.DataFrame:
    """All rows in the order in which they are visited: earlier ones by name, then the best first.

    Returns:
        `place`, `row_id`, `text`, `is_earlier`, and `vector` where the rows have vectors.
    """
    prefer = [config.prefer] if config.prefer else []
    before = [best_first(_texts(earlier[name], config), None) for name in sorted(earlier)]
    own = best_first(_texts(rows, config, prefer), config.prefer).drop(prefer)
    tables = [
        *(table.with_columns(is_earlier=pl.lit(value=True)) for table in before),
        own.with_columns(is_earlier=pl.lit(value=False)),
    ]
    return pl.concat(tables, how="vertical_relaxed").with_row_index("place")


def _texts(
    rows: pl.DataFrame, config: SemanticConfig, also: list[str] | None = None
) -> pl.DataFrame:
    """The text of each row: its columns as one, null where there is nothing to read."""
    talks = config.messages if "prompt" in config.column else None
    compared = [
        with_context(rows, c, talks if c == "prompt" else None).alias(f"text:{c}")
        for c in config.column
    ]
    text = pl.concat_str(compared, separator="\n\n", ignore_nulls=True)
    vector = [] if config.embedding is None else [pl.col(config.embedding).alias("vector")]
    return rows.select(
        "row_id", *(also or []), *vector, text=pl.when(text.str.contains(r"\S")).then(text)
    )


def units_of(table: pl.DataFrame, config: SemanticConfig) -> pl.DataFrame:
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


def given_vectors(column: pl.Series, name: str) -> NDArray[np.float32]:
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


def judged(
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
    near = pl.when(pl.col("stands") == pl.col("first")).then(pl.lit("exact"))
    return (
        found.with_columns(stands=pl.when(is_known).then("stands").otherwise("place"))
        .join(names, on="stands", how="left", maintain_order="left")
        .with_columns(
            is_dropped=(pl.col("stands") != pl.col("place")) & ~pl.col("is_earlier"),
            stage=pl.when("kept_earlier")
            .then(pl.lit("earlier"))
            .otherwise(near.otherwise(pl.lit("near"))),
        )
    )


_REASONS = {
    "exact": "duplicate",
    "near": "near duplicate",
    "earlier": "duplicate of an earlier row",
}


def verdicts(found: pl.DataFrame) -> pl.DataFrame:
    """The part of every row, and of those that are dropped the reason and the evidence."""
    told = pl.struct("kept", pl.col("cosine").round(6), "stage", cluster="kept")
    is_dropped = pl.col("is_dropped")
    return found.filter(~pl.col("is_earlier")).select(
        "row_id",
        part=pl.when(is_dropped).then(pl.lit(DROPPED)).otherwise(pl.lit("kept")),
        reason=pl.when(is_dropped).then(pl.col("stage").replace_strict(_REASONS)),
        evidence=pl.when(is_dropped).then(told.struct.json_encode()),
    )


def facts_of(found: pl.DataFrame, config: SemanticConfig) -> dict[str, Any]:
    """What the step reports besides: sums, the largest clusters, and what could not be compared."""
    own = found.filter(~pl.col("is_earlier"))
    gone = own.filter("is_dropped")
    count = {stage: int((gone["stage"] == stage).sum()) for stage in _REASONS}
    has_text = pl.col("text").is_not_null()
    given = pl.col("vector").is_not_null() if config.embedding else has_text
    without = own.filter(given & ~pl.col("has_vector").fill_null(value=False))
    without_vector = {"rows": without.height, "first": without["row_id"].sort().to_list()[:LARGEST]}
    told = [f"{n:,} {stage}" for stage, n in count.items() if n]
    told += [f"{without.height:,} rows without a vector"] if without.height else []
    return {
        "rows": own.height,
        **count,
        "rows_without_text": own.filter(~has_text).height,
        "rows_without_vector": without_vector,
        "largest_clusters": _largest(found, gone),
        "in_short": ", ".join(told),
    }


def _largest(found: pl.DataFrame, gone: pl.DataFrame) -> list[dict[str, Any]]:
    farthest = pl.col("text").sort_by("cosine", "place").first()
    clusters = (
        gone.group_by("stands", "kept")
        .agg(rows=pl.len() + 1, least_cosine=pl.col("cosine").min().round(6), farthest=farthest)
        .sort("rows", "stands", descending=[True, False])
        .head(LARGEST)
        .join(found.select("text", stands="place"), on="stands", how="left", maintain_order="left")
    )
    shown = [collapsed(pl.col(c)).str.head(EXAMPLE_CHARS).alias(c) for c in ("text", "farthest")]
    return clusters.select("rows", "kept", shown[0], "least_cosine", shown[1]).to_dicts()
