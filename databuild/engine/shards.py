"""Run one shard of a step and commit it. These functions run in worker processes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from databuild.engine.batch import Batch, run_batch
from databuild.engine.store import Part, part_path, read_part, write_part
from databuild.schema.identity import digest_rows, row_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from databuild.engine.step import Step
    from databuild.engine.table import View
    from databuild.recipe.options import StepConfig

Hashes = NDArray[np.uint64]
STAGED = "staged"


@dataclass(frozen=True)
class Shard:
    """One shard of a step: what to run, on which part or split, and where the result goes."""

    step: Step
    config: StepConfig
    folder: Path
    index: int
    view: View | None = None
    split: Mapping[str, Any] | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    """Of a source, in a preview: how many rows to keep. Ids are hashes: a fair draw."""


def run_shard(shard: Shard) -> Part:
    """Read one part, run the step on it, commit the result."""
    assert shard.view is not None
    columns = None if shard.step.carries else shard.step.columns_read(shard.config)
    rows = shard.view.part(shard.index, columns)
    batch = run_batch(shard.step, shard.config, [rows], shard.resources)
    return commit(shard.folder, shard.index, shard.step, batch)


def stage_split(shard: Shard) -> tuple[Part, Hashes]:
    """Read one split of a source; put it aside until its duplicates elsewhere are known."""
    batch = run_batch(shard.step, shard.config, [], shard.resources, split=shard.split)
    if shard.limit is not None:
        rows = batch.rows.head(shard.limit)
        batch = replace(
            batch, rows=rows, counts=batch.counts.model_copy(update={"rows_out": rows.height})
        )
    part = commit(shard.folder, shard.index, shard.step, batch, into=STAGED)
    return part, content_hashes(batch.rows)


def settle_split(shard: Shard, part: Part, before: NDArray[np.int64]) -> Part:
    """Commit a staged split, given how often each row's content stood in earlier splits.

    `before` follows the rows of the staged part. Where all are 0 the staged file is committed as
    it is.
    """
    staged = part_path(shard.folder / STAGED, shard.index)
    if not before.any():
        staged.replace(part_path(shard.folder, shard.index))
        return part
    rows = pl.read_parquet(staged)
    # Equals are numbered in the order of the file, so that shard sizes do not show in the result.
    order = [c for c in shard.step.attributes if c in rows.columns]
    ordered = rows.with_columns(_before=pl.Series(before)).sort(order)
    within = ordered.select(pl.int_range(pl.len()).over("content_id")).to_series()
    ids = row_ids(ordered, within + ordered["_before"])
    renamed = ordered.drop("row_id").with_columns(ids)
    renamed = renamed.select(rows.columns).sort("row_id")
    own = set(rows.columns) - {"row_id", "key", *shard.step.attributes}
    digest = digest_rows(renamed, _digested(renamed, own))
    part = part.model_copy(update={"digest": f"{digest:032x}"})
    write_part(shard.folder, shard.index, renamed, part)
    staged.unlink()
    return part


def commit(folder: Path, index: int, step: Step, batch: Batch, into: str = "") -> Part:
    """Write a batch: what was dropped and failed first, the part last, since it says "done"."""
    for name, rows in (("dropped", batch.dropped), ("failed", batch.failed)):
        if rows.height:
            write_part(folder / name, index, rows)
        else:
            part_path(folder / name, index).unlink(missing_ok=True)
    part = describe(step, batch)
    write_part(folder / into, index, batch.rows, part)
    return part


def describe(step: Step, batch: Batch) -> Part:
    """The counts and digests of a batch."""
    rows = batch.rows
    digests = {
        str(name): f"{digest_rows(group, ['row_id']):032x}"
        for (name,), group in (rows.group_by("part") if step.kind == "select" else ())
    }
    return Part(
        counts=batch.counts,
        digest=f"{digest_rows(rows, _digested(rows, batch.content)):032x}",
        part_digests=digests,
    )


def _digested(rows: pl.DataFrame, content: Iterable[str]) -> list[str]:
    """The columns that a digest must read: those that `row_id` does not cover already."""
    return [c for c in rows.columns if c not in {"content_id", "parent_ids", *content}]


def content_hashes(rows: pl.DataFrame) -> Hashes:
    """The first 64 bits of each row's content id."""
    first = pl.col("content_id").str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64)
    return rows.select(first).to_series().to_numpy()


class Seen:
    """How often each content stood in earlier splits: 8 bytes a row, sorted runs that merge.

    64 bits are enough: a false match only gives a row another number among equals, which stays
    unique.
    """

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def count_and_add(self, hashes: Hashes) -> NDArray[np.int64]:
        """For each hash, how often it was added by earlier calls; then add them all."""
        before = np.zeros(len(hashes), dtype=np.int64)
        for run in self._runs:
            before += np.searchsorted(run, hashes, "right") - np.searchsorted(run, hashes, "left")
        merged = np.sort(hashes)
        while self._runs and len(self._runs[-1]) <= 2 * len(merged):
            merged = np.sort(np.concatenate([self._runs.pop(), merged]), kind="stable")
        self._runs.append(merged)
        return before


def committed(folder: Path, index: int) -> Part | None:
    """The part if it is committed and none of its failed rows is to be tried again."""
    part = read_part(folder, index)
    return part if part and not part.counts.retry else None
