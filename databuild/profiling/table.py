"""A table that is read part by part: a step's view, or files."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import weakref
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.store import part_path
from databuild.errors import SchemaError, StoreError, nearest
from databuild.profiling.gather import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from databuild.engine.step import Step
    from databuild.engine.table import View
    from databuild.profiling.facts import Loss

PART_ROWS = 65_536
NAMES = ("key", "row_id", "parent_ids", "content_id")
"""Columns by which a row of one table is known in another, the first ones first."""
JSON_LINES = (".jsonl", ".ndjson")
FORMATS = (".parquet", *JSON_LINES, ".json", ".csv", ".tsv")
_SHARD_BYTES = 32 << 20
_PACKED = (".gz", ".zst")


class _Spool:
    """A temporary folder that is gone with the last table that is read from it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="databuild-profile-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Table:
    """Rows in parts, each of which is read with only the columns that are needed."""

    name: str
    place: str
    schema: Mapping[str, pl.DataType]
    sizes: tuple[int, ...]
    """Rows of each part. Of a view they are upper bounds until it is read."""
    read: Callable[[int, tuple[str, ...]], pl.DataFrame]
    losses: tuple[Loss, ...] = ()
    shortfalls: tuple[dict[str, Any], ...] = ()
    names: Mapping[str, pl.DataType] = field(default_factory=dict)
    """Columns that name rows and are not looked at themselves."""
    spool: _Spool | None = field(default=None, repr=False)
    """The temporary folder in which the parts lie."""

    left_out: tuple[str, ...] = ()
    """Columns that it has and that are not looked at."""

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The names of all its columns, looked at or not."""
        return (*self.types, *self.left_out)

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        """The types of all columns that can be read."""
        return {**self.names, **self.schema}

    def parts(self, columns: Iterable[str]) -> Iterator[pl.DataFrame]:
        """The parts in order, with `columns` in the table's own types, where they have rows."""
        wanted = tuple(columns)
        for index in range(len(self.sizes)):
            part = self.read(index, wanted)
            if part.height:
                yield part.select(_cast(part, name, self.types[name]) for name in wanted)

    def only(self, columns: Sequence[str], key: str | None = None) -> Table:
        """The table with nothing but some of its columns; rows keep their names.

        Raises:
            SchemaError: One is not there.
        """
        for name in columns:
            if name not in self.schema:
                what = f"it has no column {name!r}; {nearest(name, self.schema)}"
                raise SchemaError(self.name, what, fix="correct `columns`")
        named = [name for name in (*NAMES, *filter(None, [key])) if name in self.schema]
        return replace(
            self,
            schema={name: self.schema[name] for name in columns},
            names={name: self.schema[name] for name in named},
            left_out=tuple(name for name in self.schema if name not in columns),
        )


def view_table(view: View, name: str) -> Table:
    """The table of a step.

    Raises:
        StoreError: A part is missing or damaged.
    """
    folders = [view.base]
    folders += [layer.folder for layer in view.layers if layer.what == "columns"]
    files = [path for folder in folders for path in sorted(folder.glob("part-*.parquet"))]
    seen = merged(map(_schema_of, files))
    dropped = {"reason": pl.String(), "evidence": pl.String()}
    schema = {c: seen.get(c) or dropped.get(c) or pl.Null() for c in view.columns}
    sizes = [_height_of(part_path(view.base, index)) for index in range(view.n_parts)]
    return Table(name, str(view.base), schema, tuple(sizes), view.part)


def file_table(path: Path, ingest: Step, limit: int = 3) -> Table:
    """The table of a file, of a glob, or of all files of a folder.

    Parquet is read where it lies. JSON lines become Parquet in a temporary folder; what Polars
    cannot read as one table, and every other format, is read by `ingest`, which says what failed.

    Args:
        path: The file or folder.
        ingest: The step `ingest.files`.
        limit: Examples of records that could not be read, for each reason.

    Raises:
        StoreError: There is no such file, or none that can be read.
    """
    files = _files(path)
    if all(file.suffix == ".parquet" for file in files):
        return _parquet_table(str(path), str(path), files)
    spool = _Spool()
    folder = spool.folder
    if any(file.suffix == ".parquet" for file in files):
        what = "Parquet files lie there beside files of other formats"
        raise StoreError(str(path), what, fix="name one file, or a folder of one format")
    lines = all(_format(file) in JSON_LINES for file in files)
    losses: tuple[Loss, ...] = ()
    if not (lines and _spooled(files, folder)):
        losses = _ingested(files, folder, ingest, limit)
    table = _parquet_table(str(path), str(path), sorted(folder.glob("*.parquet")))
    return replace(table, losses=losses, spool=spool)


def file_table_of_parts(folder: Path) -> Table:
    """The table of what a step lost: the parts in its `dropped` or `failed`."""
    return _parquet_table(str(folder), str(folder), sorted(folder.glob("part-*.parquet")))


def aligned(before: Table, after: Table) -> tuple[Table, Table]:
    """Two tables whose common columns have common types, so that values can be compared."""
    common = merged([before.types, after.types])
    first, second = (
        replace(
            table,
            schema={c: common[c] for c in table.schema},
            names={c: common[c] for c in table.names},
        )
        for table in (before, after)
    )
    return first, second


