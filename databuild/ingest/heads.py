"""What lies in the files, from their heads: formats, columns and types, the same for all splits."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.errors import RecipeError
from databuild.ingest.records import (
    BOM,
    Record,
    header_of,
    open_bytes,
    read_all,
    read_json,
    read_line,
)
from databuild.ingest.shapes import Seen, Shape, parse_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_HEAD_RECORDS = 1000
# Of very many files fewer records each are read, so that a check stays a matter of seconds.
_ALL_RECORDS = 200_000
_HEAD_BYTES = 16 << 20


@dataclass
class Source:
    """One file, and what is known of all."""

    file: Path
    name: str
    format: str
    size: int
    """Bytes, or rows of Parquet."""
    n_bytes: int
    separator: str = ","
    shapes: dict[str, Shape] = field(default_factory=dict)
    """Of all columns of all files (Parquet: their names; the file knows the types)."""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Columns that this Parquet file lacks, and a file that has them."""

    @property
    def is_divisible(self) -> bool:
        """Parts of it can be read alone."""
        return self.format in {"jsonl", "parquet"} and self.file.suffix != ".gz"

    def as_split(self, start: int, end: int) -> dict[str, Any]:
        """A stretch of it, as plain JSON."""
        split: dict[str, Any] = {
            "file": str(self.file),
            "name": self.name,
            "format": self.format,
            "start": start,
            "end": end,
        }
        if self.format == "parquet":
            return {**split, "columns": list(self.shapes), "elsewhere": self.elsewhere}
        if self.format == "csv":
            split["separator"] = self.separator
        return {**split, "shapes": self.shapes}


def look_at(
    asked: str, types: Mapping[str, str], files: Sequence[Path], separator: str | None
) -> list[Source]:
    """Look at the heads of files.

    Raises:
        RecipeError: A file is missing, a folder, unreadable, or of a format that is not known.
    """
    names = _names(files)
    sources = [_source(path, names[path], asked, separator) for path in files]
    if any(source.format == "parquet" for source in sources):
        _compare_parquet(sources, types)
        return sources
    seen: dict[str, Seen] = {}
    n_records = max(20, min(_HEAD_RECORDS, _ALL_RECORDS // max(len(sources), 1)))
    for source in sources:
        for value in islice(_heads(source), n_records):
            for name, held in value.items():
                seen.setdefault(name, Seen()).add(held)
    shapes: dict[str, Shape] = {name: found.shape() for name, found in seen.items()}
    shapes |= {name: parse_shape(text) for name, text in types.items()}
    for source in sources:
        source.shapes = shapes
    return sources


def _source(path: Path, name: str, asked: str, separator: str | None) -> Source:
    if path.is_dir():
        raise RecipeError(
            str(path), "this is a folder, not a file", fix="name its files: `folder/*.jsonl`"
        )
    if not path.is_file():
        raise RecipeError(str(path), "this file does not exist", fix="correct `path`")
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    form = _SUFFIXES.get(suffix.lower()) if asked == "auto" else asked
    if form is None:
        what = f"the name tells no format (known: {' '.join(_SUFFIXES)}, and .gz)"
        raise RecipeError(str(path), what, fix="set `format`")
    try:
        n_bytes = size = path.stat().st_size
        if form == "json" and asked == "auto" and _is_lines(path):
            form = "jsonl"
        if form == "parquet":
            size = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
        else:
            with open_bytes(path) as file:
                file.read(1)
    except (OSError, EOFError, pl.exceptions.PolarsError) as error:
        why = str(error).splitlines()[:1] or [type(error).__name__]
        what = f"this file cannot be read as {form}: {why[0]}"
        raise RecipeError(
            str(path), what, fix="repair the file, or leave it out of `path`"
        ) from error
    tab = "\t" if suffix.lower() in {".tsv", ".tab"} else ","
    return Source(path, name, form, size, n_bytes, separator or tab)


def _is_lines(path: Path) -> bool:
    """Say whether a `.json` file holds JSON lines: its first line is an object by itself."""
    with open_bytes(path) as file:
        lines = (line for line in islice(file, 100) if line.removeprefix(BOM).strip())
        first = next(lines, b"").removeprefix(BOM)
        has_more = next(lines, None) is not None
    return has_more and read_line(first, 0, 1).error is None


def _names(files: Sequence[Path]) -> dict[Path, str]:
    """The shortest ends of the paths that tell all files apart."""
    for depth in range(1, 1 + max((len(path.parts) for path in files), default=0)):
        names = {path: "/".join(path.parts[-depth:]) for path in files}
        if len(set(names.values())) == len(names):
            return names
    return {path: path.name for path in files}


def _heads(source: Source) -> Iterator[Mapping[str, Any]]:
    """Yield the objects at the head of a file; what is broken is left for the reading to report."""
    data = read_all(source.file, _HEAD_BYTES)[0].removeprefix(BOM)
    if source.format == "csv":
        yield _csv_columns(source, data.decode(errors="replace"))
        return
    records: Iterable[Record]
    if source.format == "jsonl":
        records = (read_line(line, 0, None) for line in data.split(b"\n") if line.strip())
    else:
        records = read_json(data.decode(errors="replace"))
    for record in records:
        if record.value is not None:
            yield record.value


def _csv_columns(source: Source, text: str) -> dict[str, None]:
    """The columns of a CSV file as an object without values: no text decides a type."""
    header = header_of(text, source.separator)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice or "" in header:
        what = (
            f"its header has {twice[0]!r} twice"
            if twice
            else "its header has a column without a name"
        )
        raise RecipeError(str(source.file), what, fix="give every column a name of its own")
    return dict.fromkeys(header)


def _compare_parquet(sources: Sequence[Source], types: Mapping[str, str]) -> None:
    """Give all Parquet files the same columns; refuse types that differ."""
    others = [source for source in sources if source.format != "parquet"]
    if others or types:
        what = (
            "Parquet files carry their own types"
            if types
            else f"{others[0].name} is no Parquet file"
        )
        raise RecipeError(
            str(sources[0].file), f"{what}, and these are read together",
            fix="remove `types`" if types else "read them in two steps and mix them",
        )  # fmt: skip
    found: dict[str, tuple[pl.DataType, Source]] = {}
    schemas = [pl.read_parquet_schema(source.file) for source in sources]
    for source, schema in zip(sources, schemas, strict=True):
        for name, dtype in schema.items():
            first, holder = found.setdefault(name, (dtype, source))
            if first != dtype:
                what = f"the column {name!r} is {dtype} here and {first} in {holder.file.name}"
                raise RecipeError(
                    str(source.file), what, fix="cast it in the files, or read them in two steps"
                )
    for source, schema in zip(sources, schemas, strict=True):
        source.shapes = dict.fromkeys(found, "parquet")
        source.elsewhere = {
            n: str(holder.file) for n, (_, holder) in found.items() if n not in schema
        }
