"""A source of numbered texts and a few steps on them: small enough to reason about every row."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.step import Produced, step
from databuild.recipe.options import Column, Paths, StepConfig

if TYPE_CHECKING:
    from collections.abc import Iterator


class LinesConfig(StepConfig):
    path: Paths


def split_lines(
    config: LinesConfig, files: tuple[Path, ...], shard_bytes: int
) -> list[dict[str, Any]]:
    """One split per `shard_bytes` lines, so that tests set the number of shards."""
    del config
    splits = []
    for file in files:
        n_lines = len(file.read_text().splitlines())
        starts = range(0, max(n_lines, 1), shard_bytes)
        splits += [
            {"file": str(file), "start": start, "end": start + shard_bytes} for start in starts
        ]
    return splits


@step(
    "toy.lines", kind="produce", sees="source", version=1, adds=None,
    attributes=("source_file", "source_record"), splits=split_lines,
    peeks=lambda _config, _files: ("text", "source_file", "source_record"),
)  # fmt: skip
def read_lines(split: dict[str, Any], config: LinesConfig) -> Produced:
    del config
    lines = Path(split["file"]).read_text().splitlines()[split["start"] : split["end"]]
    numbered = list(enumerate(lines, split["start"]))
    good = [(n, line) for n, line in numbered if not line.startswith("!")]
    bad = [(n, line) for n, line in numbered if line.startswith("!")]
    rows = {
        "parent_ids": [[] for _ in good],
        "text": [line for _, line in good],
        "source_file": [Path(split["file"]).name for _ in good],
        "source_record": [n for n, _ in good],
    }
    schema = {
        "parent_ids": pl.List(pl.String), "text": pl.String, "source_file": pl.String,
        "source_record": pl.Int64,
    }  # fmt: skip
    failed = {"error": ["broken line" for _ in bad], "source_record": [n for n, _ in bad]}
    failed_schema = {"error": pl.String, "source_record": pl.Int64}
    return Produced(
        pl.DataFrame(rows, schema=schema),
        failed=pl.DataFrame(failed, schema=failed_schema).with_columns(
            parent_ids=pl.lit([], dtype=pl.List(pl.String))
        ),
    )


class ChunksConfig(LinesConfig):
    lines: int = 3
    """How many lines make a piece."""


@step(
    "toy.chunks", kind="produce", sees="source", version=1, adds=None,
    attributes=("source_file", "source_record"), splits=split_lines,
    peeks=lambda _config, _files: ("text", "source_file", "source_record"),
)  # fmt: skip
def read_chunks(split: dict[str, Any], config: ChunksConfig) -> Iterator[Produced]:
    """The same rows as `toy.lines`, in pieces; as when the environment says, it breaks before one."""
    n_lines = len(Path(split["file"]).read_text().splitlines())
    plain = LinesConfig(path=config.path)
    for start in range(split["start"], min(split["end"], n_lines), config.lines):
        if int(os.environ.get("TOY_BREAKS_AT", "-1")) in range(start, start + config.lines):
            os._exit(9)
        end = min(start + config.lines, split["end"])
        made = read_lines({**split, "start": start, "end": end}, plain)
        yield Produced(made.rows, failed=made.failed, notes={"lines": end - start})


class LengthConfig(StepConfig):
    column: Column = "text"


@step("toy.length", kind="measure", sees="row", version=1, adds=("n_chars",))
def measure_length(rows: pl.DataFrame, config: LengthConfig) -> pl.DataFrame:
    return rows.select("row_id", n_chars=pl.col(config.column).str.len_chars())


class LongConfig(StepConfig):
    column: Column = "n_chars"
    least: int = 2


@step("toy.long", kind="select", sees="row", version=1)
def select_long(rows: pl.DataFrame, config: LongConfig) -> pl.DataFrame:
    is_long = pl.col(config.column) >= config.least
    part = pl.when(is_long).then(pl.lit("kept")).otherwise(pl.lit("dropped"))
    return rows.select("row_id", part=part, reason=pl.lit("too short"))


class HalvesConfig(StepConfig):
    pass


@step("toy.halves", kind="select", sees="table", version=1, parts=("low", "high"))
def select_halves(rows: pl.DataFrame, config: HalvesConfig) -> pl.DataFrame:
    del config
    ordered = rows.select("row_id").sort("row_id").with_row_index()
    part = pl.when(pl.col("index") < rows.height // 2).then(pl.lit("low")).otherwise(pl.lit("high"))
    return ordered.select("row_id", part=part)


class TwiceConfig(StepConfig):
    times: int = 2


@step(
    "toy.twice",
    kind="produce",
    sees="row",
    version=1,
    adds=("text", "copy"),
    attributes=("copy",),
    carries=True,
)
def make_copies(rows: pl.DataFrame, config: TwiceConfig) -> Produced:
    copies = [
        rows.select(
            parent_ids=pl.concat_list("row_id"),
            text=pl.col("text").str.to_uppercase(),
            copy=pl.lit(n),
        )
        for n in range(config.times)
    ]
    return Produced(pl.concat(copies))


class JoinConfig(StepConfig):
    pass


@step(
    "toy.join",
    kind="produce",
    sees="group",
    version=1,
    adds=("joined",),
    reads=("text", "n_chars"),
    group=("n_chars",),
)
def join_groups(rows: pl.DataFrame, config: JoinConfig) -> Produced:
    del config
    groups = rows.sort("row_id").group_by("n_chars", maintain_order=True)
    return Produced(
        groups.agg(parent_ids="row_id", joined=pl.col("text").sort().str.join("+")).drop("n_chars")
    )
