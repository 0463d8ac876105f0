"""What a run found: promotions, verdicts, data sets and the best model, out of manifests alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from databuild.engine.store import Manifest, Store, read_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Promotion:
    """What one round came to, on dev."""

    name: str
    round: str
    metric: str
    candidate: float
    best: float
    gain: float
    n_prompts: int
    is_promoted: bool
    refused: tuple[str, ...]
    """What else than the gain spoke against the candidate."""
    rows: Mapping[str, str]
    """The exams' tables: `rows` the candidate's, `best_rows` the best model's."""


@dataclass(frozen=True)
class Verdict:
    """The best model against the one that it all began with, on one held-out part."""

    name: str
    part: str
    facts: Mapping[str, Any]
    """The metrics of `evaluate.compare`: `model`, `base` and `difference` with 95 % intervals."""


@dataclass(frozen=True)
class Finished:
    """One step of the last run."""

    name: str
    manifest: Manifest
    folder: Path


@dataclass(frozen=True)
class Findings:
    """A recipe's last run: its steps in order, and what matters of them."""

    recipe: str
    run: str
    status: str
    runs: Path
    steps: tuple[Finished, ...]

    def of(self, *uses: str) -> list[Finished]:
        """The complete steps whose `use` starts with one of `uses`."""
        return [
            step
            for step in self.steps
            if step.manifest.use.startswith(uses) and step.manifest.status == "complete"
        ]

    @property
    def promotions(self) -> list[Promotion]:
        """The decision of every round."""
        return [_promotion(step) for step in self.of("flywheel.promote")]

    @property
    def verdicts(self) -> list[Verdict]:
        """The comparisons with the first model, one per held-out part."""
        return [
            Verdict(step.name, step.name.rpartition("@")[2], step.manifest.metrics)
            for step in self.of("evaluate.compare")
        ]

    @property
    def fluency(self) -> list[Finished]:
        """The perplexities of the first and of the best model."""
        return self.of("evaluate.fluency")

    @property
    def contamination(self) -> list[str]:
        """What was checked against test sets and what came of it, a sentence for each step."""
        return [str(step.manifest.metrics["card"]) for step in self.of("dedup.contamination")]

    @property
    def exports(self) -> list[Finished]:
        """The data sets that left."""
        return self.of("export.")

    @property
    def best_model(self) -> tuple[str, Path | None] | None:
        """The identity and the folder of the best model; None where nothing was trained."""
        made = self.of("flywheel.promote") or self.of("train.")
        target = made[-1].manifest.model if made else None
        if target is None:
            return None
        in_folder = target.kind == "folder"
        return target.identity, (self.runs / target.location if in_folder else None)


def find(recipe: str, runs: Path) -> Findings:
    """Read the manifests of a recipe's last run.

    Args:
        recipe: Its name.
        runs: The runs folder.

    Raises:
        StoreError: A manifest is damaged.
    """
    store = Store(runs, recipe)
    latest = store.latest()
    finished = []
    for name, folder in latest.get("steps", {}).items():
        manifest = read_manifest(store.root / folder)
        if manifest is not None:
            finished.append(Finished(name, manifest, store.root / folder))
    return Findings(
        recipe, str(latest.get("run", "")), str(latest.get("status", "")), runs, tuple(finished)
    )


def _promotion(step: Finished) -> Promotion:
    facts = step.manifest.metrics
    return Promotion(
        name=step.name,
        round=step.name.rpartition("@")[2],
        metric=str(facts["metric"]),
        candidate=float(facts["candidate"]),
        best=float(facts["best"]),
        gain=float(facts["gain"]),
        n_prompts=int(facts["n_prompts"]),
        is_promoted=facts["model"] == "candidate",
        refused=tuple(facts.get("refused", ())),
        rows=step.manifest.inputs,
    )
