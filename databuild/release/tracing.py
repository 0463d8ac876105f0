"""The way of a row as released versions tell it, without the folder of any run.

The tree is that of `engine.lineage`: a row, what it was made from up to the sources, what was made
of it, and what happened to it: in which versions it was released, which models were trained on
these, and when it was withdrawn.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.lineage import Event, Life
from databuild.errors import SchemaError
from databuild.release.ancestry import COLUMNS, RELEASED
from databuild.release.encryption import ALL
from databuild.release.finding import Index, rows_with
from databuild.release.forgotten import withdrawals
from databuild.release.models import trained_on
from databuild.release.told import steps_of
from databuild.release.uses import shared
from databuild.release.versions import Versions, names_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from databuild.engine.store import Manifest
    from databuild.release.models import Model

_SHOWN = 8
_MOST = 64
_IDS = {"row_id", "content_id", "parent_ids"}


class Traced:
    """A version, and where each of its rows lies."""

    def __init__(self, versions: Versions, number: str) -> None:
        self.versions, self.version = versions, versions.read(number)
        self.folder = versions.folder(self.version.version)
        paths = [one.path for one in self.version.files if one.path.endswith(".parquet")]
        self._rows = sorted(path for path in paths if path.startswith("lineage/rows-"))
        self._data = sorted(path for path in paths if path.startswith("data/"))
        sealed = self.version.encrypted.columns if self.version.encrypted else ()
        self.is_sealed = sealed == ALL
        if self.is_sealed:
            self._rows, self._data = [], []
        self._open = {
            f"{config}/{split}": [c for c in of.columns if c not in sealed]
            for config, splits in self.version.configs.items() for split, of in splits.items()
        }  # fmt: skip

    @property
    def named(self) -> str:
        """`name@1.2.0`."""
        return f"{self.version.name}@{self.version.version}"

    @cached_property
    def lines(self) -> Index:
        """Where each line of the lineage stands."""
        return Index.of(self.folder, self._rows)

    @cached_property
    def data(self) -> Index:
        """Where each released row stands."""
        return Index.of(self.folder, self._data)

    @cached_property
    def steps(self) -> Mapping[str, Manifest]:
        """The steps behind it, by name."""
        return {one.step: one for one in steps_of(self.folder)}

    def ids(self, prefix: str) -> set[str]:
        """The ids of its lineage that begin so."""
        begins = pl.col("row_id").str.starts_with(prefix)
        return set(rows_with(self.folder, self.lines.with_id(prefix), begins, ["row_id"])["row_id"])

    def near(self, prefix: str) -> set[str]:
        """A few ids that begin like it, as far as any does."""
        files = self.lines.nearest(prefix)
        ids = rows_with(self.folder, files, pl.lit(value=True), ["row_id"])["row_id"].to_list()
        return set(sorted(ids, key=lambda one: shared(one, prefix), reverse=True)[:_SHOWN])

    def told(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """The lines of some rows."""
        wanted = list(ids)
        return self._lines(self.lines.with_ids(wanted), pl.col("row_id").is_in(wanted))

    def made_of(self, row_id: str) -> list[dict[str, Any]]:
        """The lines of what was made from a row."""
        has = pl.col("parent_ids").list.contains(row_id)
        return self._lines(self.lines.with_parents([row_id]), has)[:_MOST]

    def released(self, row_id: str) -> list[tuple[str, dict[str, Any]]]:
        """The splits that a row was released in, with the row."""
        found = []
        for path in self.data.with_ids([row_id]):
            split = path.removeprefix("data/").rpartition("-")[0]
            rows = rows_with(self.folder, [path], pl.col("row_id") == row_id, self._open[split])
            found += [(split, row) for row in rows.to_dicts()]
        return found

    def _lines(self, files: list[str], which: pl.Expr) -> list[dict[str, Any]]:
        rows = rows_with(self.folder, files, which).to_dicts()
        return [{name: row.get(name) for name in COLUMNS} for row in rows]


def trace(store: Path, prefix: str) -> list[Life]:
    """The lives of a row, one for each data set that has it, as its latest version tells them.

    Args:
        store: The folder of released versions.
        prefix: The row's id, or a start of it that no other row's has.

    Raises:
        SchemaError: No row, or several, have an id that begins so; names those that are near.
    """
    every = [
        Traced(versions, number)
        for versions in (Versions(store, name) for name in names_in(store))
        for number in reversed(versions.known())
    ]
    row_id = _only(every, prefix, str(store))
    lives: list[Life] = []
    for name in dict.fromkeys(one.version.name for one in every):
        mine = [one for one in every if one.version.name == name and one.told([row_id])]
        if mine:
            life = _life(mine[0], mine[0].told([row_id])[0])
            life.parents = list(_parents(mine[0], mine[0].told([row_id])[0]))
            life.children = list(_children(mine[0], row_id))
            life.events += _fate(mine, row_id)
            lives.append(life)
    return lives


def extend(lives: list[Life], store: Path) -> list[Life]:
    """Lives that a run tells, with what the store knows besides.

    A row that was read from a version goes on into that version's lineage; of the row itself it is
    said which versions and models it went into.
    """
    if not names_in(store):
        return lives
    for life in lives:
        try:
            known = trace(store, life.row_id)
        except SchemaError:
            known = []
        _cross(life, store)
        for one in known:
            life.events += [event for event in one.events if event.what in _OUTSIDE]
    return lives


_OUTSIDE = {"released", "trained", "withdrawn"}


def _cross(life: Life, store: Path) -> None:
    """Go on behind a row that was read from a version."""
    for parent in life.parents:
        _cross(parent, store)
    if life.use == RELEASED:
        try:
            known = trace(store, life.row_id)
        except SchemaError:
            return
        life.events += [e for one in known for e in one.events if e.what == "released"]
        life.parents = [parent for one in known[:1] for parent in (one.parents or [one])]


def _only(every: list[Traced], prefix: str, where: str) -> str:
    """The only id that begins so."""
    found = {one for traced in every for one in traced.ids(prefix)}
    gone = {one for versions in {t.versions for t in every}
            for withdrawal in withdrawals(versions)
            for one in withdrawal.ids if one.startswith(prefix)}  # fmt: skip
    if len(found) == 1:
        return found.pop()
    if found:
        some = ", ".join(sorted(found)[:_SHOWN])
        what = f"{prefix!r} is the start of several ids: {some}"
        raise SchemaError("why", what, fix="give more digits")
    if gone:
        what = f"row {sorted(gone)[0]} was withdrawn and erased"
        raise SchemaError("why", what, fix="see `databuild versions` for when, and why")
    near = {one for traced in every for one in traced.near(prefix)}
    nearest = sorted(near, key=lambda one: shared(one, prefix), reverse=True)[:3]
    what = f"no row of a version in {where} has an id that starts with {prefix!r}"
    what += f"; the nearest are {', '.join(nearest)}" if nearest else ""
    sealed = [one.named for one in every if one.is_sealed]
    what += f"; not searched, for want of a key: {', '.join(sealed)}" if sealed else ""
    raise SchemaError("why", what, fix="take an id from a released table's column row_id")


def _life(traced: Traced, line: Mapping[str, Any]) -> Life:
    step = traced.steps.get(line["step"])
    row: dict[str, Any] = {}
    for _, released in traced.released(line["row_id"]):
        row |= {k: v for k, v in released.items() if k not in _IDS and v is not None}
    plain = {k: v for k, v in line.items() if k not in {*_IDS, "step", "use", "facts"}}
    row |= {k: v for k, v in plain.items() if v is not None}
    facts = json.loads(line["facts"]) if line["facts"] else {}
    row |= {k: v for k, v in facts.items() if v is not None}
    if step is not None and line["version"] is None:
        row |= _asked(step)
    return Life(line["row_id"], line["step"], line["use"], row)


def _asked(step: Manifest) -> dict[str, Any]:
    """How a step asked: the identities of its models, and its prompts by content."""
    models = step.key_parts.get("models") or {}
    told: dict[str, Any] = {f"{option}_identity": one for option, one in models.items()}
    if step.key_parts.get("brings"):
        told["prompts"] = dict(step.key_parts["brings"])
    return told


def _parents(traced: Traced, line: Mapping[str, Any]) -> Iterator[Life]:
    for parent in traced.told(line["parent_ids"] or ()):
        life = _life(traced, parent)
        life.parents = list(_parents(traced, parent))
        yield life


def _children(traced: Traced, row_id: str) -> Iterator[Life]:
    for line in traced.made_of(row_id):
        life = _life(traced, line)
        life.children = list(_children(traced, line["row_id"]))
        yield life


def _fate(mine: list[Traced], row_id: str) -> Iterator[Event]:
    """In which versions a row was released, and which models were trained on these."""
    models: dict[str, Model] = {}
    for one in reversed(mine):
        splits = sorted(split for split, _ in one.released(row_id))
        if splits:
            yield Event(one.named, "released", {"in": ", ".join(splits)})
        else:
            yield Event(one.named, "released", {"in": "what was made of it"})
        models |= {m.identity: m for m in trained_on(one.versions, [one.version.version])}
    for model in models.values():
        told = {"model": model.identity, "on": ", ".join(sorted(model.versions))}
        yield Event(f"{model.recipe}/{model.step}", "trained", told)
    for withdrawal in withdrawals(mine[0].versions):
        if row_id in withdrawal.ids:
            told = {"from": withdrawal.before, "why": withdrawal.why, "at": withdrawal.at}
            yield Event("withdraw", "withdrawn", told)
