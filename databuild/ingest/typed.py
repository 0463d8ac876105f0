"""Records as typed rows: each by its own shape, or whole columns at once where that is the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.ingest.columnar import columns_at_once, reads_alike
from databuild.ingest.lines import read_lines
from databuild.text.formats.registry import without_nulls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from databuild.ingest.lines import Lines
    from databuild.ingest.pieces import Piece
    from databuild.ingest.plan import Plan
    from databuild.ingest.records import Record
    from databuild.text.formats.registry import Reading

_BATCH = 10_000
_SHOWN_CHARS = 200


@dataclass
class Rows:
    """Rows and faults as they are read, each with the number of its record."""

    plan: Plan
    rows: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def add(self, number: int, reading: Reading) -> None:
        """Add the rows of one record."""
        for row, rest in zip(reading.rows, reading.rests, strict=True):
            told = {"source_format": reading.format, "repaired_chars": reading.repaired}
            self.rows.append({**row, **told, "extra": self.plan.left_over(rest)})
            self.numbers.append(number)

    def frame(self) -> pl.DataFrame:
        """The rows as a table, with the column `number`."""
        import pyarrow as pa

        # Arrow makes structs of lists of dicts ten times as fast as Polars does.
        arrays = {
            name: pa.array([row.get(name) for row in self.rows], type=_arrow(dtype))
            for name, dtype in self.plan.schema.items()
        }
        arrays["number"] = pa.array(self.numbers, type=pa.int64())
        frame = pl.from_arrow(pa.table(arrays))
        assert isinstance(frame, pl.DataFrame)
        return frame.select(
            *(pl.col(name).cast(dtype) for name, dtype in self.plan.schema.items()), "number"
        )


def _arrow(dtype: Any) -> Any:
    """The Arrow type of a column."""
    import pyarrow as pa

    if isinstance(dtype, pl.List):
        return pa.large_list(_arrow(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pa.struct([(field.name, _arrow(field.dtype)) for field in dtype.fields])
    words = {pl.String: pa.large_string(), pl.Boolean: pa.bool_(), pl.Int64: pa.int64()}
    return words.get(type(dtype), pa.float64())


def read_frame(frame: pl.DataFrame, plan: Plan) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    """Read the rows of a table, each a record.

    Questions and answers that are plain texts in columns of their own are read column by column;
    the rest is read record by record, with the same result.

    Returns:
        Rows with the column `number` (that of their record, from 0), in its order, and the faults,
        each with that number.
    """
    fast = columns_at_once(frame, plan)
    if fast is not None and fast.height == frame.height:
        return fast, []
    slow = frame.select(plan.looked_at(frame.columns)).with_row_index("\0number")
    if fast is not None:
        is_left = np.ones(frame.height, dtype=bool)
        is_left[fast["number"].to_numpy()] = False
        slow = slow.filter(pl.Series(is_left))
    made, faults = Rows(plan), []
    for record in slow.iter_rows(named=True):
        number = record.pop("\0number")
        values = {k: without_nulls(v) for k, v in record.items() if v is not None}
        reading = plan.read(values)
        made.add(number, reading)
        faults += [(number, told) for told in reading.faults]
    rows = made.frame()
    if fast is not None:
        rows = pl.concat([fast, rows]).sort("number", maintain_order=True)
    return rows, faults


@dataclass(frozen=True)
class TypedRows:
    """Reads the records of files as rows of a kind; what is no row goes to `failed` of the piece.

    The frames have the columns of `schema`: those of the kind, `key`, and `source_record`.
    """

    plan: Plan
    key: str | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """The columns of the frames."""
        key = {"key": pl.String()} if self.key else {}
        return {**self.plan.schema, **key, "source_record": pl.Int64()}

    def empty(self, split: Mapping[str, Any] | None = None) -> pl.DataFrame:  # noqa: ARG002 -- the same for all
        """No rows, with the columns of `schema`."""
        return pl.DataFrame(schema=self.schema)

    def lines(self, lines: Lines, split: Mapping[str, Any], piece: Piece) -> Iterator[pl.DataFrame]:
        """Yield frames of the rows of lines of JSON: through Arrow where that changes no value."""
        shapes = split["shapes"]
        if not shapes or not reads_alike(shapes):
            yield from self.records(lines.records(), split, piece)
            return
        for frame in read_lines(lines, shapes, lambda some: self.records(some, split, piece)):
            is_read = frame.schema == self.schema
            yield frame if is_read else self.table(frame, split, piece)

    def table(self, frame: pl.DataFrame, split: Mapping[str, Any], piece: Piece) -> pl.DataFrame:
        """Read a frame of columns and `source_record`."""
        bare = frame.drop("source_record")
        rows, faults = read_frame(bare, self.plan)
        places = frame["source_record"]
        for number, told in faults:
            raw = _beginning(without_nulls(bare.row(number, named=True)))
            piece.failed.append(([], told, split["name"], places[number], None, raw))
        # A table that lies beside files with the key may have none.
        missing = pl.repeat(None, frame.height, dtype=pl.String, eager=True)
        keys = frame.get_column(self.key, default=missing).cast(pl.String) if self.key else None
        return self._placed(rows, places, keys)

    def records(
        self, records: Iterable[Record], split: Mapping[str, Any], piece: Piece
    ) -> Iterator[pl.DataFrame]:
        """Yield frames of the rows of records, in order."""
        made = Rows(self.plan)
        places: list[int] = []
        keys: list[str | None] = []
        for record in records:
            if record.value is None:
                _fail(piece, split, record, record.error or "no record", record.raw)
                continue
            reading = self.plan.read(record.value)
            reading.repaired += record.repaired
            piece.notes.update(record.notes)
            for told in reading.faults:
                _fail(piece, split, record, told, _beginning(record.value))
            made.add(len(places), reading)
            places.append(record.place)
            keys.append(self._key(record.value))
            if len(made.rows) >= _BATCH:
                yield self._placed(made.frame(), places, keys)
                made, places, keys = Rows(self.plan), [], []
        yield self._placed(made.frame(), places, keys)

    def _placed(
        self,
        rows: pl.DataFrame,
        places: pl.Series | list[int],
        keys: pl.Series | list[str | None] | None,
    ) -> pl.DataFrame:
        """Add where each row's record lies, and its key."""
        at = {"source_record": pl.Series(places, dtype=pl.Int64)}
        if self.key:
            at["key"] = pl.Series(keys, dtype=pl.String)
        numbers = rows["number"]
        found = {name: series.gather(numbers) for name, series in at.items()}
        return rows.drop("number").with_columns(**found).select(list(self.schema))

    def _key(self, value: Mapping[str, Any]) -> str | None:
        held = value.get(self.key) if self.key else None
        if held is None:
            return None
        text = held if isinstance(held, str) else json.dumps(held, ensure_ascii=False)
        return text.encode(errors="replace").decode()


def _fail(piece: Piece, split: Mapping[str, Any], record: Record, error: str, raw: str) -> None:
    told, begins = (text.encode(errors="replace").decode() for text in (error, raw))
    where = (split["name"], record.place, record.line)
    piece.failed.append(([], told, *where, begins[:_SHOWN_CHARS]))


def _beginning(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)[:_SHOWN_CHARS]
    except RecursionError:
        return ""
