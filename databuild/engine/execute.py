"""Run one step, in the way that its scope asks for, and write its manifest."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.engine.batch import Batch, call, reasons, run_batch, run_parts
from databuild.engine.ledger import Meter
from databuild.engine.local import run_jobs
from databuild.engine.parts import Parts
from databuild.engine.resources import Ask, Progress, Services
from databuild.engine.shards import Shard, commit, committed, current, run_shard
from databuild.engine.source import run_source
from databuild.engine.store import (
    Counts,
    Manifest,
    ModelTarget,
    Part,
    part_path,
    remove_at_once,
    staged,
    write_part,
)
from databuild.engine.trained import trained
from databuild.errors import SchemaError, StepError, nearest
from databuild.schema.identity import add_digests, digest_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from databuild.engine.step import Step
    from databuild.engine.table import View
    from databuild.recipe.bind import Node
    from databuild.recipe.model import Budget

SCRATCH = ".scratch"
GROUP_ROWS = 200_000
_SKIPPED = {"row_id": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class Settings:
    """How a run is carried out. None of it is part of any key."""

    workers: int = 1
    shard_rows: int = 65_536
    shard_bytes: int = 64 << 20
    device: str = "cpu"
    limit: int | None = None
    budget: Budget | None = None
    """What all steps together may spend on asking models."""


@dataclass(frozen=True)
class Task:
    """One step that is to be run now."""

    node: Node
    step: Step
    folder: Path
    views: Mapping[str, View]
    targets: Mapping[str, ModelTarget]
    seed: int
    settings: Settings
    services: Services
    progress: Progress
    meter: Meter = field(default_factory=Meter)
    told: str = ""
    """What there was to say of the world outside when its key was made."""

    def resources(self) -> dict[str, Any]:
        """The resources that the step declares, by name."""
        return {name: self.resource(name) for name in self.step.needs}

    def resource(self, name: str) -> Any:
        """One resource, from the run itself or from the services."""
        own = {
            "seed": self.seed,
            "progress": self.progress,
            "device": self.settings.device,
            "files": self.node.paths,
            "workers": self.settings.workers,
            "journals": self.folder.parent.parent / "journals",
            "told": self.told,
        }
        if name in own:
            return own[name]
        if name == "models":
            return {option: target.identity for option, target in self.targets.items()}
        if name == "scratch":
            scratch = self.folder / SCRATCH
            scratch.mkdir(parents=True, exist_ok=True)
            return scratch
        ask = Ask(
            name, self.node.name, self.targets, self.folder, self.seed, self.progress, self.meter
        )
        return self.services.provide(ask)


def execute(task: Task, manifest: Manifest) -> Manifest:
    """Run the step to the end and return its complete manifest.

    Raises:
        StepError: Too many requests failed, or an input part is empty where a step cannot do
        without.
    """
    _check_columns(task)
    if task.step.kind in {"train", "deliver"}:
        try:
            _deliver(task, manifest)
        except StepError as error:  # it knows its kind of step; the user knows steps by their names
            where = f"{task.node.where}, step {task.node.name} ({error.where})"
            if error.where != task.step.name:
                raise
            raise StepError(where, error.what, fix=error.fix) from error
    else:
        parts = list(_parts(task, manifest))
        _finish_table(task, manifest, parts)
        _check_failures(task, manifest)
    remove_at_once(task.folder / SCRATCH)
    manifest.status = "complete"
    return manifest


def _check_columns(task: Task) -> None:
    """Refuse what `check` could not see, because only the data tells a source's columns.

    Raises:
        SchemaError: An input lacks a column, or has the one that is to be measured.
    """
    step, config = task.step, task.node.config
    where = f"{task.node.where}, step {task.node.name}"
    for slot, view in task.views.items():
        for column in (*step.columns_read(config, slot), *step.grouped_by(config)):
            if column != "*" and column not in view.columns:
                what = (
                    f"the input {slot!r} has no column {column!r}; {nearest(column, view.columns)}"
                )
                raise SchemaError(
                    where, what, fix="correct the name, or look at the source's files"
                )
    if step.kind == "measure":
        _check_new(task, step.columns_added(config) or ())


def _check_new(task: Task, added: Iterable[str]) -> None:
    clash = sorted(set(added) & set(task.views[task.step.inputs[0]].columns))
    if clash:
        what = f"{task.step.name} would overwrite the column {clash[0]!r}"
        where = f"{task.node.where}, step {task.node.name}"
        raise SchemaError(where, what, fix="remove this step, or the one that made the column")


def _parts(task: Task, manifest: Manifest) -> Iterator[Part]:
    if task.step.sees == "source":
        return run_source(task, manifest)
    if task.step.sees == "row":
        return _run_rows(task)
    if task.step.sees == "group" and task.step.kind == "produce":
        return _run_groups(task)
    if task.step.sees == "parts":
        return _run_parts(task, manifest)
    return _run_table(task, manifest)


def _run_rows(task: Task) -> Iterator[Part]:
    view = task.views[task.step.inputs[0]]
    resources = task.resources()
    done = {i: part for i in range(view.n_parts) if (part := committed(task.folder, i))}
    for part in done.values():
        task.meter.already(part.counts.usage)
    waiting = [
        Shard(task.step, task.node.config, task.folder, i, view, resources, task.node.stale)
        for i in range(view.n_parts)
        if i not in done
    ]
    alone = bool({"generator", "reader", "embedder", "progress"} & set(task.step.needs))
    tells = bool({"generator", "progress"} & set(task.step.needs))
    if not tells:
        task.progress.total(view.n_parts, "shards")
    fresh = run_jobs(run_shard, waiting, 1 if alone else _workers(task, waiting), task.node.name)
    for index in range(view.n_parts):
        part = done[index] if index in done else next(fresh)
        if not tells:
            task.progress.tick(1, f"{part.counts.rows_out:,} rows")
        yield part


def _run_table(task: Task, manifest: Manifest) -> Iterator[Part]:
    """Run a step that sees everything at once; its result is cut into parts again."""
    step, config = task.step, task.node.config
    slots = step.slots(task.views)
    tables = [_table(task, slot) for slot in slots]
    others = slots[len(step.inputs) :]
    batch = run_batch(step, config, tables, task.resources(), others=others)
    batch = current(batch, task.node.stale)
    manifest.metrics = dict(batch.facts)
    if step.kind == "produce":
        pieces = max(1, -(-batch.rows.height // task.settings.shard_rows))
        return (commit(task.folder, i, step, piece) for i, piece in enumerate(_cut(batch, pieces)))
    return _aligned(task, batch)


def _run_parts(task: Task, manifest: Manifest) -> Iterator[Part]:
    """Run a step that sees all parts in turn; its frames are parts already."""
    step, config = task.step, task.node.config
    slots = step.slots(task.views)
    tables = [
        Parts(task.views[slot], step.columns_taken(config, slot)) if slot in task.views else None
        for slot in slots
    ]
    others = slots[len(step.inputs) :]
    batches, facts = run_parts(step, config, tables, task.resources(), others)
    for index, batch in enumerate(batches):
        yield commit(task.folder, index, step, batch)
    manifest.metrics = dict(facts)


def _table(task: Task, slot: str) -> pl.DataFrame | None:
    """The rows of one input, with the columns that the step needs of it."""
    step, config = task.step, task.node.config
    columns = None if step.carries else step.columns_taken(config, slot)
    columns = columns if step.sees == "table" else (*(columns or ()), *step.grouped_by(config))
    return task.views[slot].read(columns) if slot in task.views else None


def _run_groups(task: Task) -> Iterator[Part]:
    """Run a produce step over groups: one partition of whole groups at a time."""
    step, config = task.step, task.node.config
    view = task.views[step.inputs[0]]
    resources = task.resources()
    pieces = max(1, -(-view.rows // GROUP_ROWS))
    columns = None if step.carries else (*step.columns_taken(config), *step.grouped_by(config))
    task.progress.total(pieces, "partitions")
    for index in range(pieces):
        rows = _partition(view, columns, step.grouped_by(config), index, pieces)
        batch = current(run_batch(step, config, [rows], resources), task.node.stale)
        yield commit(task.folder, index, step, batch)
        task.progress.tick()


def _partition(
    view: View, columns: tuple[str, ...] | None, by: tuple[str, ...], index: int, pieces: int
) -> pl.DataFrame:
    """The rows whose group falls into partition `index`. Polars' hash is used and not stored."""
    if pieces == 1:
        return view.read(columns)
    mine = pl.struct(by).hash(seed=0) % pieces == index
    parts = (view.part(number, columns).filter(mine) for number in range(view.n_parts))
    return pl.concat(parts, how="diagonal_relaxed")


