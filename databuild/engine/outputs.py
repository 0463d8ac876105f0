"""What the steps of a run have yielded so far: views of tables, and models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from databuild.engine.keys import FileDigests, key_of, key_parts, step_seed
from databuild.engine.table import View, base_view
from databuild.recipe.bind import Node, Ref

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from databuild.engine.step import Step
    from databuild.engine.store import Manifest, ModelTarget, Store


@dataclass(frozen=True)
class Output:
    """A finished step."""

    folder: Path
    manifest: Manifest


def view_of(done: Mapping[str, Output], ref: Ref) -> View:
    """The table that a reference means, put together from the manifests of finished steps."""
    output = done[ref.step]
    if output.manifest.kind == "produce":
        return base_view(output.folder, output.manifest)
    primary = next(iter(output.manifest.inputs.values()))
    name, _, part = primary.partition(".")
    before = view_of(done, Ref(name, part or None))
    if output.manifest.kind == "measure":
        return before.measured(output.folder, output.manifest)
    return before.selecting(output.folder, output.manifest, ref.part)


@dataclass(frozen=True)
class Identity:
    """A step's key, and what it was made of."""

    key: str
    parts: Mapping[str, object]
    seed: int


@dataclass
class Outputs:
    """Finished steps by name, and the questions that later steps ask of them."""

    store: Store
    steps: Mapping[str, Step]
    models: Mapping[str, ModelTarget]
    digests: FileDigests
    seed: int
    limit: int | None = None
    fetches: bool = False
    """A run brings what is new outside (votes) into its journals; a plan only looks at those."""
    done: dict[str, Output] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    """What there was to say of the world outside, by step."""

    def waits_for(self, node: Node) -> list[str]:
        """The steps that must finish before the node's key can be known."""
        return sorted(
            name for name in node.after if name not in self.done and name not in self.models
        )

    def identity(self, node: Node) -> Identity:
        """The key of a node whose inputs are all finished."""
        seed = step_seed(self.seed, node)
        step = self.steps[node.use]
        views = {slot: self.view(ref) for slot, ref in node.inputs.items()}
        there = {column for view in views.values() for column in view.columns}
        parts = key_parts(
            node,
            step,
            inputs={slot: view.digest for slot, view in views.items()},
            models=self.targets(node),
            files=tuple(self.digests.of(path) for path in node.paths),
            seed=seed,
            limit=self.limit,
            also=tuple(c for c in step.columns_optional(node.config) if c in there),
            outside=self._outside(node),
        )
        return Identity(key_of(parts), parts, seed)

    def _outside(self, node: Node) -> str | None:
        """The head of the journal that the step reads, after it was brought up to date."""
        step = self.steps[node.use]
        if step.outside is None:
            return None
        head, note = step.outside(node.config, self.store.runs / "journals", fetch=self.fetches)
        self.told[node.name] = note
        return head

    def targets(self, node: Node) -> dict[str, ModelTarget]:
        """The models that the node's options name, by option."""
        return {option: self._target(name) for option, name in node.models.items()}

    def view(self, ref: Ref) -> View:
        """The table that a reference means."""
        return view_of(self.done, ref)

    def _target(self, name: str) -> ModelTarget:
        if name in self.models:
            return self.models[name]
        target = self.done[name].manifest.model
        assert target is not None
        return target
