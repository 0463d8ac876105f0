"""A plugin with a source of numbered rows, as many as asked: for benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.step import Produced, step
from databuild.recipe.options import StepConfig

if TYPE_CHECKING:
    from pathlib import Path

FILLER = "The same filler follows in every row, so that a row has a length like real ones. " * 2


class RowsConfig(StepConfig):
    n: int
    """How many rows."""
    shard_rows: int = 65_536


def plan_ranges(
    config: RowsConfig, files: tuple[Path, ...], shard_bytes: int
) -> list[dict[str, Any]]:
    del files, shard_bytes
    starts = range(0, config.n, config.shard_rows)
    return [{"start": start, "end": min(start + config.shard_rows, config.n)} for start in starts]


@step(
    "synthetic.rows", kind="produce", sees="source", version=1, adds=None,
    attributes=("source_record",), splits=plan_ranges,
    peeks=lambda _config, _files: ("text", "topic", "source_record"),
)  # fmt: skip
def make_rows(split: dict[str, Any], config: RowsConfig) -> Produced:
    """Rows of about 200 characters; every 50th stands twice."""
    del config
    number = pl.int_range(split["start"], split["end"], eager=True).alias("source_record")
    content = number - (number % 50 == 0).cast(pl.Int64)
    rows = pl.DataFrame({"source_record": number, "content": content}).select(
        "source_record",
        text=pl.format(
            "Row number {} says something about topic {}. ", "content", pl.col("content") % 97
        )
        + pl.lit(FILLER),
        topic=(pl.col("content") % 97).cast(pl.String),
        parent_ids=pl.lit([], dtype=pl.List(pl.String)),
    )
    return Produced(rows)
