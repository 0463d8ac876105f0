"""Records as typed rows: each by its own shape, or whole columns at once where that is the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.ingest.columnar import columns_at_once
from databuild.text.formats.registry import without_nulls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from databuild.ingest.plan import Plan
    from databuild.ingest.records import Record
    from databuild.text.formats.registry import Reading

_BATCH = 10_000
_SHOWN_CHARS = 200
_ESCAPED = {chr(code) for code in range(0xDC80, 0xDD00)}


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
    slow = frame.select(plan.looked_at(frame.columns)).with_row_index("\0number")
    if fast is not None:
        slow = slow.join(fast.select(pl.col("number").cast(pl.UInt32).alias("\0number")),
                         on="\0number", how="anti", maintain_order="left")  # fmt: skip
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


@dataclass
class TypedReader:
    """Reads the records of a file as typed rows; what is no row goes to `failed`."""

    plan: Plan
    key: str | None
    file: str
    failed: list[tuple[Any, ...]]
    """Tuples of `ingest.files`: parents, error, file, place, line, beginning of the record."""
    is_escaped: bool = False
    """Bytes that are not UTF-8 were read as lone surrogates (U+DC80 to U+DCFF)."""

    @property
    def schema(self) -> dict[str, Any]:
        """The columns of the frames."""
        key = {"key": pl.String()} if self.key else {}
        return {**self.plan.schema, **key, "source_record": pl.Int64()}

    def read_records(self, records: Iterable[Record]) -> Iterator[pl.DataFrame]:
        """Yield frames of rows, in order."""
        made = Rows(self.plan)
        batch: list[tuple[int, str | None]] = []
        for record in records:
            if record.value is None:
                self._fail(record, record.error or "no record", record.raw)
                continue
            reading = self.plan.read(record.value)
            raw = self._raw(record) if reading.faults or self.is_escaped else ""
            if self.is_escaped and reading.repaired and _ESCAPED & set(raw):
                self._fail(record, "invalid UTF-8: the record holds bytes that are not text", raw)
                continue
            for told in reading.faults:
                self._fail(record, told, raw)
            made.add(len(batch), reading)
            batch.append((record.place, self._key(record.value)))
            if len(made.rows) >= _BATCH:
                yield self._placed(made.frame(), batch)
                made, batch = Rows(self.plan), []
        yield self._placed(made.frame(), batch)

    def read_raw(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Read a frame of columns and `source_record`."""
        bare = frame.drop("source_record")
        rows, faults = read_frame(bare, self.plan)
        places = frame["source_record"].to_list()
        for number, told in faults:
            raw = _beginning(without_nulls(bare.row(number, named=True)))
            self.failed.append(([], told, self.file, places[number], None, raw))
        keys = frame[self.key].cast(pl.String).to_list() if self.key else [None] * frame.height
        return self._placed(rows, list(zip(places, keys, strict=True)))

    def _placed(self, rows: pl.DataFrame, batch: list[tuple[int, str | None]]) -> pl.DataFrame:
        at = pl.DataFrame(
            {"source_record": [p for p, _ in batch], "key": [k for _, k in batch]},
            schema={"source_record": pl.Int64, "key": pl.String},
        )
        found = at[rows["number"]] if rows.height else at.clear()
        return pl.concat([rows.drop("number", *(["key"] if "key" in rows.columns else [])), found],
                         how="horizontal").select(list(self.schema))  # fmt: skip

    def _key(self, value: Mapping[str, Any]) -> str | None:
        held = value.get(self.key) if self.key else None
        if held is None or isinstance(held, str):
            return held
        return json.dumps(held, ensure_ascii=False)

    def _raw(self, record: Record) -> str:
        return _beginning(record.value)

    def _fail(self, record: Record, error: str, raw: str) -> None:
        told, begins = (text.encode(errors="replace").decode() for text in (error, raw))
        self.failed.append(([], told, self.file, record.place, record.line, begins[:_SHOWN_CHARS]))


def _beginning(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)[:_SHOWN_CHARS]
    except RecursionError:
        return ""
