"""Release a version: its tables, their lineage, the card, and last the manifest."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

import polars as pl

from databuild.engine.store import write_json
from databuild.errors import RecipeError, StepError, nearest
from databuild.release.ancestry import ancestors, sources
from databuild.release.card import card
from databuild.release.chunks import chunks
from databuild.release.contents import frames_of, tables_of
from databuild.release.gates import NAMES, gates
from databuild.release.naming import AUTO, check_version, next_version
from databuild.release.versions import (
    MANIFEST,
    File,
    Gate,
    Split,
    Version,
    Versions,
    fingerprint,
    plain,
)
from databuild.schema.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from databuild.engine.lineage import Runs
    from databuild.engine.table import View
    from databuild.recipe.bind import Ref
    from databuild.recipe.model import Release

Tables = dict[str, dict[str, tuple["Ref", "View"]]]


def publish(
    release: Release,
    runs: Runs,
    versions: Versions,
    version: str,
    *,
    recipe: Path,
    run: str,
    allow: Mapping[str, str] | None = None,
    tick: Callable[[int], None] = lambda _rows: None,
) -> Version:
    """Release the tables of the last run as a version; nothing is there until all of it is.

    Args:
        release: What the recipe says.
        runs: The finished steps.
        versions: Where versions lie.
        version: Three numbers, or `auto`.
        recipe: The recipe's file, which is put beside the data.
        run: The id of the run.
        allow: Gates that need not be passed, each with the reason, which the card repeats.
        tick: Told of rows that are written.

    Raises:
        RecipeError: The version exists or goes backwards; `allow` names no gate.
        SchemaError: The last run has not finished a step that is named.
        StepError: A gate is not passed.
        StoreError: The disk is full, or somebody else has released the version.
    """
    allow = allow or {}
    for name in allow:
        if name not in NAMES:
            what = f"{name!r} is no gate; {nearest(name, NAMES)}"
            raise RecipeError("release", what, fix="name one of those")
    tables = tables_of(release, runs)
    version = _number(versions, version, tables)
    with versions.making(version) as folder:
        written = _Writer(versions, folder, tick)
        for config, splits in tables.items():
            for split, (_, view) in splits.items():
                written.table(config, split, view)
        behind = _behind(
            runs, [ref.step for splits in tables.values() for ref, _ in splits.values()]
        )
        roots = sorted(n for n in behind if not runs.manifests[n].inputs)
        licence = {name: release.licence.get(name) for name in roots}
        passed = list(
            gates(
                written.prompts, written.personal, runs, behind, licence,
                needs_licence=release.needs_licence,
            )
        )  # fmt: skip
        passed = _allowed(passed, allow)
        written.lineage(runs, tables)
        shutil.copyfile(recipe, folder / "recipe.yaml")
        made = Version(
            name=versions.name,
            version=version,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            databuild=installed("databuild"),
            recipe=runs.recipe,
            run=run,
            fingerprint=fingerprint(written.files),
            configs={
                config: {
                    split: Split(
                        step=str(ref), rows=view.rows, columns=written.columns[config, split]
                    )
                    for split, (ref, view) in splits.items()
                }
                for config, splits in tables.items()
            },
            files=written.files,
            gates=passed,
            licence=licence,
            steps={name: runs.manifests[name].key for name in sorted(behind)},
            trained=_trained(runs, tables),
        )
        text = card(made, [runs.manifests[n] for n in runs.manifests if n in behind])
        (folder / "README.md").write_text(text, encoding="utf-8")
        made.files += [versions.keep(folder / n, folder) for n in ("README.md", "recipe.yaml")]
        write_json(folder / MANIFEST, plain(made))
    versions.point(latest=version)
    return made


class _Writer:
    """Writes tables into a version's folder, and notes what the gates want to know of them."""

    def __init__(self, versions: Versions, folder: Path, tick: Callable[[int], None]) -> None:
        self.versions, self.folder, self.tick = versions, folder, tick
        self.files: list[File] = []
        self.ids: dict[tuple[str, str], pl.Series] = {}
        self.columns: dict[tuple[str, str], dict[str, str]] = {}
        self.prompts: dict[str, dict[str, pl.Series | None]] = {}
        self.personal: dict[str, int] = {}

    def table(self, config: str, split: str, view: View) -> None:
        """Write one split, cut where its rows say so."""
        place = self.folder / "data" / config
        place.mkdir(parents=True, exist_ok=True)
        ids, prompts = [], []
        for rows in self._write(place, split, frames_of(view)):
            ids.append(rows["row_id"])
            self.columns[config, split] = {c: str(t) for c, t in rows.schema.items()}
            if rows.schema.get("prompt") == pl.String:
                prompts.append(rows["prompt"].drop_nulls())
            self._count_personal(rows)
            self.tick(rows.height)
        if not ids:
            what = f"{config}/{split} has no rows"
            fix = "look at the steps before with `databuild show`, or leave the split out"
            raise StepError("release", what, fix=fix)
        self.ids[config, split] = pl.concat(ids)
        self.prompts.setdefault(config, {})[split] = pl.concat(prompts) if prompts else None

    def lineage(self, runs: Runs, tables: Tables) -> None:
        """Write where all rows came from, and forget them."""
        place = self.folder / "lineage"
        place.mkdir()
        released = [
            (ref.step, self.ids[config, split])
            for config, splits in tables.items()
            for split, (ref, _) in splits.items()
        ]
        rows = ancestors(runs, released)
        origins = sources(rows, pl.concat([ids for _, ids in released]))
        for name, table in (("rows", rows), ("sources", origins)):
            for _ in self._write(place, name, [table]):
                pass

    def _write(
        self, place: Path, name: str, frames: Iterable[pl.DataFrame]
    ) -> Iterator[pl.DataFrame]:
        for n, rows in enumerate(chunks(frames)):
            path = place / f"{name}-{n:05d}.parquet"
            write_parquet(rows, path)
            self.files.append(self.versions.keep(path, self.folder, rows.height))
            yield rows

    def _count_personal(self, rows: pl.DataFrame) -> None:
        for name, dtype in rows.schema.items():
            if name.endswith("_pii") and isinstance(dtype, pl.List):
                n_spans = int((rows[name].list.len() > 0).sum())
                self.personal[name] = self.personal.get(name, 0) + n_spans


def _number(versions: Versions, version: str, tables: Tables) -> str:
    known = versions.known()
    if version != AUTO:
        check_version(version, known)
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
    return next_version(known, breaks=breaks)


def _behind(runs: Runs, steps: Iterable[str]) -> set[str]:
    """The steps that tables came through, themselves included."""
    found: set[str] = set()
    waiting = list(steps)
    while waiting:
        name = waiting.pop()
        if name in runs.manifests and name not in found:
            found.add(name)
            waiting += [ref.partition(".")[0] for ref in runs.manifests[name].inputs.values()]
    return found


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
                raise StepError("release", what, fix=fix)
    return found
