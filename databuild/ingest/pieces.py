"""Read one split piece by piece: the frame of the rows that could be read, and what failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from databuild.ingest.arrow_tables import read_tables, sound_rows, to_frame
from databuild.ingest.csv_chunks import read_chunks
from databuild.ingest.documents import read_document
from databuild.ingest.encodings import UTF8
from databuild.ingest.json_stream import read_json
from databuild.ingest.layouts import read_whole
from databuild.ingest.lines import CHUNK_BYTES, read_range, read_stream
from databuild.ingest.records import MISSING, REPAIRED
from databuild.ingest.streams import Stream, TornError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from databuild.ingest.lines import Lines
    from databuild.ingest.records import Record

FAILED: dict[str, Any] = {
    "parent_ids": pl.List(pl.String),
    "error": pl.String,
    "source_file": pl.String,
    "source_record": pl.Int64,
    "source_line": pl.Int64,
    "raw": pl.String,
}
_PLACE = {"source_record"}
_PIECE_RECORDS = 65_536


@dataclass
class Piece:
    """A bounded stretch of a file: its rows with `source_record`, and what became no row."""

    rows: pl.DataFrame
    failed: list[tuple[Any, ...]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


class Fit(Protocol):
    """How records become rows: with their own columns, or as rows of a kind."""

    def empty(self, split: Mapping[str, Any]) -> pl.DataFrame:
        """No rows, with the columns that all splits have."""
        ...

    def records(
        self, records: Iterator[Record], split: Mapping[str, Any], piece: Piece
    ) -> Iterator[pl.DataFrame]:
        """Yield frames of the rows of records; what becomes none goes to `piece.failed`."""
        ...

    def lines(self, lines: Lines, split: Mapping[str, Any], piece: Piece) -> Iterator[pl.DataFrame]:
        """Yield frames of the rows of lines of JSON."""
        ...

    def table(self, frame: pl.DataFrame, split: Mapping[str, Any], piece: Piece) -> pl.DataFrame:
        """Give the rows of a table that has `source_record`."""
        ...


def read_pieces(split: Mapping[str, Any], nulls: Sequence[str], fit: Fit) -> Iterator[Piece]:
    """Yield the pieces of a split: at least one, and one more for a file that cannot be read on."""
    n_rows = n_pieces = 0
    fault = split.get("fault")
    try:
        for piece in () if fault else _pieces(split, nulls, fit):
            if not n_pieces:
                piece.notes.update(split.get("notes", {}))
            n_rows, n_pieces = n_rows + piece.rows.height, n_pieces + 1
            yield piece
    except TornError as error:
        fault = str(error)
    if fault or not n_pieces:
        last = Piece(fit.empty(split))
        if fault:
            what = f"{fault}; {n_rows:,} rows were read before"
            last.failed.append(([], what, split["name"], None, None, ""))
        if not n_pieces:
            last.notes.update(split.get("notes", {}))
        yield last


def _pieces(split: Mapping[str, Any], nulls: Sequence[str], fit: Fit) -> Iterator[Piece]:
    form, path = split["format"], Path(split["file"])
    if form in {"parquet", "arrow"}:
        yield from _table_pieces(split, fit)
        return
    if split.get("is_divisible"):
        for lines in read_range(path, split["start"], split["end"], split["line"]):
            yield _from_lines(lines, split, fit)
        return
    encoding = None if form == "pdf" else split.get("encoding", UTF8)
    stream = Stream(path, split.get("member"), encoding)
    layout = split.get("layout")
    if layout == "lines":
        yield from (_from_lines(lines, split, fit) for lines in read_stream(stream))
    elif layout in {"array", "sequence"}:
        chunks = read_json(stream, in_array=layout == "array", skip=split.get("skip", 0))
        yield from (_from_lines(lines, split, fit) for lines in chunks)
    elif layout == "whole":
        yield from _from_records(read_whole(stream), split, fit)
    elif form == "csv":
        yield from _csv_pieces(stream, split, nulls, fit)
    else:
        yield from _from_records(read_document(stream, form), split, fit)
    if stream.repaired:
        yield Piece(fit.empty(split), notes=Counter({REPAIRED: stream.repaired}))
    if stream.fault:
        raise TornError(stream.fault)


def _from_lines(lines: Lines, split: Mapping[str, Any], fit: Fit) -> Piece:
    piece = Piece(fit.empty(split))
    piece.rows = pl.concat([piece.rows, *fit.lines(lines, split, piece)])
    return piece


def _from_records(records: Iterator[Record], split: Mapping[str, Any], fit: Fit) -> Iterator[Piece]:
    waiting = True
    while waiting:
        piece = Piece(fit.empty(split))
        some = list(_some(records))
        waiting = bool(some)
        if waiting:
            piece.rows = pl.concat([piece.rows, *fit.records(iter(some), split, piece)])
            yield piece


def _csv_pieces(
    stream: Stream, split: Mapping[str, Any], nulls: Sequence[str], fit: Fit
) -> Iterator[Piece]:
    shapes = split["shapes"]
    is_text = all(shape == "str" for shape in shapes.values())
    for chunk in read_chunks(stream, split["separator"], nulls):
        if is_text and chunk.frame is not None and set(chunk.frame.columns) - {*shapes} == _PLACE:
            piece = Piece(fit.empty(split))
            piece.rows = pl.concat([piece.rows, fit.table(chunk.frame, split, piece)])
            if not piece.failed:
                yield piece
                continue
        # What fails is told with its line.
        yield from _from_records(chunk.records(), split, fit)


def _some(records: Iterator[Record]) -> Iterator[Record]:
    """As many records as make a piece."""
    n_chars = 0
    for number, record in enumerate(records, 1):
        yield record
        held = (record.value or {}).values()
        n_chars += sum(len(v) for v in held if isinstance(v, str))
        if number >= _PIECE_RECORDS or n_chars >= CHUNK_BYTES:
            return


def _table_pieces(split: Mapping[str, Any], fit: Fit) -> Iterator[Piece]:
    place = split["start"]
    for whole in read_tables(split):
        table, bad = sound_rows(whole)
        frame, n_nan = to_frame(table)
        places = pl.int_range(place, place + whole.num_rows, eager=True)
        if bad:
            places = places.filter(~places.is_in([place + i for i in bad]))
        piece = Piece(fit.empty(split), notes=Counter({MISSING: n_nan} if n_nan else {}))
        placed = frame.with_columns(places.alias("source_record"))
        piece.rows = pl.concat([piece.rows, fit.table(placed, split, piece)])
        what = "invalid bytes: a text of this row is not UTF-8"
        piece.failed += [([], what, split["name"], place + i, None, "") for i in bad]
        yield piece
        place += whole.num_rows
