"""Records as typed rows: each by its own shape, or whole columns at once where that is the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.schema.rows import KINDS, schema_of
from databuild.text.formats.fields import ANSWERS, INPUTS, PROMPTS
from databuild.text.formats.registry import AUTO, NAMES, read_record, without_nulls
from databuild.text.formats.values import BLANKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from databuild.ingest.records import Record
    from databuild.text.formats.registry import Reading

ATTRIBUTES: dict[str, Any] = {
    "row_kind": pl.String(),
    "source_format": pl.String(),
    "repaired_chars": pl.Int64(),
}
"""How a row was read: its kind, the format that it had, how many lone surrogates were repaired."""
CHOICES = (AUTO, *KINDS)
_BATCH = 10_000
_SHOWN_CHARS = 200
_ESCAPED = {chr(code) for code in range(0xDC80, 0xDD00)}


@dataclass(frozen=True)
class Plan:
    """What records shall become."""

    kind: str
    columns: Mapping[str, str]
    is_carried: bool
    """The table that the records come from keeps its columns beside the rows."""

    @property
    def schema(self) -> dict[str, Any]:
        """The columns of the rows, with their types."""
        return {**schema_of(self.kind), "extra": pl.String(), **ATTRIBUTES}

    def read(self, record: Mapping[str, Any]) -> Reading:
        """Read one record."""
        return read_record(record, self.kind, self.columns)

    def looked_at(self, columns: Iterable[str]) -> list[str]:
        """Those of `columns` that can matter to a row."""
        if not self.is_carried:
            return list(columns)
        named = set(self.columns.values()) if self.columns else NAMES
        return [name for name in columns if name in named or name in self.schema]

    def left_over(self, rest: Mapping[str, Any]) -> str | None:
        """What a row does not hold, as JSON text; of a carried table, what would not be carried."""
        if self.is_carried:
            own = self.schema
            rest = {k: v for k, v in rest.items() if k in own or "." in k}
        if not rest:
            return None
        return json.dumps(rest, ensure_ascii=False, sort_keys=True, default=str)


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
    fast = _flat_rows(frame, plan)
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


def _flat_rows(frame: pl.DataFrame, plan: Plan) -> pl.DataFrame | None:
    """The rows that are one text asked and one text answered; None where the columns are others."""
    names = {source: name for name, source in plan.columns.items()} or {n: n for n in frame.columns}
    named = {names[column]: column for column in frame.columns if column in names}
    known = set(named) & NAMES
    asked, answers, inputs = (
        [n for n in group if n in known] for group in (PROMPTS, ANSWERS, INPUTS)
    )
    asked = [name for name in asked if name not in inputs] or asked
    inputs = [name for name in inputs if name not in asked]
    is_flat = len(asked) == len(answers) == 1 and len(inputs) <= 1 and plan.kind in {AUTO, "sft"}
    if not is_flat or known != {*asked, *answers, *inputs}:
        return None
    if any(frame.schema[named[name]] != pl.String for name in known):
        return None
    rest = [c for c in frame.columns if c not in {named[name] for name in known}]
    if not plan.is_carried and any(
        frame.schema[c] not in {pl.String, pl.Boolean, pl.Int64} for c in rest
    ):
        return None
    question, answer = pl.col(named[asked[0]]), pl.col(named[answers[0]])
    prompt = question
    if inputs:
        added = pl.col(named[inputs[0]])
        joined = pl.concat_str(question, added, separator="\n\n")
        prompt = pl.when(_is_said(added)).then(joined).otherwise(question)
    # What may be a conversation or reasoning is looked at record by record.
    plain = _is_said(question) & _is_said(answer) & ~question.str.contains(r"^\s*[\[{]")
    plain = plain & ~answer.str.contains(r"^\s*(?:[\[{]|<think>)")
    own = {"prompt": prompt, "response": answer, "row_kind": pl.lit("sft")}
    own |= {"source_format": pl.lit(_name(asked[0], answers[0])), "repaired_chars": pl.lit(0)}
    picked = frame.with_row_index("number").filter(plain)
    rows = picked.select(
        **{name: own.get(name, pl.lit(None)).cast(dtype) for name, dtype in plan.schema.items()},
        number=pl.col("number").cast(pl.Int64),
    )
    if plan.is_carried or not rest:
        return rows
    found = [
        plan.left_over({k: v for k, v in zip(rest, held, strict=True) if v is not None})
        for held in picked.select(rest).iter_rows()
    ]
    return rows.with_columns(pl.Series("extra", found, dtype=pl.String))


def _is_said(text: pl.Expr) -> pl.Expr:
    """Say whether a text has anything visible; see `text.formats.values.is_blank`."""
    return text.str.contains(f"[^{_RUST_BLANKS}]").fill_null(value=False)


def _rust(blanks: str) -> str:
    r"""A class of characters as Rust's engine spells it: `\u00a0` is `\x{00a0}`."""
    import re

    return re.sub(r"\\u([0-9a-f]{4})", r"\\x{\1}", blanks)


_RUST_BLANKS = _rust(BLANKS)


def _name(asked: str, answer: str) -> str:
    if (asked, answer) == ("prompt", "completion"):
        return "trl"
    return "alpaca" if asked == "instruction" else "pair"


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
