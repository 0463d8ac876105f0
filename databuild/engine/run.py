"""Carry out a recipe: each step in turn, from the cache where its key is known, else run."""

from __future__ import annotations

import os
import platform
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from databuild.engine.execute import Settings, Task, execute
from databuild.engine.ledger import Limit, Meter, added
from databuild.engine.local import cores
from databuild.engine.outputs import Identity, Output, Outputs
from databuild.engine.plan import standing
from databuild.engine.shards import committed
from databuild.engine.store import Counts, Manifest, read_manifest, sweep, write_json, writing
from databuild.errors import DatabuildError, StepError, StoreError, WaitingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from databuild.engine.resources import Services, Watcher
    from databuild.recipe.bind import Node

WAITING = "waiting for people"
"""The status of a run that goes on when people have answered."""


@dataclass(frozen=True)
class Ran:
    """One step of a finished run."""

    name: str
    use: str
    cached: bool
    manifest: Manifest
    folder: str


@dataclass
class RunResult:
    """What a run did: every step with its row counts, in order."""

    run: str
    recipe: str
    folder: str
    seconds: float = 0.0
    steps: list[Ran] = field(default_factory=list)

    def __getitem__(self, name: str) -> Ran:
        """The step of that name."""
        return next(step for step in self.steps if step.name == name)


def run_nodes(
    nodes: Sequence[Node],
    outputs: Outputs,
    services: Services,
    watcher: Watcher,
    settings: Settings,
    *,
    again_from: str | None = None,
) -> RunResult:
    """Run every node that is not cached, in order.

    Args:
        nodes: The graph, each node after what it needs.
        outputs: Where finished steps are noted; `outputs.store` must be open and locked.
        services: Models and trainers.
        watcher: Told of every step.
        settings: How to run.
        again_from: Run this step and all that depend on it again, even where they are cached.

    Raises:
        DatabuildError: The first step that cannot go on. Everything committed before stays.
    """
    started = time.monotonic()
    result = RunResult(_run_id(), outputs.store.recipe, str(outputs.store.root))
    again = _downstream(nodes, again_from)
    try:
        for node in nodes:
            again_too = node.name in again
            ran = _run_node(node, outputs, services, watcher, settings, result, again=again_too)
            result.steps.append(ran)
            if not ran.cached:
                _point(outputs, result, "running")
    except BaseException as error:
        _point(outputs, result, WAITING if isinstance(error, WaitingError) else "interrupted")
        raise
    finally:
        outputs.digests.save()
    result.seconds = time.monotonic() - started
    _point(outputs, result, "complete")
    return result


def _run_node(
    node: Node,
    outputs: Outputs,
    services: Services,
    watcher: Watcher,
    settings: Settings,
    result: RunResult,
    *,
    again: bool,
) -> Ran:
    identity, manifest, status = standing(node, outputs)
    folder = outputs.store.folder(node.name, identity.key)
    if manifest and status == "cached" and not again:
        outputs.done[node.name] = Output(folder, manifest)
        watcher.step_ends(node.name, "cached", _with_note(manifest, outputs.told.get(node.name)))
        return Ran(node.name, node.use, cached=True, manifest=manifest, folder=str(folder))
    step = outputs.steps[node.use]
    if manifest is None or again:
        _forget_waiting(node, outputs)
        with suppress(OSError):  # first: parts that a kill leaves are then of no manifest
            (folder / "manifest.json").unlink()
        shutil.rmtree(folder, ignore_errors=True)
        manifest = _new_manifest(node, step.kind, identity, outputs)
    _forget_failures(folder, manifest)
    sweep(folder)
    manifest.status, manifest.stopped = "unfinished", ""
    _save(outputs, node, identity, manifest)
    _point(outputs, result, "running", {node.name: folder.name})
    progress = watcher.step_starts(node.name, node.use, "resumed" if status == "resume" else "")
    started = time.monotonic()
    task = Task(
        node, step, folder,
        views={slot: outputs.view(ref) for slot, ref in node.inputs.items()},
        targets=outputs.targets(node), seed=identity.seed, settings=settings,
        services=services, progress=progress, meter=_meter(node, folder.name, outputs, settings),
        told=outputs.told.get(node.name, ""),
    )  # fmt: skip
    manifest.versions = _versions(node, outputs)
    try:
        manifest = execute(task, manifest)
    except BaseException as error:
        is_waiting = isinstance(error, WaitingError)
        watcher.step_ends(node.name, "waiting" if is_waiting else "failed", "")
        manifest.seconds += time.monotonic() - started
        _note_end(folder, manifest, task.meter, error)
        raise
    manifest.seconds += time.monotonic() - started
    manifest.versions |= read_by(manifest)
    _save(outputs, node, identity, manifest)
    outputs.done[node.name] = Output(folder, manifest)
    watcher.step_ends(node.name, "done", _with_note(manifest, outputs.told.get(node.name)))
    return Ran(node.name, node.use, cached=False, manifest=manifest, folder=str(folder))


