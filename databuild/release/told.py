"""What a version tells of the steps behind it: `lineage/steps.json`, their manifests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from databuild.engine.store import Manifest

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.lineage import Runs

STEPS = "lineage/steps.json"
_MACHINE = {"machine", "usage", "stopped"}


def told_steps(runs: Runs, behind: set[str]) -> dict[str, Any]:
    """The manifests of the steps behind a version, by name in order."""
    return {
        name: manifest.model_dump(mode="json", exclude=_MACHINE)
        for name, manifest in runs.manifests.items()
        if name in behind
    }


def steps_of(folder: Path) -> list[Manifest]:
    """The manifests of the steps behind a version; none of one that an older databuild made."""
    path = folder / STEPS
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return [Manifest.model_validate(one) for one in told.values()]
    except (OSError, ValueError, AttributeError, ValidationError):
        return []
