"""ingest.files: records of JSON lines, JSON, CSV and Parquet files as rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl
from pydantic import Field, field_validator, model_validator

from databuild.engine.step import RESERVED, Produced, step
from databuild.errors import RecipeError, nearest
from databuild.ingest.columnar import reads_alike
from databuild.ingest.heads import Source, look_at
from databuild.ingest.lines import find_lines, read_lines, read_range
from databuild.ingest.plan import ATTRIBUTES, Plan
from databuild.ingest.records import BOM, Record, read_all, read_csv, read_json
from databuild.ingest.rows import Wanted, known_columns
from databuild.ingest.shapes import MisfitError, Shape, fit, fit_text, parse_shape, polars_type
from databuild.ingest.typed import TypedReader
from databuild.recipe.options import Paths, StepConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_SOURCE: dict[str, Any] = {"source_file": pl.String, "source_record": pl.Int64}
_FAILED: dict[str, Any] = {
    "parent_ids": pl.List(pl.String),
    "error": pl.String,
    **_SOURCE,
    "source_line": pl.Int64,
    "raw": pl.String,
}
_SHOWN_CHARS = 200
_BATCH = 10_000


class FilesConfig(StepConfig):
    """Options of `ingest.files`."""

    path: Paths
    """The files: paths or globs, relative to the recipe's folder."""
    format: Literal["auto", "jsonl", "json", "csv", "parquet"] = "auto"
    """What they are; `auto` goes by the name (`.jsonl .ndjson .json .csv .tsv .parquet`, and
    `.gz`)."""
    key: str | None = None
    """A column to copy into the text column `key`, by which versions are compared (a ticket
    number)."""
    types: dict[str, str] = Field(default_factory=dict)
    """Types of columns, where the heads of the files do not tell them: `str`, `int`, `float`,
    `bool`, `json` (any value, kept as JSON text), `list[...]`. Without it, a CSV column is text."""
    rename: dict[str, str] = Field(default_factory=dict)
    """New names of columns: `{instruction: prompt}`."""
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """What stands between the fields of a CSV file; without it a comma, in `.tsv` files a tab."""
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

    @field_validator("columns")
    @classmethod
    def _must_be_known(cls, columns: dict[str, str]) -> dict[str, str]:
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

    @property
    def plan(self) -> Plan:
        """What records shall become, where they do not keep their columns."""
        assert self.rows != "columns"
        return Plan(self.rows, self.columns, is_carried=False)