def _versions(node: Node, outputs: Outputs) -> dict[str, str]:
    """The released versions that the rows of a step's inputs came from."""
    found: dict[str, str] = {}
    for ref in node.inputs.values():
        found |= outputs.done[ref.step].manifest.versions
    return dict(sorted(found.items()))


def read_by(manifest: Manifest) -> dict[str, str]:
    """The released version that a source read, as its splits say."""
    told = [one for one in manifest.splits or () if "fingerprint" in one]
    return {str(one["version"]): str(one["fingerprint"]) for one in told}


def _with_note(manifest: Manifest, note: str | None) -> str:
    """A step's summary, and what there was to say of the world outside."""
    return f"{summary(manifest)} ({note})" if note else summary(manifest)


def _forget_waiting(node: Node, outputs: Outputs) -> None:
    """Remove what is left of the step waiting under an earlier key: a manifest and no rows."""
    before = outputs.store.latest().get("at", {}).get(node.name)
    if outputs.steps[node.use].outside is None or before is None:
        return
    old = read_manifest(outputs.store.root / before)
    if old is not None and old.status != "complete" and not old.n_parts:
        shutil.rmtree(outputs.store.root / before, ignore_errors=True)


def _meter(node: Node, folder: str, outputs: Outputs, settings: Settings) -> Meter:
    """The budgets that a step is under; of the recipe's, what earlier steps have paid is gone."""
    targets = (*outputs.models.values(), *outputs.targets(node).values())
    prices = {target.identity: target.prices for target in targets if target.prices}
    limits = [Limit(f"step {node.name}", node.budget)] if node.budget else []
    if settings.budget:
        others = (done.manifest.usage for done in outputs.done.values())
        limits.append(Limit("the recipe", settings.budget, added(*others)))
    return Meter(f"{outputs.store.recipe}/{folder}", limits, prices, step=node.name)


def _note_end(folder: Path, manifest: Manifest, meter: Meter, error: BaseException) -> None:
    """Keep what an attempt has cost, and why it ended, beside what it has finished."""
    manifest.usage, manifest.rows = meter.total, Counts()
    manifest.stopped = str(error) if isinstance(error, DatabuildError) else type(error).__name__
    with suppress(StoreError, OSError):  # the error that is on its way matters more
        write_json(folder / "manifest.json", manifest.model_dump(mode="json"))


