"""Release a version: its tables, their lineage, the card, and last the manifest."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from importlib.metadata import version as installed
from secrets import token_hex
from typing import TYPE_CHECKING

from databuild.engine.store import write_json
from databuild.errors import RecipeError, StepError, nearest
from databuild.release.about import about, strata_of
from databuild.release.card import card
from databuild.release.contents import steps_behind, tables_of
from databuild.release.drawing import write_plots
from databuild.release.encryption import ALL, Sealing, check_columns, read_key
from databuild.release.forgotten import forbidden
from databuild.release.gates import NAMES, gates, withdrawn
from databuild.release.models import note_trained
from databuild.release.naming import AUTO, check_version, next_version
from databuild.release.sending import nobody
from databuild.release.told import told_steps
from databuild.release.versions import (
    MANIFEST,
    Gate,
    Split,
    Version,
    Versions,
    fingerprint,
    plain,
    sha256_of,
)
from databuild.release.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from databuild.engine.lineage import Runs
    from databuild.recipe.model import Release
    from databuild.release.contents import Tables
    from databuild.release.sending import Tick

_KEPT = ("README.md", "recipe.yaml", "lineage/steps.json")


def publish(  # noqa: PLR0913 -- every option has a default
    release: Release,
    runs: Runs,
    versions: Versions,
    version: str,
    *,
    recipe: Path,
    allow: Mapping[str, str] | None = None,
    words: Mapping[str, str] | None = None,
    turn: int | None = None,
    tick: Callable[[int], None] = lambda _rows: None,
    sending: Tick = nobody,
) -> Version:
    """Release the tables of the last run as a version; nothing is there until all of it is.

    With `auto`, a version of the same steps and the same recipe is returned, not made again.

    Args:
        release: What the recipe says.
        runs: The finished steps.
        versions: Where versions lie.
        version: Three numbers, or `auto`.
        recipe: The recipe's file, which is put beside the data.
        allow: Gates that need not be passed, each with the reason, which the card repeats.
        words: What each kind of step does, in one sentence.
        turn: The round whose tables are released; None is the last one.
        tick: Told of rows that are written.
        sending: Told of bytes that are sent to an object store.

    Raises:
        RecipeError: The version exists or goes backwards; `allow` names no gate.
        SchemaError: The last run has not finished a step that is named.
        StepError: A gate is not passed.
        StoreError: The disk is full, or somebody else has released the version.
    """
    allow, tables = _checked(allow or {}), tables_of(release, runs, turn)
    if version == AUTO and (there := _there(release, versions, runs, tables, recipe)):
        return there
    version = _number(versions, version, tables)
    sealing = _sealing(release, versions, tables, recipe)
    with versions.making(version, sending) as folder:
        behind = steps_behind(runs, tables)
        strata = strata_of(runs.manifests[n] for n in runs.manifests if n in behind)
        written = Writer(versions, folder, tick, strata, sealing)
        for config, splits in tables.items():
            for split, (_, view) in splits.items():
                written.table(config, split, view)
        roots = (n for n in sorted(behind) if not runs.manifests[n].inputs)
        licence = {root: release.licence.get(root) for root in roots}
        found = gates(written.prompts, written.personal, runs, tables, release, licence)
        passed = _allowed(list(found), allow) + _written_lineage(written, runs, tables)
        write_json(folder / "lineage/steps.json", told_steps(runs, behind))
        made = _described(versions.name, version, runs, tables, written, behind)
        made.gates, made.licence = passed, licence
        made.about = about(release, runs, behind, words or {}, written.facts())
        made.encrypted = sealing.told if sealing else None
        _finish(versions, made, folder, recipe)
    versions.point(latest=version)
    note_trained(versions, made, runs)
    return made


def _checked(allow: Mapping[str, str]) -> Mapping[str, str]:
    """The overrides; each must be one of a gate."""
    for name in allow:
        if name not in NAMES:
            what = f"{name!r} is no gate; {nearest(name, NAMES)}"
            raise RecipeError("release", what, fix="name one of those")
    return allow


def _written_lineage(written: Writer, runs: Runs, tables: Tables) -> list[Gate]:
    """Write the lineage; the gate that lets no row through that was taken back."""
    rows = written.lineage(runs, tables)
    return _allowed([withdrawn(rows["row_id"], forbidden(written.versions))], {})


def _finish(versions: Versions, made: Version, folder: Path, recipe: Path) -> None:
    """Write the recipe, what is made of the manifest, and last the manifest itself."""
    shutil.copyfile(recipe, folder / "recipe.yaml")
    made.files += [versions.keep(path, folder) for path in write_plots(made, folder)]
    (folder / "README.md").write_text(card(made), encoding="utf-8")
    made.files += [versions.keep(folder / n, folder) for n in _KEPT]
    write_json(folder / MANIFEST, plain(made))


def _described(
    name: str, version: str, runs: Runs, tables: Tables, written: Writer, behind: set[str]
) -> Version:
    """The manifest of what was written, but for gates and licences."""
    configs = {
        config: {
            split: Split(step=str(ref), rows=view.rows, columns=written.columns[config, split])
            for split, (ref, view) in splits.items()
        }
        for config, splits in tables.items()
    }
    return Version(
        name=name,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        databuild=installed("databuild"),
        recipe=runs.recipe,
        run=runs.run,
        fingerprint=fingerprint(written.files),
        configs=configs,
        files=written.files,
        steps={name: runs.manifests[name].key for name in sorted(behind)},
        trained=_trained(runs, tables),
        token=token_hex(8),
    )


def _there(
    release: Release, versions: Versions, runs: Runs, tables: Tables, recipe: Path
) -> Version | None:
    """The version that holds just this already, unless a rollback went behind it.

    None either where another key, or rows that were taken back since, may make another version.
    """
    if release.encrypt or forbidden(versions).len():
        return None
    known = versions.known()
    latest = versions.pointers().get("latest", "")
    known = known[: known.index(latest) + 1] if latest in known else known
    steps = {name: runs.manifests[name].key for name in sorted(steps_behind(runs, tables))}
    refs = {c: {s: str(ref) for s, (ref, _) in splits.items()} for c, splits in tables.items()}
    text = ("recipe.yaml", sha256_of(recipe))
    for made in map(versions.read, reversed(known)):
        made_of = {c: {s: of.step for s, of in made.configs[c].items()} for c in made.configs}
        if (made.steps, made_of) == (steps, refs) and text in {
            (one.path, one.sha256) for one in made.files
        }:
            return made
    return None


def _sealing(release: Release, versions: Versions, tables: Tables, recipe: Path) -> Sealing | None:
    """How the version is encrypted, and the files that earlier ones have under the same key."""
    asked = release.encrypt
    if asked is None:
        return None
    file = recipe.parent / asked.key_file if asked.key_file else None
    key = read_key("release.encrypt", env=asked.key_env, file=file)
    columns = ALL if asked.columns == (ALL,) else asked.columns
    named = {f"{c}/{s}": view.columns for c, of in tables.items() for s, (_, view) in of.items()}
    check_columns(columns, named)
    known: dict[str, Path] = {}
    for version in map(versions.read, versions.known()):
        if version.encrypted and version.encrypted.key == key.fingerprint:
            known |= {one.seal: versions.file(version, one) for one in version.files if one.seal}
    return Sealing(key, columns, known)


def _number(versions: Versions, version: str, tables: Tables) -> str:
    known, taken = versions.known(), versions.taken()
    if version != AUTO:
        check_version(version, taken)
        return version
    breaks = False
    if known:
        last = versions.read(known[-1])
        now = {(c, s): set(view.columns) for c, of in tables.items() for s, (_, view) in of.items()}
        breaks = any(
            set(split.columns) - now.get((config, name), set())
            for config, of in last.configs.items()
            for name, split in of.items()
        )
    return next_version(taken, breaks=breaks)


def _trained(runs: Runs, tables: Tables) -> dict[str, str]:
    """The models that were trained on these tables in the same run, by step."""
    released = {str(ref) for splits in tables.values() for ref, _ in splits.values()}
    return {
        name: manifest.model.identity
        for name, manifest in runs.manifests.items()
        if manifest.kind == "train" and manifest.model and released & set(manifest.inputs.values())
    }


def _allowed(found: list[Gate], allow: Mapping[str, str]) -> list[Gate]:
    """The gates with their overrides.

    Raises:
        StepError: One is neither passed nor allowed.
    """
    for gate in found:
        if gate.passed is False:
            gate.override = allow.get(gate.name)
            if gate.override is None:
                what = f"the gate `{gate.name}` is not passed: {gate.told}"
                fix = f"mend it, or release all the same: --allow {gate.name}='the reason'"
                if gate.name == "withdrawn":
                    fix = "take these rows out of the sources, and run again"
                raise StepError("release", what, fix=fix)
    return found