def plan_splits(
    config: FilesConfig, files: Sequence[Path], shard_bytes: int
) -> list[dict[str, Any]]:
    """Divide files into splits that hold every record once.

    JSON lines are divided by bytes (a split owns the lines that begin in it), Parquet by rows;
    JSON, CSV and packed files are one split each. Every split carries the types, so all have the
    same.

    Raises:
        RecipeError: A file cannot be read, has an unknown format, or has columns that cannot be.
    """
    sources = look_at(config.format, config.types, files, config.separator)
    _check_columns(config, sources, files)
    splits = []
    for source in sources:
        step_size = max(1, source.size * shard_bytes // max(source.n_bytes, 1))
        ends = (
            range(step_size, source.size + step_size, step_size)
            if source.is_divisible
            else [source.size]
        )
        for end in ends:
            start = end - step_size if source.is_divisible else 0
            splits.append(source.as_split(start, min(end, source.size)))
    return splits


def peek_columns(config: FilesConfig, files: Sequence[Path]) -> tuple[str, ...] | None:
    """Name the columns that the rows will have; None if the heads of the files tell none.

    Raises:
        RecipeError: See `plan_splits`.
    """
    sources = look_at(config.format, config.types, files, config.separator)
    _check_columns(config, sources, files)
    if config.rows != "columns":
        return tuple(
            dict.fromkeys([*TypedReader(config.plan, config.key, "", []).schema, *_SOURCE])
        )
    names = [config.rename.get(name, name) for name in sources[0].shapes] if sources else []
    key = ["key"] if config.key else []
    return tuple(dict.fromkeys([*names, *key, *_SOURCE])) if names else None


@step(
    "ingest.files",
    kind="produce",
    sees="source",
    version=1,
    adds=None,
    attributes=(*_SOURCE, *ATTRIBUTES),
    splits=plan_splits,
    peeks=peek_columns,
)
def read_files(split: Mapping[str, Any], config: FilesConfig) -> Produced:
    r"""Read the records of one split; every record is a row or in `failed`.

    The type of a column is decided from the first records of all files (`ingest.shapes`). A record
    fails that is broken JSON, no object, invalid UTF-8, has a key twice, a value of another type
    than its column, or a column that no head has. Blank lines of JSON lines and CSV are no records.

    With `rows` a record is read by its own shape instead, whatever types its keys have, and the
    columns are those of `ingest.rows`; a record with several answers becomes several rows.

    Args:
        split: One of `plan_splits`.
        config: See `FilesConfig`.

    Returns:
        The records' own columns, `key`, and where they came from: `source_file` (its name, with as
        many folders as tell it from the others) and `source_record` (JSON lines: the byte offset in
        the unpacked file, as in `tail -c +$((offset + 1))`; other formats: the number from 0).
        `failed` has the error, `source_line` (from 1, where known) and the first 200 characters.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "tickets.jsonl"
        ...     _ = file.write_text('{"prompt": "Hi"}\n{"prompt": 5}\n{"prompt": "Bye"}\n')
        ...     config = FilesConfig(path="tickets.jsonl")
        ...     made = read_files(plan_splits(config, [file], 1 << 20)[0], config)
        >>> made.rows.select("prompt", "source_file", "source_record").rows()
        [('Hi', 'tickets.jsonl', 0), ('Bye', 'tickets.jsonl', 31)]
        >>> made.failed["error"].to_list()
        ['wrong type: prompt is 5, expected text']
    """
    if config.rows != "columns":
        return _read_typed(split, config)
    if split["format"] == "parquet":
        return Produced(rows=_finish(_read_parquet(split), split, config))
    types: dict[str, Any] = {name: polars_type(shape) for name, shape in split["shapes"].items()}
    failed: list[tuple[Any, ...]] = []
    frames = [
        pl.DataFrame(schema={**types, "source_record": pl.Int64}),
        *_frames(split, failed, lambda records: _fitted(records, split, failed)),
    ]
    return Produced(
        rows=_finish(pl.concat(frames), split, config),
        failed=pl.DataFrame(failed, schema=_FAILED, orient="row"),
    )


def _read_typed(split: Mapping[str, Any], config: FilesConfig) -> Produced:
    """Read the records of a split as typed rows."""
    failed: list[tuple[Any, ...]] = []
    reader = TypedReader(
        config.plan, config.key, split["name"], failed, is_escaped=split["format"] != "jsonl"
    )
    frames: Iterable[pl.DataFrame]
    if split["format"] == "parquet":
        frames = [_read_parquet(split)]
    else:
        shapes = split["shapes"] if reads_alike(split["shapes"]) else {}
        frames = _frames({**split, "shapes": shapes}, failed, reader.read_records)
    typed = [f if f.schema == reader.schema else reader.read_raw(f) for f in frames]
    rows = pl.concat([pl.DataFrame(schema=reader.schema), *typed])
    where = pl.lit(split["name"]).alias("source_file")
    return Produced(
        rows=rows.select(
            pl.lit([], dtype=pl.List(pl.String)).alias("parent_ids"),
            pl.exclude("source_record"),
            where,
            "source_record",
        ),
        failed=pl.DataFrame(failed, schema=_FAILED, orient="row"),
    )


def _frames(
    split: Mapping[str, Any],
    failed: list[tuple[Any, ...]],
    fitted: Callable[[Iterator[Record]], Iterator[pl.DataFrame]],
) -> Iterator[pl.DataFrame]:
    """Read the frames of a text file; what cannot be read goes to `failed`."""
    path, shapes = Path(split["file"]), split["shapes"]
    fault = None
    if path.suffix == ".gz" or split["format"] != "jsonl":
        data, fault = read_all(path)
        offset = 0
    else:
        data, offset = read_range(path, split["start"], split["end"])
    if split["format"] == "jsonl":
        lines = find_lines(data, offset)
        yield from read_lines(lines, shapes, fitted) if shapes else fitted(lines.records())
    else:
        # Bytes that are not UTF-8 become lone surrogates, and fail with the field that holds them.
        text = data.removeprefix(BOM).decode(errors="surrogateescape")
        is_csv = split["format"] == "csv"
        yield from fitted(read_csv(text, split["separator"]) if is_csv else read_json(text))
    if fault:
        failed.append(([], fault, split["name"], len(data), None, ""))


def _fitted(
    records: Iterator[Record], split: Mapping[str, Any], failed: list[tuple[Any, ...]]
) -> Iterator[pl.DataFrame]:
    shapes: Mapping[str, Shape] = split["shapes"]
    schema: dict[str, Any] = {
        **{name: polars_type(shape) for name, shape in shapes.items()},
        "source_record": pl.Int64,
    }
    read = fit_text if split["format"] == "csv" else fit
    rows: list[tuple[Any, ...]] = []
    for record in records:
        error = record.error
        if record.value is not None:
            try:
                rows.append((*_values(record.value, shapes, read), record.place))
            except (MisfitError, RecursionError) as misfit:
                error = str(misfit)
        if error:
            raw = record.raw or json.dumps(record.value, ensure_ascii=False)[:_SHOWN_CHARS]
            raw = raw.encode(errors="replace").decode()
            failed.append(([], error, split["name"], record.place, record.line, raw))
        if len(rows) >= _BATCH:
            yield pl.DataFrame(rows, schema=schema, orient="row")
            rows = []
    yield pl.DataFrame(rows, schema=schema, orient="row")


def _values(value: Mapping[str, Any], shapes: Mapping[str, Shape], read: Any) -> list[Any]:
    for name, held in value.items():
        if name not in shapes and held is not None:
            msg = (
                f"unknown column: {name!r} stands at the head of no file; declare it under `types`"
            )
            raise MisfitError(msg)
    return [read(value.get(name), shape, name) for name, shape in shapes.items()]


def _read_parquet(split: Mapping[str, Any]) -> pl.DataFrame:
    start, n = split["start"], split["end"] - split["start"]
    frame = pl.scan_parquet(split["file"], glob=False).slice(start, n).collect()
    missing = {
        name: pl.lit(None, dtype=pl.read_parquet_schema(other)[name])
        for name, other in split["elsewhere"].items()
    }
    places = pl.int_range(start, start + frame.height, eager=True).alias("source_record")
    return frame.with_columns(**missing).select(*split["columns"], places)


def _finish(frame: pl.DataFrame, split: Mapping[str, Any], config: FilesConfig) -> pl.DataFrame:
    """Add `key` and `source_file`, and give the columns their new names."""
    key = [pl.col(config.key).cast(pl.String).alias("key")] if config.key else []
    own = [
        pl.col(name).alias(config.rename.get(name, name))
        for name in frame.columns
        if name != "source_record" and not (config.key and name == "key")
    ]
    where = [pl.lit(split["name"]).alias("source_file"), pl.col("source_record")]
    # A source's rows have no parents: where they came from is said by file and record.
    return frame.select(
        pl.lit([], dtype=pl.List(pl.String)).alias("parent_ids"), *own, *key, *where
    )


def _check_columns(config: FilesConfig, sources: Sequence[Source], files: Sequence[Path]) -> None:
    """Refuse names that are reserved, names that stand twice, options that name nothing."""
    if not sources or not sources[0].shapes:
        return
    where, have = str(files[0]), list(sources[0].shapes)
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
