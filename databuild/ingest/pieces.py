"""Read one split piece by piece: the frame of the rows that could be read, and what failed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.ingest.arrow_tables import empty_frame, read_tables, sound_rows, to_frame
from databuild.ingest.csv_stream import read_csv
from databuild.ingest.documents import read_document
from databuild.ingest.encodings import UTF8
from databuild.ingest.json_stream import read_json
from databuild.ingest.layouts import read_whole
from databuild.ingest.lines import CHUNK_BYTES, read_lines, read_range, read_stream
from databuild.ingest.shapes import MisfitError, Shape, fit, fit_text, polars_type
from databuild.ingest.streams import Stream, TornError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from databuild.ingest.lines import Lines
    from databuild.ingest.records import Record

REPAIRED = "lone surrogates repaired"
MISSING = "NaN read as missing"
FAILED: dict[str, Any] = {
    "parent_ids": pl.List(pl.String),
    "error": pl.String,
    "source_file": pl.String,
    "source_record": pl.Int64,
    "source_line": pl.Int64,
    "raw": pl.String,
}
_SHOWN_CHARS = 200
_BATCH = 10_000
_PIECE_RECORDS = 65_536


@dataclass
class Piece:
    """A bounded stretch of a file: its rows with `source_record`, and what became no row."""

    rows: pl.DataFrame
    failed: list[tuple[Any, ...]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


def read_pieces(split: Mapping[str, Any], nulls: Sequence[str]) -> Iterator[Piece]:
    """Yield the pieces of a split: at least one, and one more for a file that cannot be read on."""
    n_rows = n_pieces = 0
    fault = split.get("fault")
    try:
        for piece in () if fault else _pieces(split, nulls):
            if not n_pieces:
                piece.notes.update(split.get("notes", {}))
            n_rows, n_pieces = n_rows + piece.rows.height, n_pieces + 1
            yield piece
    except TornError as error:
        fault = str(error)
    if fault or not n_pieces:
        last = Piece(_empty(split))
        if fault:
            what = f"{fault}; {n_rows:,} rows were read before"
            last.failed.append(([], what, split["name"], None, None, ""))
        if not n_pieces:
            last.notes.update(split.get("notes", {}))
        yield last


def _pieces(split: Mapping[str, Any], nulls: Sequence[str]) -> Iterator[Piece]:
    form, path = split["format"], Path(split["file"])
    if form in {"parquet", "arrow"}:
        yield from _table_pieces(split)
        return
    if split.get("is_divisible"):
        for lines in read_range(path, split["start"], split["end"], split["line"]):
            yield _from_lines(lines, split)
        return
    encoding = None if form == "pdf" else split.get("encoding", UTF8)
    stream = Stream(path, split.get("member"), encoding)
    layout = split.get("layout")
    if layout == "lines":
        yield from (_from_lines(lines, split) for lines in read_stream(stream))
    elif layout in {"array", "sequence"}:
        chunks = read_json(stream, in_array=layout == "array", skip=split.get("skip", 0))
        yield from (_from_lines(lines, split) for lines in chunks)
    elif layout == "whole":
        yield from _from_records(read_whole(stream), split)
    elif form == "csv":
        yield from _from_records(read_csv(stream, split["separator"], nulls), split)
    else:
        yield from _from_records(read_document(stream, form), split)
    if stream.repaired:
        yield Piece(_empty(split), notes=Counter({REPAIRED: stream.repaired}))
    if stream.fault:
        raise TornError(stream.fault)


def _from_lines(lines: Lines, split: Mapping[str, Any]) -> Piece:
    piece = Piece(_empty(split))

    def fitted(records: Iterator[Record]) -> Iterator[pl.DataFrame]:
        return _fitted(records, split, piece)

    piece.rows = pl.concat([piece.rows, *read_lines(lines, split["shapes"], fitted)])
    return piece


def _from_records(records: Iterator[Record], split: Mapping[str, Any]) -> Iterator[Piece]:
    waiting = True
    while waiting:
        piece = Piece(_empty(split))
        some = list(_some(records))
        waiting = bool(some)
        if waiting:
            piece.rows = pl.concat([piece.rows, *_fitted(iter(some), split, piece)])
            yield piece


def _some(records: Iterator[Record]) -> Iterator[Record]:
    """As many records as make a piece."""
    n_chars = 0
    for number, record in enumerate(records, 1):
        yield record
        held = (record.value or {}).values()
        n_chars += sum(len(v) for v in held if isinstance(v, str))
        if number >= _PIECE_RECORDS or n_chars >= CHUNK_BYTES:
            return


def _fitted(
    records: Iterator[Record], split: Mapping[str, Any], piece: Piece
) -> Iterator[pl.DataFrame]:
    shapes: Mapping[str, Shape] = split["shapes"]
    schema = _types(shapes)
    read = fit_text if split["format"] == "csv" else fit
    rows: list[tuple[Any, ...]] = []
    for record in records:
        error = record.error
        if record.value is not None:
            try:
                rows.append((*_values(record.value, shapes, read), record.place))
                piece.notes.update({REPAIRED: record.repaired} if record.repaired else {})
            except (MisfitError, RecursionError) as misfit:
                error = str(misfit) or "nested too deeply"
        if error:
            raw = record.raw or _shown(record.value)
            piece.failed.append(([], error, split["name"], record.place, record.line, raw))
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


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        text = "(nested too deeply to be shown)"
    return text[:_SHOWN_CHARS].encode(errors="replace").decode()


def _table_pieces(split: Mapping[str, Any]) -> Iterator[Piece]:
    place, empty = split["start"], _empty(split)
    for whole in read_tables(split):
        table, bad = sound_rows(whole)
        frame, n_nan = to_frame(table)
        places = pl.int_range(place, place + whole.num_rows, eager=True)
        if bad:
            places = places.filter(~places.is_in([place + i for i in bad]))
        # A column that this file lacks stands in others.
        frame = pl.concat(
            [empty, frame.with_columns(places.alias("source_record"))], how="diagonal"
        )
        piece = Piece(frame, notes=Counter({MISSING: n_nan} if n_nan else {}))
        what = "invalid bytes: a text of this row is not UTF-8"
        piece.failed += [([], what, split["name"], place + i, None, "") for i in bad]
        yield piece
        place += whole.num_rows


def _empty(split: Mapping[str, Any]) -> pl.DataFrame:
    """No rows, with the columns that all splits have."""
    if "schema" in split:
        return empty_frame(split["schema"]).with_columns(
            pl.lit(None, dtype=pl.Int64).alias("source_record")
        )
    return pl.DataFrame(schema=_types(split["shapes"]))


def _types(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    return {**{n: polars_type(shape) for n, shape in shapes.items()}, "source_record": pl.Int64}
