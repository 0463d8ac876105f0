"""Which models were trained on which version: kept with the versions, not in the runs folder.

    <store>/<name>/models/<digest>.json      one model that was trained on a version of this data

A version's model is the best one that was trained on it: of a flywheel the one that was promoted
last, else the one that was trained last. `latest` and `best` point at versions; the model follows,
so the two cannot part when a pointer moves.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from databuild.engine.store import ModelTarget
from databuild.errors import RecipeError, StoreError
from databuild.release.naming import read_reference
from databuild.release.versions import Version, Versions, at
from databuild.schema.identity import digest_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from databuild.engine.lineage import Runs
    from databuild.engine.store import Manifest
    from databuild.recipe.model import ModelSpec, Recipe

FOLDER = "models"
_PROMOTE = "flywheel.promote"


class Model(BaseModel):
    """A model that was trained on a version, or on a model that was."""

    identity: str
    recipe: str
    step: str
    use: str
    run: str
    at: str
    """When it was first noted, ISO 8601, UTC."""
    target: ModelTarget
    """What it is, and the folder where it was left."""
    versions: dict[str, str] = Field(default_factory=dict)
    """The versions (`name@1.2.0`) that it was trained on, with the fingerprints they had."""
    promoted: bool | None = None
    """Whether its run ended with it as the best model; null where its run promotes none."""


def models_of(versions: Versions) -> list[Model]:
    """All models that were trained on versions of a data set, the oldest first."""
    found = (Model.model_validate(one) for one in versions.notes(FOLDER).values())
    return sorted(found, key=lambda one: (one.at, one.identity))


def trained_on(versions: Versions, numbers: Iterable[str]) -> list[Model]:
    """The models that were trained on any of some versions."""
    named = {f"{versions.name}@{number}" for number in numbers}
    return [one for one in models_of(versions) if named & one.versions.keys()]


def model_of(versions: Versions, number: str) -> Model | None:
    """The model of a version; None where none was trained on it, or none was good enough."""
    found = [one for one in trained_on(versions, [number]) if one.promoted is not False]
    found.sort(key=lambda one: (bool(one.promoted), one.at))
    return found[-1] if found else None


def note_trained(versions: Versions, made: Version, runs: Runs) -> None:
    """Note the models that the run which a version was released from had trained on its tables."""
    named = {f"{made.name}@{made.version}": made.fingerprint}
    _note(versions, runs, dict.fromkeys(made.trained, named))


def started_from(recipe: Recipe, path: Path) -> list[Versions]:
    """The data sets whose models a recipe starts from."""
    folder = path.resolve().parent
    return [
        Versions((folder / spec.store).resolve(), read_reference(spec.released).name)
        for spec in recipe.models.values()
        if spec.released
    ]


def register(runs: Runs, further: Iterable[Versions] = ()) -> list[Model]:
    """Note the models that a run trained on versions that it had read; twice changes nothing.

    Args:
        runs: The finished steps.
        further: Data sets on whose models others were trained.

    Returns:
        What was noted.
    """
    read = [
        Versions(Path(str(split["store"])), read_reference(str(split["version"])).name)
        for manifest in runs.manifests.values()
        for split in manifest.splits or ()
        if "fingerprint" in split
    ]
    noted: list[Model] = []
    for versions in dict.fromkeys([*read, *further]):
        mine = f"{versions.name}@"
        steps = {
            name: {v: f for v, f in manifest.model.versions.items() if v.startswith(mine)}
            for name, manifest in runs.manifests.items()
            if _is_new(manifest) and manifest.model
        }
        noted += _note(versions, runs, {name: on for name, on in steps.items() if on})
    return noted


def released_model(spec: ModelSpec, folder: Path, where: str) -> ModelTarget:
    """The model of a version that a recipe names with `released: support-bot@best`.

    Raises:
        RecipeError: No model is known that was trained on it, or its folder is gone.
    """
    versions, version = at((folder / spec.store).resolve(), read_reference(str(spec.released)))
    named = f"{version.name}@{version.version}"
    found = model_of(versions, version.version)
    if found is None:
        what = f"no model is known that was trained on {named} and was good enough"
        fix = "train one on it (`ingest.release`), or name a version that has one"
        raise RecipeError(where, what, fix=fix)
    target = found.target
    if target.kind == "folder" and not Path(target.location).is_dir():
        what = f"the model of {named}, {found.identity}, is not in {target.location} any more"
        raise StoreError(where, what, fix="run the recipe that trained it again")
    return target.model_copy(update={
        "prices": spec.prices or target.prices, "options": target.options | spec.options,
        "versions": target.versions | found.versions,
    })  # fmt: skip


def _is_new(manifest: Manifest) -> bool:
    return manifest.kind == "train" and manifest.use != _PROMOTE and manifest.model is not None


def _note(versions: Versions, runs: Runs, steps: dict[str, dict[str, str]]) -> list[Model]:
    promotions = [one.model for one in runs.manifests.values() if one.use == _PROMOTE]
    best = promotions[-1].identity if promotions and promotions[-1] else None
    known = {one.identity: one for one in models_of(versions)}
    noted = []
    for step, on in steps.items():
        manifest = runs.manifests[step]
        assert manifest.model is not None
        model, before = manifest.model, known.get(manifest.model.identity)
        place = (runs.root.parent / model.location).resolve()
        one = Model(
            identity=model.identity, recipe=runs.recipe, step=step, use=manifest.use,
            run=before.run if before else runs.run,
            at=before.at if before else datetime.now(UTC).isoformat(timespec="microseconds"),
            target=model.model_copy(update={"location": str(place)}),
            versions={**(before.versions if before else {}), **on},
            promoted=None if not promotions else model.identity == best,
        )  # fmt: skip
        if before != one:
            versions.note(FOLDER, digest_text(model.identity)[:16], one.model_dump(mode="json"))
        noted.append(one)
    return noted