def summary(manifest: Manifest) -> str:
    """The row accounting of a step in one line."""
    rows = manifest.rows
    if manifest.kind in {"train", "deliver"}:
        skipped = f", {rows.dropped:,} skipped" if rows.dropped else ""
        return f"{rows.rows_in:,} rows in{skipped}"
    words = {"measure": "measured", "select": "kept", "produce": "made"}
    pieces = [f"{rows.rows_in:,} in"] if rows.rows_in else []
    pieces.append(f"{rows.rows_out:,} {words[manifest.kind]}")
    if len(rows.by_part) > 1:
        pieces[-1] += f" ({', '.join(f'{part} {n:,}' for part, n in rows.by_part.items())})"
    for name, n in (("dropped", rows.dropped), ("failed", rows.failed)):
        if n:
            pieces.append(f"{n:,} {name}")
    if manifest.metrics.get("in_short"):
        pieces[-1] += f" ({manifest.metrics['in_short']})"
    short = manifest.metrics.get("shortfall") or []
    if short:
        lacking = sum(one["wanted"] - one["got"] for one in short)
        most = ", ".join(f"{one['of']} {one['got']:,} of {one['wanted']:,}" for one in short[:3])
        pieces.append(f"{lacking:,} short ({most}{', …' if len(short) > 3 else ''})")
    pieces += [f"{n:,} {note}" for note, n in rows.notes.items()]
    if rows.tokens_out:
        pieces.append(f"{rows.tokens_out:,} tokens")
    return ", ".join(pieces)


def check_accounts(manifest: Manifest) -> None:
    """Raise StepError unless the rows of a step add up."""
    rows = manifest.rows
    balanced = {
        "measure": rows.rows_in == rows.rows_out,
        "select": rows.rows_in
        == rows.rows_out + rows.dropped
        == sum(rows.by_part.values()) + rows.dropped,
    }.get(manifest.kind, True)
    if not balanced:
        what = f"rows do not add up: {rows.model_dump(exclude_defaults=True)}"
        raise StepError(manifest.step, what, fix="report this as a bug, with the manifest")


def _save(outputs: Outputs, node: Node, identity: Identity, manifest: Manifest) -> None:
    check_accounts(manifest)
    folder = outputs.store.folder(node.name, identity.key)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "manifest.json", manifest.model_dump(mode="json"))


def _new_manifest(node: Node, kind: str, identity: Identity, outputs: Outputs) -> Manifest:
    return Manifest(
        databuild=version("databuild"),
        step=node.name,
        use=node.use,
        kind=kind,
        key=identity.key,
        key_parts=dict(identity.parts),
        config=node.config.model_dump(mode="json"),
        inputs={slot: str(ref) for slot, ref in node.inputs.items()},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=identity.seed if "seed" in outputs.steps[node.use].needs else None,
        machine={
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": cores(),
        },
    )


def _forget_failures(folder: Any, manifest: Manifest) -> None:
    """Remove the parts whose failed rows are tried again; the rest of the step stays."""
    for index in range(manifest.n_parts):
        if committed(folder, index) is None:
            for path in folder.glob(f"**/part-{index:05d}.parquet"):
                path.unlink()


def _downstream(nodes: Sequence[Node], first: str | None) -> set[str]:
    if first is None:
        return set()
    names = {node.name for node in nodes if first in {node.name, node.origin}}
    for node in nodes:
        if node.after & names:
            names.add(node.name)
    return names


def _point(
    outputs: Outputs, result: RunResult, status: str, at: Mapping[str, str] | None = None
) -> None:
    """Move the pointer: which folder is each step's, and `at` which one a run is or was stopped.

    Steps not reached keep their folders.
    """
    latest: dict[str, Any] = outputs.store.latest()
    if status in {"interrupted", WAITING}:
        at = latest.get("at")
    steps: Mapping[str, str] = {step.name: step.folder.rpartition("/")[2] for step in result.steps}
    known = steps if status == "complete" else {**latest.get("steps", {}), **steps}
    content = {"run": result.run, "status": status, "steps": dict(known), "at": dict(at or {})}
    content["models"] = {
        target.identity: {"name": name, "prices": target.prices and target.prices.model_dump()}
        for name, target in outputs.models.items()
    }
    write_json(outputs.store.root / "latest.json", content)


def _run_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
