"""A table is a view: the rows of a produce step, columns measured on them, parts selected.

Measures and verdicts are stored beside the rows, part by part, never as copies of the table. A view
is put together when it is read, one part at a time, and joined by `row_id`, never by position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import polars as pl

from databuild.engine.store import Manifest, part_path
from databuild.errors import StoreError
from databuild.schema.identity import digest_text

if TYPE_CHECKING:
    from pathlib import Path

_DROPPED = {"row_id": pl.String, "reason": pl.String, "evidence": pl.String}


@dataclass(frozen=True)
class Layer:
    """What one measure or select step lays over a table."""

    folder: Path
    what: Literal["columns", "kept", "dropped"]
    aligned: bool
    """Part i of the layer covers part i of the rows (not so after a change of shard size)."""
    n_parts: int
    columns: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """A table that can be read part by part, in this process or another."""

    base: Path
    n_parts: int
    layout: str
    base_digest: str
    columns: tuple[str, ...]
    layers: tuple[Layer, ...] = ()
    column_digests: tuple[str, ...] = ()
    selected: str = ""
    rows: int = 0

    @property
    def digest(self) -> str:
        """The content of the view: equal digests, equal rows and columns."""
        return digest_text(self.base_digest, *sorted(self.column_digests), self.selected)

    def part(self, index: int, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
        """Read one part: the rows that are in the view, with `columns` (all when None).

        Raises:
            StoreError: A layer has no value for a row, so the runs folder was changed by hand.
        """
        wanted = self.columns if columns is None or "*" in columns else columns
        try:
            have = pl.read_parquet_schema(part_path(self.base, index))
            rows = pl.read_parquet(part_path(self.base, index), columns=_of(have, wanted))
            for layer in self.layers:
                rows = _lay(rows, layer, index, wanted)
        except (pl.exceptions.ComputeError, FileNotFoundError) as error:
            what = f"part {index} is missing or damaged: {error}"
            fix = f"delete {self.base} or the folder that is named, and run again"
            raise StoreError(str(self.base), what, fix=fix) from error
        return rows

    def schema(self, index: int) -> pl.Schema:
        """Names and types of one part, as `part` would have them; rows are read only if need be."""
        if any(one.what == "dropped" or not one.aligned for one in self.layers):
            return self.part(index).schema
        have = pl.read_parquet_schema(part_path(self.base, index))
        found = {name: have[name] for name in _of(have, self.columns)}
        for layer in self.layers:
            if layer.what == "columns":
                side = pl.read_parquet_schema(part_path(layer.folder, index))
                found |= {name: side[name] for name in layer.columns if name in self.columns}
        return pl.Schema(found)

    def read(self, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
        """Read the whole table, with only `columns`."""
        parts = [self.part(index, columns) for index in range(self.n_parts)]
        return pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()

    def measured(self, folder: Path, manifest: Manifest) -> View:
        """The view with the columns of a measure step."""
        added = tuple(name for name in manifest.columns if name != "row_id")
        layer = Layer(folder, "columns", manifest.layout == self.layout, manifest.n_parts, added)
        return replace(
            self,
            columns=(*self.columns, *added),
            layers=(*self.layers, layer),
            column_digests=(*self.column_digests, manifest.digest),
        )

    def selecting(self, folder: Path, manifest: Manifest, part: str | None) -> View:
        """The view of one part of a select step; of all kept parts when `part` is None."""
        aligned = manifest.layout == self.layout
        if part == "dropped":
            layer = Layer(folder, "dropped", aligned, manifest.n_parts)
            columns = (*self.columns, "reason", "evidence")
            digest, rows = digest_text("dropped", manifest.key), manifest.rows.dropped
            return replace(
                self, columns=columns, layers=(*self.layers, layer), selected=digest, rows=rows
            )
        parts = (part,) if part else tuple(manifest.part_digests)
        digests = [manifest.part_digests.get(name, "") for name in parts]
        rows = sum(manifest.rows.by_part.get(name, 0) for name in parts)
        layer = Layer(folder, "kept", aligned, manifest.n_parts, parts=parts)
        selected = digest_text(*sorted(digests))
        return replace(self, layers=(*self.layers, layer), selected=selected, rows=rows)


def base_view(folder: Path, manifest: Manifest) -> View:
    """The view of everything that a produce step made."""
    return View(
        base=folder,
        n_parts=manifest.n_parts,
        layout=manifest.layout,
        base_digest=manifest.digest,
        columns=tuple(manifest.columns),
        rows=manifest.rows.rows_out,
    )


def _of(have: dict[str, pl.DataType] | pl.Schema, wanted: tuple[str, ...]) -> list[str]:
    names = dict.fromkeys(["row_id", *wanted])
    return [name for name in names if name in have]


def _lay(rows: pl.DataFrame, layer: Layer, index: int, wanted: tuple[str, ...]) -> pl.DataFrame:
    if layer.what == "columns":
        columns = ["row_id", *(c for c in layer.columns if c in wanted)]
        if len(columns) == 1:
            return rows
        side = _read_layer(layer, layer.folder, index, rows, columns)
        joined = rows.join(side, on="row_id", how="inner")
        _check_complete(rows, joined, layer)
        return joined
    if layer.what == "dropped":
        side = _read_layer(layer, layer.folder / "dropped", index, rows, None)
        return rows.join(side, on="row_id", how="inner")
    side = _read_layer(layer, layer.folder, index, rows, None)
    kept = side.filter(pl.col("part").is_in(list(layer.parts))).select("row_id")
    return rows.join(kept, on="row_id", how="semi")


def _read_layer(
    layer: Layer, folder: Path, index: int, rows: pl.DataFrame, columns: list[str] | None
) -> pl.DataFrame:
    numbers = [index] if layer.aligned else range(layer.n_parts)
    parts = [part_path(folder, number) for number in numbers]
    if layer.what == "dropped":
        # A part of which nothing was dropped has no file.
        parts = [path for path in parts if path.exists()]
        if not parts:
            return pl.DataFrame(schema=_DROPPED)
    if layer.aligned:
        return pl.read_parquet(parts[0], columns=columns)
    lazy = pl.scan_parquet(parts, missing_columns="insert").join(
        rows.lazy().select("row_id"), on="row_id", how="semi"
    )
    return (lazy.select(columns) if columns else lazy).collect()


def _check_complete(rows: pl.DataFrame, joined: pl.DataFrame, layer: Layer) -> None:
    if joined.height != rows.height:
        what = f"{rows.height - joined.height} of {rows.height} rows have no measured values here"
        raise StoreError(str(layer.folder), what, fix="delete this folder and run again")
