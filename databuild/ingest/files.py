"""ingest.files: records and documents of files of many formats as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl
from pydantic import Field, field_validator, model_validator

from databuild.engine.step import RESERVED, Produced, step
from databuild.errors import RecipeError, nearest
from databuild.ingest.bundles import bundle, merged, unbundled
from databuild.ingest.encodings import known
from databuild.ingest.heads import look_at
from databuild.ingest.lines import count_lines
from databuild.ingest.own_columns import OwnColumns
from databuild.ingest.pieces import FAILED, read_pieces
from databuild.ingest.plan import ATTRIBUTES, Plan
from databuild.ingest.rows import Wanted, known_columns
from databuild.ingest.shapes import parse_shape
from databuild.ingest.typed import TypedRows
from databuild.recipe.options import Names, Paths, StepConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from databuild.ingest.pieces import Piece
    from databuild.ingest.probe import Source

_SOURCE: dict[str, Any] = {"source_file": pl.String, "source_record": pl.Int64}


class FilesConfig(StepConfig):
    """Options of `ingest.files`."""

    path: Paths
    """The files: paths, globs, or folders (all files in them), relative to the recipe's folder.
    Records, tables (Parquet, Arrow) and documents may lie side by side with `rows: auto`; with the
    files' own columns they are read in a step each."""
    format: Literal[
        "auto", "jsonl", "json", "csv", "parquet", "arrow", "text", "markdown", "html", "pdf"
    ] = "auto"
    """What they are; `auto` goes by the first bytes and the name. Packing (gzip, Zstandard, zip) is
    found by itself."""
    key: str | None = None
    """A column to copy into the text column `key`, by which versions are compared (a ticket
    number)."""
    types: dict[str, str] = Field(default_factory=dict)
    """Types of columns, where the heads of the files do not tell them: `str`, `int`, `float`,
    `bool`, `json` (any value, kept as JSON text), `list[...]`. Without it, a CSV column is text."""
    rename: dict[str, str] = Field(default_factory=dict)
    """New names of columns: `{instruction: prompt}`."""
    under: str | None = None
    """Of a JSON file that is one object: the key under which its rows lie. Without it `data`,
    `rows`, `records`, `examples` and the like."""
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """What stands between the fields of a CSV file; without it a comma, in `.tsv` files a tab, or
    whichever of `, tab ; |` divides the first records evenly."""
    nulls: Names = ("", r"\N")
    """Texts that mean null in a CSV file."""
    encoding: str | None = None
    """The encoding of text files, such as `gb18030` or `cp1252`; without it each file's own
    (`ingest.encodings`)."""
    rows: Literal["columns"] | Wanted = "columns"
    """What records become: `columns` keeps their own columns, of one type each. A kind of row
    (`schemas/rows/`), or `auto`, reads each record by its own shape, as `ingest.rows` does, so that
    a file may mix shapes and types; what a row does not hold is in `extra`, as JSON text."""
    columns: dict[str, str] = Field(default_factory=dict)
    """With `rows`: keys that have other names than the known ones (`{prompt: question}`)."""

    @field_validator("types")
    @classmethod
    def _must_parse(cls, types: dict[str, str]) -> dict[str, str]:
        for text in types.values():
            parse_shape(text)
        return types

    @field_validator("encoding")
    @classmethod
    def _must_be_known(cls, encoding: str | None) -> str | None:
        return encoding and known(encoding)

    @field_validator("columns")
    @classmethod
    def _names_must_be_known(cls, columns: dict[str, str]) -> dict[str, str]:
        return known_columns(columns)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.rows == "columns" and self.columns:
            msg = "`columns` needs `rows` (auto, sft, preference ...); use `rename` for columns"
            raise ValueError(msg)
        if self.rows != "columns" and (self.rename or self.types):
            msg = f"`rename` and `types` do nothing with `rows: {self.rows}`; use `columns`"
            raise ValueError(msg)
        return self

    def fit(self) -> OwnColumns | TypedRows:
        """How records become rows."""
        if self.rows == "columns":
            return OwnColumns()
        return TypedRows(Plan(self.rows, self.columns, is_carried=False), self.key)


def plan_splits(
    config: FilesConfig, files: Sequence[Path], shard_bytes: int
) -> list[dict[str, Any]]:
    """Divide files into splits that hold every record once.

    JSON lines that are not packed are divided by bytes (a split owns the lines that begin in it),
    Parquet by row groups, unless it is packed once more; every other file is one split, and is read
    in pieces. Every split carries the types, so all have the same.

    Raises:
        RecipeError: A file cannot be read, has an unknown format, or has columns that cannot be.
    """
    sources = look_at(config, files)
    _check_columns(config, sources, files)
    splits = [split for source in sources for split in _divided(source, shard_bytes)]
    return bundle(splits, shard_bytes)


def _divided(source: Source, shard_bytes: int) -> Iterator[dict[str, Any]]:
    if source.is_divisible:
        starts = list(range(0, max(source.n_bytes, 1), shard_bytes))
        lines = count_lines(source.file, starts)
        for start, line in zip(starts, lines, strict=True):
            end = min(start + shard_bytes, source.n_bytes)
            yield {**source.as_split(start, end), "line": line}
    elif source.groups:
        first = start = row = held = 0
        for index, (n_rows, n_bytes) in enumerate(source.groups, 1):
            row, held = row + n_rows, held + n_bytes
            if held >= shard_bytes or index == len(source.groups):
                yield {**source.as_split(start, row), "groups": [first, index]}
                first, start, held = index, row, 0
    else:
        yield source.as_split(0, source.n_bytes) | ({"groups": [0, 0]} if source.schema else {})


