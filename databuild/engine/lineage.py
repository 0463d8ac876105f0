"""The way of a row: where it came from, what was measured, where it was dropped, what became of it.

All of it is looked up in the folders of the last run; nothing is recomputed and no recipe is
needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.outputs import Output, view_of
from databuild.engine.store import Manifest, Store, part_path, read_manifest
from databuild.errors import SchemaError, StoreError
from databuild.recipe.bind import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOST_CHILDREN = 64
_SHOWN = 8
_JUDGES = ("flywheel.", "evaluate.")
"""Steps that look at rows to judge a model: nothing becomes of the rows there."""
_INTERNAL = {"row_id", "content_id", "parent_ids"}


@dataclass
class Event:
    """One thing that happened to a row, in one step."""

    step: str
    what: str
    """`measured`, `kept`, `dropped`, `failed`, `trained` or `delivered`."""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Life:
    """A row of one step: its columns, what happened to it, its parents and its children."""

    row_id: str
    step: str
    use: str
    row: dict[str, Any]
    events: list[Event] = field(default_factory=list)
    parents: list[Life] = field(default_factory=list)
    children: list[Life] = field(default_factory=list)


class Runs:
    """The finished steps of a recipe's last run, and the relations between them."""

    def __init__(self, store: Store) -> None:
        self.recipe, self.root = store.recipe, store.root
        latest = store.latest()
        self.run, self.status = str(latest.get("run", "")), str(latest.get("status", ""))
        steps: Mapping[str, str] = latest.get("steps", {})
        found = {name: read_manifest(store.root / folder) for name, folder in steps.items()}
        self.manifests = {name: m for name, m in found.items() if m and m.status == "complete"}
        self.folders = {name: store.root / steps[name] for name in self.manifests}
        self.outputs = {n: Output(self.folders[n], m) for n, m in self.manifests.items()}
        if not self.manifests:
            what = "no step of this recipe has been run here"
            raise StoreError(str(store.root), what, fix="run the recipe, or name its runs folder")

    def base(self, name: str) -> str:
        """The produce step whose rows a step's table has."""
        manifest = self.manifests[name]
        if manifest.kind in {"measure", "select"}:
            return self.base(self.primary(name))
        return name

    def primary(self, name: str) -> str:
        """The step that a step's rows come from."""
        return next(iter(self.manifests[name].inputs.values())).partition(".")[0]

    def behind(self, *names: str) -> list[str]:
        """Steps and all that their rows came through, in the order of the run."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in self.manifests and name not in found:
                found.add(name)
                waiting += [ref.partition(".")[0] for ref in self.manifests[name].inputs.values()]
        return [name for name in self.manifests if name in found]

    def producers(self) -> Iterator[str]:
        """The steps that made rows, in order."""
        return (name for name, m in self.manifests.items() if m.kind == "produce" and m.n_parts)

    def ids(self, reference: str) -> pl.Series:
        """The ids of the rows of a table, `step` or `step.part`."""
        name, _, part = reference.partition(".")
        return view_of(self.outputs, Ref(name, part or None)).read(("row_id",))["row_id"]

    def scan(self, name: str, folder: str = "") -> pl.LazyFrame | None:
        """The files of a step (or of its `dropped` or `failed`), None where there are none."""
        place = self.folders[name] / folder
        # A train or deliver step has no table, but may have left out rows: `dropped/part-00000`.
        n_parts = max(1, self.manifests[name].n_parts)
        parts = [part_path(place, index) for index in range(n_parts)]
        parts = [path for path in parts if path.exists()]
        return (
            pl.scan_parquet(parts, missing_columns="insert", extra_columns="ignore")
            if parts
            else None
        )


def find_row(runs: Runs, prefix: str) -> str:
    """The only row id that starts with `prefix`.

    Raises:
        SchemaError: There is no such row, or there are several.
    """
    found: set[str] = set()
    for name in runs.producers():
        scan = runs.scan(name)
        if scan is not None:
            ids = scan.filter(pl.col("row_id").str.starts_with(prefix)).select("row_id")
            found |= set(ids.head(_SHOWN).collect()["row_id"].to_list())
    if len(found) == 1:
        return found.pop()
    if not found:
        what = f"no row of the last run has an id that starts with {prefix!r}"
        raise SchemaError("why", what, fix="take an id from `databuild show <step>`")
    some = ", ".join(sorted(found)[:_SHOWN])
    raise SchemaError(
        "why", f"{prefix!r} is the start of several ids: {some}", fix="give more digits"
    )


def why(runs: Runs, prefix: str) -> list[Life]:
    """The lives of a row, one per step that made it (an equal answer can be made in two exams).

    Raises:
        SchemaError: No row, or several, have an id that starts with `prefix`.
    """
    row_id = find_row(runs, prefix)
    lives = []
    for name in runs.producers():
        for row in _rows(runs, name, pl.col("row_id") == row_id):
            life = _life(runs, name, row)
            life.parents = _parents(runs, name, row["parent_ids"])
            life.children = _children(runs, name, row_id)
            lives.append(life)
    return lives


def _life(runs: Runs, name: str, row: Mapping[str, Any]) -> Life:
    plain = {k: v for k, v in row.items() if k not in _INTERNAL and v is not None}
    prompts = runs.manifests[name].key_parts.get("brings")
    if prompts and "prompts" not in plain:
        plain["prompts"] = prompts  # the files that it asked with, by content
    life = Life(row["row_id"], name, runs.manifests[name].use, plain)
    life.events = list(_events(runs, name, row["row_id"]))
    return life


def _parents(runs: Runs, name: str, ids: list[str]) -> list[Life]:
    """The parents' own lives, up to the sources."""
    lives = []
    sources = {runs.base(ref.partition(".")[0]) for ref in runs.manifests[name].inputs.values()}
    for row_id in ids:
        for source in sources:
            for row in _rows(runs, source, pl.col("row_id") == row_id):
                life = _life(runs, source, row)
                life.parents = _parents(runs, source, row["parent_ids"])
                lives.append(life)
    return lives


