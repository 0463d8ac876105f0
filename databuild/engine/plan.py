"""What a run would do, step by step, without doing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from databuild.engine.keys import differences
from databuild.engine.outputs import Identity, Output, Outputs
from databuild.engine.store import Manifest, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from databuild.recipe.bind import Node

Status = Literal["cached", "run", "resume", "retry", "later"]


@dataclass(frozen=True)
class Planned:
    """One line of a plan."""

    name: str
    use: str
    status: Status
    reason: str
    rows: int | None = None
    seconds: float | None = None
    """How long it took when it was run, where it is cached."""


def make_plan(nodes: Iterable[Node], outputs: Outputs) -> list[Planned]:
    """Say of every step whether it is cached, will run, or is decided later, and why."""
    return [_planned(node, outputs) for node in nodes]


def standing(node: Node, outputs: Outputs) -> tuple[Identity, Manifest | None, Status]:
    """The key of a node whose inputs are finished, its manifest, and what is to be done."""
    identity = outputs.identity(node)
    manifest = outputs.store.manifest(node.name, identity.key)
    if manifest is None or manifest.key != identity.key:
        return identity, None, "run"
    if manifest.status != "complete":
        return identity, manifest, "resume"
    return identity, manifest, "retry" if manifest.rows.retry else "cached"


def _planned(node: Node, outputs: Outputs) -> Planned:
    waits = outputs.waits_for(node)
    if waits:
        return Planned(node.name, node.use, "later", f"decided after {', '.join(waits[:3])}")
    identity, manifest, status = standing(node, outputs)
    later = "votes are looked up when it runs" if outputs.steps[node.use].outside else ""
    if status == "cached" and manifest:
        folder = outputs.store.folder(node.name, identity.key)
        outputs.done[node.name] = Output(folder, manifest)
        return Planned(
            node.name, node.use, status, later, manifest.rows.rows_out, round(manifest.seconds, 1)
        )
    reasons = (_why(node, identity, manifest, status, outputs), later)
    return Planned(node.name, node.use, status, "; ".join(filter(None, reasons)))


def _why(
    node: Node, identity: Identity, manifest: Manifest | None, status: Status, outputs: Outputs
) -> str:
    if status == "resume":
        return "it was interrupted"
    if status == "retry" and manifest:
        what = "rows" if manifest.kind == "measure" else "requests"
        return f"{manifest.rows.retry} failed {what} are tried again"
    before = outputs.store.latest().get("steps", {}).get(node.name)
    old = read_manifest(outputs.store.root / before) if before else None
    if old is None:
        return "its folder is gone" if before else "it never ran"
    changed = differences(old.key_parts, dict(identity.parts))
    return "; ".join(changed) or "its folder is gone"