def peek_columns(config: FilesConfig, files: Sequence[Path]) -> tuple[str, ...] | None:
    """Name the columns that the rows will have; None if the heads of the files tell none.

    Raises:
        RecipeError: See `plan_splits`.
    """
    sources = look_at(config, files)
    _check_columns(config, sources, files)
    fit = config.fit()
    if isinstance(fit, TypedRows):
        return tuple(dict.fromkeys([*fit.schema, *_SOURCE]))
    names = [config.rename.get(name, name) for name in sources[0].shapes] if sources else []
    key = ["key"] if config.key else []
    return tuple(dict.fromkeys([*names, *key, *_SOURCE])) if names else None


@step(
    "ingest.files",
    kind="produce",
    sees="source",
    version=3,
    adds=None,
    attributes=(*_SOURCE, *ATTRIBUTES),
    splits=plan_splits,
    peeks=peek_columns,
)
def read_files(split: Mapping[str, Any], config: FilesConfig) -> Iterator[Produced]:
    r"""Read the records of one split in pieces; every record is a row or in `failed`.

    The type of a column is decided from the first records of all files (`ingest.shapes`). A record
    fails that is broken JSON, no object, invalid UTF-8, has a key twice, a value of another type
    than its column, or a column that no head has. Half a surrogate pair becomes U+FFFD. Blank lines
    of JSON lines and CSV are no records. A file that breaks off, or cannot be read at all, is one
    failed record more, which says how many rows were read before. The manifest's `rows.notes` count
    repaired surrogates, NaN (read as missing), files in legacy encodings, and hidden or
    marker files (`_SUCCESS`, `.crc`, `README.md`) that were passed over.

    With `rows` a record is read by its own shape instead, whatever types its keys have, and the
    columns are those of `ingest.rows`; a record with several answers becomes several rows.

    Args:
        split: One of `plan_splits`.
        config: See `FilesConfig`.

    Returns:
        The records' own columns, `key`, and where they came from: `source_file` (its name, with as
        many folders as tell it from the others; a member of a zip archive follows the archive's)
        and `source_record` (JSON lines: the byte offset in the unpacked text, as in
        `tail -c +$((offset + 1))`; PDF: the page; other formats: the number from 0). Documents have
        `text`, `title` and, of PDF, `page`. `failed` has the error, `source_line` (from 1, where
        lines tell records) and the first 200 characters.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder) / "tickets.jsonl"
        ...     _ = file.write_text('{"prompt": "Hi"}\n{"prompt": 5}\n{"prompt": "Bye"}\n')
        ...     config = FilesConfig(path="tickets.jsonl")
        ...     (made,) = read_files(plan_splits(config, [file], 1 << 20)[0], config)
        >>> made.rows.select("prompt", "source_file", "source_record").rows()
        [('Hi', 'tickets.jsonl', 0), ('Bye', 'tickets.jsonl', 31)]
        >>> made.failed["error"].to_list()
        ['wrong type: prompt is 5, expected text']
    """
    fit = config.fit()
    made = (
        _produced(piece, one, config)
        for one in unbundled(split)
        for piece in read_pieces(one, config.nulls, fit)
    )
    yield from merged(made) if "files" in split else made


def _produced(piece: Piece, split: Mapping[str, Any], config: FilesConfig) -> Produced:
    failed = pl.DataFrame(piece.failed, schema=FAILED, orient="row")
    return Produced(_finish(piece.rows, split, config), failed=failed, notes=dict(piece.notes))


def _finish(frame: pl.DataFrame, split: Mapping[str, Any], config: FilesConfig) -> pl.DataFrame:
    """Add where the rows come from, and give columns of files `key` and their new names."""
    where = [pl.lit(split["name"]).alias("source_file"), pl.col("source_record")]
    # A source's rows have no parents: where they came from is said by file and record.
    no_parents = pl.lit([], dtype=pl.List(pl.String)).alias("parent_ids")
    if config.rows != "columns":
        return frame.select(no_parents, pl.exclude("source_record"), *where)
    key = [pl.col(config.key).cast(pl.String).alias("key")] if config.key else []
    own = [
        pl.col(name).alias(config.rename.get(name, name))
        for name in frame.columns
        if name != "source_record" and not (config.key and name == "key")
    ]
    return frame.select(no_parents, *own, *key, *where)


def _check_columns(config: FilesConfig, sources: Sequence[Source], files: Sequence[Path]) -> None:
    """Refuse names that are reserved, names that stand twice, options that name nothing."""
    shapes = {id(source.shapes): source.shapes for source in sources}.values()
    where, have = str(files[0]), list(dict.fromkeys(name for own in shapes for name in own))
    if not have:
        return
    named = {f"`rename: {{{name}: ...}}`": name for name in config.rename}
    if config.key:
        named["`key`"] = config.key
    for option, name in named.items():
        if name not in have:
            what = f"{option} names a column that the files lack; {nearest(name, have)}"
            raise RecipeError(where, what, fix="correct the name")
    if config.rows != "columns":
        return
    names = [config.rename.get(name, name) for name in have]
    taken = RESERVED | _SOURCE.keys() | ({"key"} if config.key and config.key != "key" else set())
    for name in names:
        if name in taken:
            what = f"the column {name!r} has a name that databuild keeps for itself"
            raise RecipeError(where, what, fix=f"add `rename: {{{name}: file_{name}}}`")
        if names.count(name) > 1:
            what = f"two columns would be called {name!r}"
            raise RecipeError(where, what, fix="correct `rename`")
