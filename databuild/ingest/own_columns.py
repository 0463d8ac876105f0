"""Records as rows with the columns that their files have, each column of one type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.ingest.arrow_tables import empty_frame
from databuild.ingest.lines import read_lines
from databuild.ingest.shapes import MisfitError, Shape, fit, fit_text, polars_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from databuild.ingest.lines import Lines
    from databuild.ingest.pieces import Piece
    from databuild.ingest.records import Record

_SHOWN_CHARS = 200
_BATCH = 10_000


class OwnColumns:
    """Fits every record into the columns of its split."""

    def empty(self, split: Mapping[str, Any]) -> pl.DataFrame:
        """No rows, with the columns that all splits have."""
        if "schema" in split:
            return empty_frame(split["schema"]).with_columns(
                pl.lit(None, dtype=pl.Int64).alias("source_record")
            )
        return pl.DataFrame(schema=_types(split["shapes"]))

    def lines(self, lines: Lines, split: Mapping[str, Any], piece: Piece) -> Iterator[pl.DataFrame]:
        """Yield frames of the rows of lines of JSON."""
        return read_lines(lines, split["shapes"], lambda some: self.records(some, split, piece))

    def table(
        self,
        frame: pl.DataFrame,
        split: Mapping[str, Any],
        piece: Piece,  # noqa: ARG002 -- a table fits
    ) -> pl.DataFrame:
        """Give the rows of a table; a column that its file lacks stands in others."""
        return pl.concat([self.empty(split), frame], how="diagonal")

    def records(
        self, records: Iterator[Record], split: Mapping[str, Any], piece: Piece
    ) -> Iterator[pl.DataFrame]:
        """Yield frames of the rows of records; what fits no column goes to `piece.failed`."""
        shapes: Mapping[str, Shape] = split["shapes"]
        schema = _types(shapes)
        read = fit_text if split["format"] == "csv" else fit
        rows: list[tuple[Any, ...]] = []
        for record in records:
            error = record.error
            if record.value is not None:
                try:
                    rows.append((*_values(record.value, shapes, read), record.place))
                    piece.notes.update(record.notes)
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


def _types(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    return {**{n: polars_type(shape) for n, shape in shapes.items()}, "source_record": pl.Int64}
