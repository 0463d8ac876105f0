"""Which model a train step leaves, and what is said of it beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from databuild.engine.store import Manifest, ModelTarget, write_json

if TYPE_CHECKING:
    from databuild.engine.execute import Task

SIGNATURE = "databuild.json"
"""The file in a model's folder that says what it is."""


def trained(task: Task, manifest: Manifest) -> ModelTarget:
    """The model of a finished train step: one that it chose among its inputs, or a new one.

    Beside a new one, `best/databuild.json` says `identity`, `recipe`, `step` and `trained_on`: the
    released versions (`name@1.2.0`) that its rows, or the model that it started from, came from,
    with their fingerprints. It stays with the model when that is copied.
    """
    chosen = str(manifest.metrics.get("model"))
    if chosen in task.targets:
        return task.targets[chosen]
    # It is run as the model that it grew from: an engine's options are no part of weights.
    start = task.targets.get("model")
    model = ModelTarget(
        identity=f"{task.node.origin}:{manifest.key}",
        kind="folder",
        location=f"{task.folder.parent.name}/{task.folder.name}/best",
        options=start.options if start and start.kind in {"folder", "packaged"} else {},
        versions=dict(sorted({**manifest.versions, **(start.versions if start else {})}.items())),
    )
    best = task.folder / "best"
    if best.is_dir():
        told = {"identity": model.identity, "recipe": task.folder.parent.name}
        told |= {"step": task.node.name}
        write_json(best / SIGNATURE, {**told, "trained_on": model.versions})
    return model
