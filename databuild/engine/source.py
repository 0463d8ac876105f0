"""Run a source: its splits are read in pieces, put aside, and settled one after the other.

A step that `sees="source"` returns one `Produced` per split, or an iterator of them: pieces, whose
bounds follow from the file and never from the machine. A worker holds one piece at a time. It
stages it under `staged/<split>/`; the parent process settles the pieces in order into parts
numbered through, because the number of a row among its equals depends on all rows before it.

A part says which piece of which split it is. So a killed run knows what is settled and what is
staged, reads the rest, and ends with the same parts.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from databuild.engine.batch import Batch, run_split
from databuild.engine.local import run_jobs
from databuild.engine.shards import commit, committed, digest_of
from databuild.engine.store import Part, part_path, read_part, write_json, write_part
from databuild.schema.identity import row_ids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from databuild.engine.execute import Task
    from databuild.engine.step import Step
    from databuild.engine.store import Manifest
    from databuild.recipe.options import StepConfig

Hashes = NDArray[np.uint64]
STAGED = "staged"
_SIGNATURE_BYTES = 16


@dataclass(frozen=True)
class Split:
    """One split of a source: what to read, and what of it is settled already."""

    step: Step
    config: StepConfig
    folder: Path
    index: int
    split: Mapping[str, Any]
    settled: tuple[Part, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    """In a preview: how many rows to keep. Ids are hashes: a fair draw."""

    @property
    def staging(self) -> Path:
        """Where its pieces wait."""
        return self.folder / STAGED / str(self.index)


def run_source(task: Task, manifest: Manifest) -> Iterator[Part]:
    """Yield the parts of a source in order; what an earlier attempt settled is not read again."""
    splits = _splits(task, manifest)
    seen = Seen()
    settled = list(_settled(task.folder))
    by_split: dict[int, list[Part]] = {}
    for part in settled:
        by_split.setdefault(part.split, []).append(part)
    # Whether the last one has more pieces than are settled, only reading it can tell.
    first = settled[-1].split if settled else 0
    resources = task.resources()
    waiting = [
        Split(
            task.step, task.node.config, task.folder, index, splits[index],
            tuple(by_split.get(index, ())), resources, task.settings.limit,
        )
        for index in range(first, len(splits))
    ]  # fmt: skip
    task.progress.total(len(splits), "shards")
    for number, part in enumerate(settled):
        seen.count_and_add(_hashes(part_path(task.folder, number)))
        if part.split < first and part.piece == 0:
            task.progress.tick(1, f"{part.counts.rows_out:,} rows")
        yield part
    number = len(settled)
    staged = run_jobs(stage_split, waiting, _workers(task, len(waiting)), task.node.name)
    for split, pieces in zip(waiting, staged, strict=True):
        for part in pieces:
            hashes = _kept_hashes(split, part)
            before = seen.count_and_add(hashes)
            if task.step.keeps_ids:  # equals are numbered already
                before = np.zeros_like(before)
            yield settle_piece(split, part, number, before)
            number += 1
        shutil.rmtree(split.staging, ignore_errors=True)
        rows = sum(part.counts.rows_out for part in (*split.settled, *pieces))
        task.progress.tick(1, f"{rows:,} rows")
    shutil.rmtree(task.folder / STAGED, ignore_errors=True)


def stage_split(split: Split) -> list[Part]:
    """Read a split piece by piece, and put aside what is not settled. Runs in a worker process.

    Pieces that an earlier attempt staged are kept: the source is asked for them, since the next
    ones come after them, and that is all.
    """
    staged: list[Part] = []
    kept = sum(part.counts.rows_out for part in split.settled)
    pieces = run_split(split.step, split.config, split.split, split.resources)
    number = 0
    # Nothing may hold a piece while the next one is made: one is what must fit into memory.
    while (split.limit is None or kept < split.limit) and (piece := next(pieces, None)):
        if number >= len(split.settled):
            part = read_part(split.staging, number) or _stage(split, number, piece(), kept)
            staged.append(part)
            kept += part.counts.rows_out
        number += 1
        del piece
    return staged


def settle_piece(split: Split, part: Part, number: int, before: NDArray[np.int64]) -> Part:
    """Make a staged piece part `number`, given how often each row's content stood before it.

    `before` follows the rows of the staged part. Where all are 0 its file is moved as it is.
    """
    for name in ("dropped", "failed"):
        losses, target = split.staging / name, split.folder / name
        if part_path(losses, part.piece).exists():
            target.mkdir(parents=True, exist_ok=True)
            part_path(losses, part.piece).replace(part_path(target, number))
    staged = part_path(split.staging, part.piece)
    if not before.any():
        staged.replace(part_path(split.folder, number))
        return part
    rows = _renumbered(split.step, pl.read_parquet(staged), before)
    own = set(rows.columns) - {"row_id", "key", *split.step.attributes}
    part = part.model_copy(update={"digest": digest_of(rows, own)})
    write_part(split.folder, number, rows, part)
    staged.unlink()
    return part


class Seen:
    """How often each content stood in earlier pieces: 8 bytes a row, sorted runs that merge.

    64 bits are enough: a false match only gives a row another number among equals, which stays
    unique.
    """

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def count_and_add(self, hashes: Hashes) -> NDArray[np.int64]:
        """For each hash, how often it was added by earlier calls; then add them all."""
        # Sorted needles are found several times faster: neighbours lie in the same cache lines.
        order = np.argsort(hashes)
        merged = hashes[order]
        found = np.zeros(len(hashes), dtype=np.int64)
        for run in self._runs:
            if len(run):
                left = np.searchsorted(run, merged, "left")
                hits = np.flatnonzero(run[np.minimum(left, len(run) - 1)] == merged)
                found[hits] += np.searchsorted(run, merged[hits], "right") - left[hits]
        before = np.empty_like(found)
        before[order] = found
        while self._runs and len(self._runs[-1]) <= 2 * len(merged):
            merged = np.sort(np.concatenate([self._runs.pop(), merged]), kind="stable")
        self._runs.append(merged)
        return before


def _splits(task: Task, manifest: Manifest) -> Sequence[Mapping[str, Any]]:
    """The shard plan, pinned in the unfinished manifest before anything is read."""
    if manifest.splits is None:
        assert task.step.splits is not None
        splits = task.step.splits(task.node.config, task.node.paths, task.settings.shard_bytes)
        manifest.splits = splits if task.settings.limit is None else _first_of_each_file(splits)
        write_json(task.folder / "manifest.json", manifest.model_dump(mode="json"))
    return manifest.splits


def _first_of_each_file(splits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The splits that a preview reads: the first of each `file`, so that no part stays empty."""
    firsts: dict[Any, dict[str, Any]] = {}
    for split in splits:
        firsts.setdefault((split.get("file"), split.get("member")), split)
    return list(firsts.values())


