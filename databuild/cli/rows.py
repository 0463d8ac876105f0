"""Rows of a step of the last run, read no further than needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from databuild.engine.lineage import Runs
from databuild.engine.outputs import view_of
from databuild.engine.store import Manifest, Store, part_path
from databuild.errors import SchemaError, nearest
from databuild.recipe.bind import Ref

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.engine.table import View

LOSSES = ("dropped", "failed")
_FIRST = (
    "error",
    "reason",
    "evidence",
    "prompt",
    "response",
    "chosen",
    "rejected",
    "strength",
    "text",
)


@dataclass(frozen=True)
class Found:
    """A step of the last run, and which of its rows are meant."""

    runs: Runs
    name: str
    part: str | None

    @property
    def manifest(self) -> Manifest:
        """The step's manifest."""
        return self.runs.manifests[self.name]

    @property
    def folder(self) -> Path:
        """The step's folder."""
        return self.runs.folders[self.name]


def open_step(runs: Path, recipe: str, reference: str) -> Found:
    """Find `step`, `step.part`, `step.dropped` or `step.failed` in a recipe's last run.

    Raises:
        SchemaError: There is no such step or part.
    """
    known = Runs(Store(runs, recipe))
    name, _, part = reference.partition(".")
    if name not in known.manifests:
        what = f"the last run finished no step {name!r}; {nearest(name, known.manifests)}"
        raise SchemaError(reference, what, fix="name one of those")
    parts = [*known.manifests[name].part_digests, *LOSSES]
    if part and part not in parts:
        what = f"step {name!r} has no part {part!r}; {nearest(part, parts)}"
        raise SchemaError(reference, what, fix="name one of those")
    return Found(known, name, part or None)


def first_rows(found: Found, n: int, columns: tuple[str, ...] | None) -> tuple[pl.DataFrame, int]:
    """The first `n` rows that are meant, and how many there are.

    Raises:
        SchemaError: A column is not there.
    """
    if found.part in LOSSES and (found.part == "failed" or found.manifest.kind != "select"):
        return _losses(found, n, columns)
    view = view_of(found.runs.outputs, Ref(found.name, found.part))
    _check_columns(found, columns, view.columns)
    return _read(view, n, columns), view.rows


def _read(view: View, n: int, columns: tuple[str, ...] | None) -> pl.DataFrame:
    read: list[pl.DataFrame] = []
    for index in range(view.n_parts):
        read.append(view.part(index, columns))
        if sum(part.height for part in read) >= n:
            break
    if not read:
        return pl.DataFrame()
    return _ordered(pl.concat(read, how="diagonal_relaxed").head(n), columns)


def _losses(found: Found, n: int, columns: tuple[str, ...] | None) -> tuple[pl.DataFrame, int]:
    folder = found.folder / str(found.part)
    parts = [part_path(folder, index) for index in range(found.manifest.n_parts)]
    parts = [path for path in parts if path.exists()]
    if not parts:
        return pl.DataFrame(), 0
    scan = pl.scan_parquet(parts, missing_columns="insert", extra_columns="ignore")
    _check_columns(found, columns, tuple(scan.collect_schema()))
    total = int(scan.select(pl.len()).collect().item())
    return _ordered(scan.head(n).collect(), columns), total


def _ordered(table: pl.DataFrame, columns: tuple[str, ...] | None) -> pl.DataFrame:
    """Only `columns`, as asked, after the id; else the texts that one looks for first."""
    first = ("row_id", *(columns or _FIRST))
    rest = () if columns else table.columns
    return table.select(name for name in dict.fromkeys((*first, *rest)) if name in table.columns)


def _check_columns(found: Found, columns: tuple[str, ...] | None, known: tuple[str, ...]) -> None:
    for name in columns or ():
        if name not in known:
            what = f"it has no column {name!r}; {nearest(name, known)}"
            raise SchemaError(found.name, what, fix="correct `--columns`")
