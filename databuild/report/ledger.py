"""What a run's models cost and what came of it: per step, round and model, from manifests alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from databuild.engine.ledger import Usage
from databuild.engine.lineage import Runs
from databuild.engine.outputs import view_of
from databuild.engine.store import Store, read_manifest
from databuild.recipe.bind import Ref
from databuild.recipe.model import Prices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from databuild.engine.store import Manifest

_JUDGES = ("flywheel.", "evaluate.")
"""Steps that look at rows to judge a model: nothing becomes of the rows there."""


@dataclass(frozen=True)
class Entry:
    """What was asked of one model, by one step or by several together."""

    step: str
    """The step; `""` in a total."""
    round: str
    """The round of a repeated step, `""` of the others."""
    model: str
    """The model's name in the recipe, or its identity where it was trained."""
    usage: Usage
    cost: float | None
    """Of the paid tokens, by the recipe's prices; None where any of the prices is unknown."""
    made: int | None = None
    """Rows that the step made."""
    accepted: int | None = None
    """Those of them that still count at the end: see `rows_accepted`."""
    unfinished: str = ""
    """Why the step is not finished."""

    @property
    def accept_rate(self) -> float | None:
        """Rows accepted per row made; None where that is not known."""
        return None if self.accepted is None or not self.made else self.accepted / self.made


@dataclass(frozen=True)
class Ledger:
    """The entries of a recipe's last run, in the order of its steps, and their totals."""

    recipe: str
    entries: tuple[Entry, ...]

    def by(self, what: str) -> list[Entry]:
        """Totals by `step`, `round` or `model`."""
        groups: dict[str, list[Entry]] = {}
        for entry in self.entries:
            groups.setdefault(str(getattr(entry, what)), []).append(entry)
        return [_total(entries, **{what: name}) for name, entries in groups.items()]

    @property
    def total(self) -> Entry:
        """All of it."""
        return _total(self.entries)


def ledger_of(recipe: str, runs: Path) -> Ledger:
    """Read the ledger of a recipe's last run; a step that is unfinished counts as far as it went.

    Args:
        recipe: Its name.
        runs: The runs folder.

    Raises:
        StoreError: No step of it was run here, or a manifest is damaged.
    """
    store = Store(runs, recipe)
    latest = store.latest()
    known = latest.get("models", {})
    finished = Runs(store)
    accepted = rows_accepted(finished)
    at: Mapping[str, str] = latest.get("at", {})
    found = {name: read_manifest(store.root / folder) for name, folder in at.items()}
    unfinished = {n: m for n, m in found.items() if m is not None and m.status != "complete"}
    manifests = {n: m for n, m in finished.manifests.items() if n not in unfinished} | unfinished
    return Ledger(
        recipe,
        tuple(
            entry
            for name, manifest in manifests.items()
            for entry in _entries(name, manifest, known, accepted.get(name))
        ),
    )


def _entries(
    name: str, manifest: Manifest, known: Mapping[str, Mapping[str, object]], accepted: int | None
) -> Iterable[Entry]:
    is_alone = len(manifest.usage) == 1
    has_rows = manifest.kind == "produce" and manifest.status == "complete"
    for identity, usage in manifest.usage.items():
        about = known.get(identity, {})
        given = about.get("prices")
        cost = usage.cost(Prices.model_validate(given) if given else None)
        yield Entry(
            step=name,
            round=_round(name),
            model=str(about.get("name") or identity),
            usage=usage,
            cost=cost if usage.paid else 0.0,
            # A step that asks several models says only in its rows which one made what.
            made=manifest.rows.rows_out if has_rows and is_alone else None,
            accepted=accepted if has_rows and is_alone else None,
            unfinished=manifest.stopped if manifest.status != "complete" else "",
        )


def _round(name: str) -> str:
    number = name.rpartition("@")[2].partition("-")[0] if "@" in name else ""
    return number if number.isdigit() else ""


def _total(entries: Iterable[Entry], **named: str) -> Entry:
    entries = list(entries)
    usage = sum((entry.usage for entry in entries), Usage())
    costs = [entry.cost for entry in entries if entry.cost is not None]
    steps = {entry.step: entry for entry in entries if entry.accepted is not None}
    place = {"step": "", "round": "", "model": "", **named}
    return Entry(
        **place,
        usage=usage,
        cost=sum(costs) if len(costs) == len(entries) else None,
        made=sum(entry.made or 0 for entry in steps.values()) if steps else None,
        accepted=sum(entry.accepted or 0 for entry in steps.values()) if steps else None,
    )


def rows_accepted(runs: Runs) -> dict[str, int]:
    """How many rows of each produce step still count at the end of the run.

    A row counts when it, or a row that came of it, is in a table that a train or deliver step
    takes; where the recipe has neither, in a table that no step takes rows from. Steps none of
    whose rows could come there, such as the answers of an exam, are left out.
    """
    alive: dict[str, pl.Series] = {}

    def keep(step: str, ids: pl.Series) -> None:
        before = alive.get(step)
        alive[step] = ids.unique() if before is None else pl.concat([before, ids]).unique()

    for ref in _ends(runs):
        keep(runs.base(ref.step), view_of(runs.outputs, ref).read(("row_id",))["row_id"])
    for name in _last_first(runs):
        scan = runs.scan(name)
        if name not in alive or scan is None:
            continue
        mine = scan.select("row_id", "parent_ids").filter(
            pl.col("row_id").is_in(alive[name].implode())
        )
        parents = mine.select(pl.col("parent_ids").explode()).collect()["parent_ids"].drop_nulls()
        for source in runs.manifests[name].inputs.values():
            base = runs.base(source.partition(".")[0])
            ids = runs.scan(base)
            if ids is not None:
                of_it = ids.select("row_id").filter(
                    pl.col("row_id").is_in(parents.unique().implode())
                )
                keep(base, of_it.collect()["row_id"])
    return {name: ids.len() for name, ids in alive.items()}


def _ends(runs: Runs) -> list[Ref]:
    """The tables at the end of the run."""
    rows = {n: m for n, m in runs.manifests.items() if not m.use.startswith(_JUDGES)}
    leaves = [
        source
        for m in rows.values()
        if m.kind in {"train", "deliver"}
        for source in m.inputs.values()
    ]
    if not leaves:
        taken = {source.partition(".")[0] for m in rows.values() for source in m.inputs.values()}
        leaves = [name for name in rows if name not in taken]
    return [Ref(step, part or None) for step, _, part in (one.partition(".") for one in leaves)]


def _last_first(runs: Runs) -> list[str]:
    """The produce steps, each before those that it takes rows from."""
    depth: dict[str, int] = {}

    def deep(name: str) -> int:
        if name not in depth:
            sources = [source.partition(".")[0] for source in runs.manifests[name].inputs.values()]
            depth[name] = 1 + max(map(deep, sources), default=0)
        return depth[name]

    order: Callable[[str], int] = deep
    return sorted(runs.producers(), key=order, reverse=True)