def _settled(folder: Path) -> Iterator[Part]:
    """The parts that are there, up to the first that is missing, damaged or to be tried again."""
    number = 0
    while (part := committed(folder, number)) is not None:
        yield part
        number += 1


def _stage(split: Split, number: int, batch: Batch, kept: int) -> Part:
    if split.limit is not None:
        rows = batch.rows.sort("row_id").head(max(split.limit - kept, 0))
        counts = batch.counts.model_copy(update={"rows_out": rows.height})
        batch = replace(batch, rows=rows, counts=counts)
    part = commit(split.staging, number, split.step, batch, of=(split.index, number))
    hashes = _hashes_of(batch.rows).tobytes()
    # Beside the part, not with it to the parent: that would hold all of a split at once.
    _hashes_path(split, number).write_bytes(_signed(part, hashes) + hashes)
    return part


def _renumbered(step: Step, rows: pl.DataFrame, before: NDArray[np.int64]) -> pl.DataFrame:
    # Equals are numbered in the order of the file, so that shard sizes do not show in the result.
    order = [c for c in step.attributes if c in rows.columns]
    ordered = rows.with_columns(_before=pl.Series(before)).sort(order)
    within = ordered.select(pl.int_range(pl.len()).over("content_id")).to_series()
    ids = row_ids(ordered, within + ordered["_before"])
    return ordered.drop("row_id").with_columns(ids).select(rows.columns)


def _kept_hashes(split: Split, part: Part) -> Hashes:
    """The hashes of a staged part, as they were put beside it; else from the part."""
    path = _hashes_path(split, part.piece)
    held = path.read_bytes() if path.exists() else b""
    signature, hashes = held[:_SIGNATURE_BYTES], held[_SIGNATURE_BYTES:]
    if len(hashes) == 8 * part.counts.rows_out and signature == _signed(part, hashes):
        return np.frombuffer(hashes, dtype=np.uint64)
    return _hashes(part_path(split.staging, part.piece))


def _hashes_path(split: Split, piece: int) -> Path:
    return part_path(split.staging, piece).with_suffix(".hashes")


def _signed(part: Part, hashes: bytes) -> bytes:
    """What tells that the hashes are those of the part, and whole."""
    return xxh3_128_digest(part.digest.encode() + hashes)


def _hashes(part: Path) -> Hashes:
    """The first 64 bits of each row's content id."""
    return _hashes_of(pl.read_parquet(part, columns=["content_id"]))


def _hashes_of(rows: pl.DataFrame) -> Hashes:
    first = pl.col("content_id").str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64)
    return rows.select(first).to_series().to_numpy()


def _workers(task: Task, n_jobs: int) -> int:
    """As many workers as there is work for: starting one costs a second."""
    size = sum(path.stat().st_size for path in task.node.paths)
    return min(task.settings.workers, size // task.settings.shard_bytes, n_jobs)
