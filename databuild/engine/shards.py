"""Run one shard of a step and commit it. These functions run in worker processes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from databuild.engine.batch import Batch, run_batch
from databuild.engine.store import Part, part_path, read_part, write_part
from databuild.schema.identity import digest_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import polars as pl

    from databuild.engine.step import Step
    from databuild.engine.table import View
    from databuild.recipe.options import StepConfig


@dataclass(frozen=True)
class Shard:
    """One shard of a step: what to run, on which part, and where the result goes."""

    step: Step
    config: StepConfig
    folder: Path
    index: int
    view: View
    resources: Mapping[str, Any] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    """Carried columns that are out of date; see `recipe.measured`."""


def run_shard(shard: Shard) -> Part:
    """Read one part, run the step on it, commit the result."""
    columns = None if shard.step.carries else shard.step.columns_taken(shard.config)
    rows = shard.view.part(shard.index, columns)
    batch = current(run_batch(shard.step, shard.config, [rows], shard.resources), shard.stale)
    return commit(shard.folder, shard.index, shard.step, batch)


def current(batch: Batch, stale: Iterable[str]) -> Batch:
    """A batch without the carried columns that are out of date."""
    return replace(batch, rows=batch.rows.drop(stale, strict=False))


def commit(
    folder: Path, index: int, step: Step, batch: Batch, of: tuple[int, int] = (0, 0)
) -> Part:
    """Write a batch: what was dropped and failed first, the part last, since it says "done".

    Args:
        folder: Where to.
        index: The number of the part.
        step: What made it.
        batch: What it made.
        of: Of a source: which split it is of, and which piece of that.
    """
    for name, rows in (("dropped", batch.dropped), ("failed", batch.failed)):
        if rows.height:
            write_part(folder / name, index, rows)
        else:
            part_path(folder / name, index).unlink(missing_ok=True)
    part = describe(step, batch).model_copy(update={"split": of[0], "piece": of[1]})
    write_part(folder, index, batch.rows, part)
    return part


def describe(step: Step, batch: Batch) -> Part:
    """The counts and digests of a batch."""
    rows = batch.rows
    digests = {
        str(name): f"{digest_rows(group, ['row_id']):032x}"
        for (name,), group in (rows.group_by("part") if step.kind == "select" else ())
    }
    return Part(counts=batch.counts, digest=digest_of(rows, batch.content), part_digests=digests)


def digest_of(rows: pl.DataFrame, content: Iterable[str]) -> str:
    """The digest of rows; of their columns those that `row_id` does not cover already."""
    covered = {"content_id", "parent_ids", *content}
    return f"{digest_rows(rows, [c for c in rows.columns if c not in covered]):032x}"


def committed(folder: Path, index: int) -> Part | None:
    """The part if it is committed and none of its failed rows is to be tried again."""
    part = read_part(folder, index)
    return part if part and not part.counts.retry else None
