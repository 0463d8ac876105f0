"""What the engine is given from above: model services, and someone who watches.

The engine knows that a step needs a generator or a model folder, not what those are made of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from databuild.engine.ledger import Meter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from databuild.engine.store import ModelTarget
    from databuild.recipe.model import ModelSpec


class Progress(Protocol):
    """Someone who watches one step."""

    def total(self, n: int, unit: str) -> None:
        """Say how many units there will be."""

    def tick(self, n: int = 1, note: str = "") -> None:
        """Say that `n` more units are done."""


class Watcher(Protocol):
    """Someone who watches a run."""

    def step_starts(self, name: str, use: str, detail: str) -> Progress:
        """A step begins; report to the returned progress."""

    def step_ends(self, name: str, status: str, summary: str) -> None:
        """A step is over: `cached`, `done` or `failed`."""


@dataclass(frozen=True)
class Ask:
    """A step's wish for a resource, with all that is needed to fulfil it."""

    resource: str
    step: str
    targets: Mapping[str, ModelTarget]
    """The models that the step's options name, by option."""
    folder: Path
    """The step's own folder: logs and scratch lie in it."""
    seed: int
    progress: Progress
    meter: Meter = field(default_factory=Meter)
    """Counts what is asked, and keeps the budgets."""


class Services(Protocol):
    """Models and trainers, one process at a time per accelerator."""

    def identify(self, spec: ModelSpec, folder: Path) -> ModelTarget:
        """Say which model a recipe's model is, without loading it. `folder` is the recipe's."""

    def provide(self, ask: Ask) -> Any:
        """Return the resource that is asked for."""

    def close(self) -> None:
        """Stop every process. Safe to call twice."""


@dataclass
class Silence:
    """A watcher and progress that says nothing."""

    done: int = field(default=0)

    def step_starts(self, name: str, use: str, detail: str) -> Progress:  # noqa: ARG002
        """Say nothing."""
        return self

    def step_ends(self, name: str, status: str, summary: str) -> None:
        """Say nothing."""

    def total(self, n: int, unit: str) -> None:
        """Say nothing."""

    def tick(self, n: int = 1, note: str = "") -> None:  # noqa: ARG002
        """Count, and say nothing."""
        self.done += n