def _children(runs: Runs, name: str, row_id: str) -> list[Life]:
    """What was made from the row, in steps that read its table, and what was made from that."""
    lives: list[Life] = []
    for child in runs.producers():
        inputs = (ref.partition(".")[0] for ref in runs.manifests[child].inputs.values())
        if name not in {runs.base(source) for source in inputs}:
            continue
        for row in _rows(runs, child, pl.col("parent_ids").list.contains(row_id)):
            life = _life(runs, child, row)
            life.children = _children(runs, child, row["row_id"])
            lives.append(life)
    return lives[:_MOST_CHILDREN]


def _rows(runs: Runs, name: str, which: pl.Expr) -> list[dict[str, Any]]:
    scan = runs.scan(name)
    return [] if scan is None else scan.filter(which).head(_MOST_CHILDREN).collect().to_dicts()


def _events(runs: Runs, name: str, row_id: str) -> Iterator[Event]:
    """What other steps did with a row of `name`."""
    mine = pl.col("row_id") == row_id
    for other, manifest in runs.manifests.items():
        reads = {ref.partition(".")[0] for ref in manifest.inputs.values()}
        if manifest.kind in {"measure", "select"}:
            if runs.base(other) == name:
                yield from _verdicts(runs, other, manifest, mine)
        elif manifest.kind == "produce":
            if any(runs.base(source) == name for source in reads):
                yield from _losses(runs, other, row_id)
        elif not manifest.use.startswith(_JUDGES):
            trains = [ref for ref in manifest.inputs.values() if _is_in(runs, ref, name, row_id)]
            skipped = list(_verdicts(runs, other, manifest, mine)) if trains else []
            yield from skipped
            if trains and not skipped:
                happened = "trained" if manifest.kind == "train" else "delivered"
                yield Event(other, happened, {"from": trains[0]})


def _verdicts(runs: Runs, step: str, manifest: Manifest, mine: pl.Expr) -> Iterator[Event]:
    what = "measured" if manifest.kind == "measure" else "kept"
    for folder, happened in (("", what), ("dropped", "dropped"), ("failed", "failed")):
        has_table = manifest.kind not in {"train", "deliver"}
        scan = runs.scan(step, folder) if has_table or folder else None
        if scan is None:
            continue
        for facts in scan.filter(mine).collect().to_dicts():
            yield Event(step, happened, {k: v for k, v in facts.items() if k != "row_id"})


def _losses(runs: Runs, step: str, row_id: str) -> Iterator[Event]:
    dropped = runs.scan(step, "dropped")
    if dropped is not None:
        for facts in dropped.filter(pl.col("row_id") == row_id).collect().to_dicts():
            yield Event(step, "dropped", {k: v for k, v in facts.items() if k != "row_id"})
    failed = runs.scan(step, "failed")
    if failed is not None and "parent_ids" in failed.collect_schema():
        for facts in failed.filter(pl.col("parent_ids").list.contains(row_id)).collect().to_dicts():
            yield Event(step, "failed", {k: v for k, v in facts.items() if k != "parent_ids"})


def _is_in(runs: Runs, reference: str, base: str, row_id: str) -> bool:
    """Whether a row of `base` is in the table that a reference means."""
    name, _, part = reference.partition(".")
    if runs.base(name) != base:
        return False
    while runs.manifests[name].kind in {"measure", "select"}:
        if runs.manifests[name].kind == "select":
            scan = runs.scan(name, "dropped" if part == "dropped" else "")
            kept = pl.col("row_id") == row_id
            kept = kept & (pl.col("part") == part) if part not in {"", "dropped"} else kept
            if scan is None or scan.filter(kept).collect().is_empty():
                return False
        reference = next(iter(runs.manifests[name].inputs.values()))
        name, _, part = reference.partition(".")
    return True