def _aligned(task: Task, batch: Batch) -> Iterator[Part]:
    """Cut columns or verdicts so that part i covers part i of the rows that they belong to."""
    view = task.views[task.step.inputs[0]]
    ids = [view.part(i, ("row_id",))["row_id"].alias("row_id") for i in range(view.n_parts)]
    cut = [_by_part(frame, ids) for frame in (batch.rows, batch.dropped, batch.failed)]
    for index, (rows, dropped, failed) in enumerate(zip(*cut, strict=True)):
        counts = _recount(task.step, len(ids[index]), rows, dropped, failed)
        if index == 0:
            counts.usage = batch.counts.usage
        yield commit(task.folder, index, task.step, Batch(rows, dropped, failed, counts))


def _by_part(frame: pl.DataFrame, ids: list[pl.Series]) -> list[pl.DataFrame]:
    """The rows of each part, by one join with all ids: linear in the number of rows."""
    if not frame.width:
        return [frame] * len(ids)
    number = pl.Series(np.repeat(np.arange(len(ids), dtype=np.uint32), [len(one) for one in ids]))
    place = pl.DataFrame({"row_id": pl.concat(ids), "\0part": number})
    found = frame.join(place, on="row_id", how="left", maintain_order="left")
    found = found.sort("\0part", maintain_order=True)
    ends = np.searchsorted(found["\0part"].to_numpy(), np.arange(len(ids)), side="right")
    found = found.drop("\0part")
    return [found.slice(a, b - a) for a, b in pairwise([0, *ends.tolist()])]