def merged(schemas: Iterable[Mapping[str, pl.DataType]]) -> dict[str, pl.DataType]:
    """One type for each column of several schemas: the one that holds them all, else text."""
    found: dict[str, pl.DataType] = {}
    for schema in schemas:
        for name, dtype in schema.items():
            found[name] = _wider(found[name], dtype) if name in found else dtype
    return found


def _wider(one: pl.DataType, other: pl.DataType) -> pl.DataType:
    if one == other:
        return one
    pair = [pl.DataFrame(schema={"c": dtype}) for dtype in (one, other)]
    try:
        return pl.concat(pair, how="vertical_relaxed").schema["c"]
    except pl.exceptions.PolarsError:
        return pl.String()


def _cast(part: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Expr:
    if name not in part.columns:
        return pl.lit(None, dtype=dtype).alias(name)
    have = part.schema[name]
    if have == dtype:
        return pl.col(name)
    if dtype == pl.String and (have.is_nested() or have == pl.Binary):
        return as_text(pl.col(name), have).alias(name)
    return pl.col(name).cast(dtype, strict=False)


def _files(path: Path) -> list[Path]:
    if path.is_dir() and (path / "manifest.json").is_file():  # of a step: not what it lost
        files = sorted(path.glob("part-*.parquet"))
    elif path.is_dir():
        inside = (p for p in path.rglob("*") if p.is_file() and _format(p) in FORMATS)
        hidden = (p for p in inside if not any(x[0] in "._" for x in p.relative_to(path).parts))
        files = sorted(hidden)
    else:
        files = [path] if path.is_file() else []
    if not files:
        what = f"no file of a known format ({', '.join(FORMATS)}, and .gz) lies there"
        raise StoreError(str(path), what, fix="name a file, a folder, or a step of a run")
    return files


def _format(path: Path) -> str:
    suffixes = path.suffixes
    if suffixes and suffixes[-1] in _PACKED:
        suffixes = suffixes[:-1]
    return suffixes[-1].lower() if suffixes else ""


def _parquet_table(name: str, place: str, files: Sequence[Path]) -> Table:
    schema = merged(_schema_of(file) for file in files)
    slices = [
        (file, start, min(PART_ROWS, height - start))
        for file in files
        for height in [_height_of(file)]
        for start in range(0, height, PART_ROWS)
    ]

    def read(index: int, columns: tuple[str, ...]) -> pl.DataFrame:
        file, start, n = slices[index]
        scan = pl.scan_parquet(file, glob=False)
        have = scan.collect_schema()
        named = [column for column in columns if column in have]
        if not named:
            return pl.DataFrame({_NOTHING: pl.repeat(None, n, eager=True)})
        return scan.select(named).slice(start, n).collect()

    return Table(name, place, schema, tuple(n for _, _, n in slices), read)


_NOTHING = "\x00nothing"


def _schema_of(path: Path) -> Mapping[str, pl.DataType]:
    try:
        return pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        what = f"it is no Parquet file, or damaged: {error}"
        raise StoreError(str(path), what, fix="make it again, or name another file") from error


def _height_of(path: Path) -> int:
    try:
        return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        what = f"it is no Parquet file, or damaged: {error}"
        raise StoreError(str(path), what, fix="make it again, or name another file") from error


def _spooled(files: Sequence[Path], folder: Path) -> bool:
    """Write JSON lines as Parquet, block by block; False where Polars cannot read a block."""
    number = 0
    try:
        for file in files:
            for block in _blocks(file):
                rows = pl.read_ndjson(block, infer_schema_length=None)
                rows.write_parquet(folder / f"{number:05d}.parquet", compression="lz4")
                number += 1
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error):
        for made in folder.glob("*.parquet"):
            made.unlink()
        return False
    return True


def _blocks(file: Path) -> Iterator[bytes]:
    """Whole lines, some tens of MiB at a time."""
    if file.suffix == ".zst":
        msg = "the standard library does not read it"
        raise OSError(msg)
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        while block := lines.read(_SHARD_BYTES):
            block += lines.readline()
            if block.strip():
                yield block


def _ingested(files: Sequence[Path], folder: Path, ingest: Step, limit: int) -> tuple[Loss, ...]:
    """Read files as `ingest.files` does, and keep what could not be read."""
    from databuild.profiling.losses import failed_records

    config = ingest.config.model_validate({"path": [str(file) for file in files]})
    assert ingest.splits is not None
    failed: list[pl.DataFrame] = []
    splits = ingest.splits(config, list(files), _SHARD_BYTES)
    pieces = (piece for split in splits for piece in ingest.run(split, config))
    for number, made in enumerate(pieces):
        if made.rows.height:
            rows = made.rows.drop("parent_ids", strict=False)
            rows.write_parquet(folder / f"{number:05d}.parquet", compression="lz4")
        if made.failed is not None and made.failed.height:
            failed.append(made.failed)
    return failed_records(failed, limit)