def _recount(
    step: Step, rows_in: int, rows: pl.DataFrame, dropped: pl.DataFrame, failed: pl.DataFrame
) -> Counts:
    return Counts(
        rows_in=rows_in, rows_out=rows.height, dropped=dropped.height, failed=failed.height,
        by_reason=reasons(dropped, "reason") | reasons(failed, "error"),
        by_part=reasons(rows, "part") if step.kind == "select" else {},
    )  # fmt: skip


def _cut(batch: Batch, pieces: int) -> Iterator[Batch]:
    """Cut what a table step made into parts; counts, dropped and failed rows go with the first."""
    size = -(-batch.rows.height // pieces)
    for index in range(pieces):
        rows = batch.rows.slice(index * size, size)
        if index == 0:
            counts = batch.counts.model_copy(update={"rows_out": rows.height})
            yield Batch(rows, batch.dropped, batch.failed, counts, batch.content)
        else:
            counts = Counts(rows_out=rows.height)
            yield Batch(rows, pl.DataFrame(), pl.DataFrame(), counts, batch.content)


def _deliver(task: Task, manifest: Manifest) -> None:
    """Run a train or deliver step: what it leaves in `out` becomes the step's folder."""
    config = task.node.config
    columns = task.step.columns_taken(config)
    slots = [slot for slot in task.step.slots(task.views) if slot in task.views]
    views = [task.views[slot] for slot in slots]
    in_parts = task.step.sees == "parts"
    tables = [Parts(one, columns) if in_parts else one.read(columns) for one in views]
    with staged(task.folder) as out:
        given = {"out": out} if "out" in task.step.needs else {}
        others = {name: task.resource(name) for name in task.step.needs if name != "out"}
        absent = {slot: None for slot in task.step.inputs if slot not in slots}
        named = dict(zip(slots, tables, strict=True))
        facts = call(task.step, config=config, **named, **absent, **given, **others)
    manifest.metrics = dict(facts)
    rows = sum(view.rows for view in views)
    skipped = pl.DataFrame(manifest.metrics.pop("rows_skipped", []), schema=_SKIPPED)
    if skipped.height:
        write_part(task.folder / "dropped", 0, skipped)
    manifest.rows = Counts(
        rows_in=rows, rows_out=rows - skipped.height, dropped=skipped.height,
        by_reason=dict(skipped["reason"].value_counts().iter_rows()),
    )  # fmt: skip
    manifest.digest = manifest.key
    if task.step.kind == "train":
        manifest.model = trained(task, manifest)


def _finish_table(task: Task, manifest: Manifest, parts: list[Part]) -> None:
    manifest.n_parts = len(parts)
    manifest.rows = Counts.total(part.counts for part in parts)
    manifest.usage, manifest.rows.usage = manifest.rows.usage, {}
    manifest.digest = _sum(part.digest for part in parts)
    names = (
        dict.fromkeys(task.step.parts_kept(task.node.config)) if task.step.kind == "select" else {}
    )
    manifest.part_digests = {
        name: _sum(part.part_digests[name] for part in parts if name in part.part_digests)
        for name in names
    }
    if task.step.kind == "produce":
        manifest.layout = digest_text(*(part.digest for part in parts))
    else:
        manifest.layout = task.views[task.step.inputs[0]].layout
    columns: dict[str, str] = {}
    for index in range(len(parts)):
        schema = pl.read_parquet_schema(part_path(task.folder, index))
        columns |= {name: str(dtype) for name, dtype in schema.items()}
    if task.step.kind == "measure":
        _check_new(task, columns.keys() - {"row_id"})
    manifest.columns = columns
    # An attempt with smaller shards may have left more parts than there are now.
    for path in task.folder.glob("**/part-*.parquet"):
        if int(path.stem.removeprefix("part-")) >= len(parts):
            path.unlink()


def _check_failures(task: Task, manifest: Manifest) -> None:
    rows = manifest.rows
    if task.settings.limit is not None and task.step.sees == "source":
        return  # a preview keeps few of the rows that it read, so the share would say nothing
    requests = rows.rows_out if task.step.kind == "measure" else rows.rows_out + rows.failed
    # What a step judged and turned away is neither the model's fault nor the input's.
    failed = rows.failed - rows.notes.get("turned_away", 0)
    if requests and failed / requests > task.node.max_failure_ratio:
        reasons = ", ".join(f"{n} × {reason}" for reason, n in list(rows.by_reason.items())[:3])
        what = (
            f"{failed:,} of {requests:,} rows failed, more than max_failure_ratio "
            f"{task.node.max_failure_ratio} allows: {reasons}"
        )
        fix = f"look at {task.folder / 'failed'}, then mend the input or raise max_failure_ratio"
        raise StepError(task.node.name, what, fix=fix)


def _workers(task: Task, jobs: list[Shard]) -> int:
    """As many workers as there is work for: starting one costs a second."""
    worth = task.views[task.step.inputs[0]].rows // task.settings.shard_rows
    return min(task.settings.workers, worth, len(jobs))


def _sum(digests: Iterable[str]) -> str:
    return f"{add_digests(int(digest, 16) for digest in digests):032x}"
