"""CSV a chunk at a time: where records end, and the fast way through Arrow.

A chunk is plain where every quote opens a field or closes one or stands for itself as two, and no
carriage return stands alone. There the quotes before a newline tell whether it ends a record, and
Arrow reads what Python's reader reads. What is not plain is read by Python's, record by record.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.ingest.csv_stream import FIELD_CHARS, names_of, read_csv, read_fields
from databuild.ingest.lines import CHUNK_BYTES, places_of
from databuild.ingest.records import BOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from databuild.ingest.records import Record

_NEWLINE, _RETURN, _QUOTE = b'\n\r"'


@dataclass(frozen=True)
class Chunk:
    """Some records of a CSV file, in order."""

    records: Callable[[], Iterator[Record]]
    frame: pl.DataFrame | None = None
    """Their columns and `source_record`, where all were read at once."""


def read_chunks(stream: io.RawIOBase, separator: str, nulls: Sequence[str]) -> Iterator[Chunk]:
    """Read a CSV file with a header, as `read_csv` does, chunk by chunk."""
    file = io.BufferedReader(stream, 1 << 16)
    header: list[str] = []
    held, number, line = b"", 0, 0
    is_last = False
    while not is_last:
        block = file.read(CHUNK_BYTES)
        is_last = len(block) < CHUNK_BYTES
        data = held + block
        start = 0
        skip = len(BOM) if not header and data.startswith(BOM) else 0
        n_bytes = _plain(data, skip, separator, is_last=is_last)
        if n_bytes and not header:
            header, line = _header(data[:n_bytes], separator)
            start = _end_of_line(data, line)
        if n_bytes is None or not header:
            rest = io.BufferedReader(_Rest(data, file), 1 << 16)
            if header:
                yield Chunk(partial(read_fields, rest, header, separator, nulls, number, line))
            else:
                yield Chunk(partial(read_csv, rest, separator, nulls))
            return
        body, held = data[start:n_bytes], data[n_bytes:]
        n_records, n_lines = _count(body)
        frame = _read_fast(body, header, separator, nulls, number, n_records)
        how = (header, separator, nulls, number, line)
        yield Chunk(partial(_careful, body, *how), frame)
        number, line = number + n_records, line + n_lines


def _careful(body: bytes, *how: Any) -> Iterator[Record]:
    return read_fields(io.BytesIO(body), *how)


class _Rest(io.RawIOBase):
    """What was taken from a file already, then the rest of it."""

    def __init__(self, taken: bytes, file: io.BufferedReader[Any]) -> None:
        self._taken, self._file = memoryview(taken), file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._taken:
            return self._file.readinto(buffer)
        n = min(len(buffer), len(self._taken))
        buffer[:n] = self._taken[:n]
        self._taken = self._taken[n:]
        return n


def _plain(data: bytes, skip: int, separator: str, *, is_last: bool) -> int | None:
    """How many bytes of whole records begin `data`; None where they are not plain."""
    if not separator.isascii() or separator in '"\r\n' or len(data) > FIELD_CHARS:
        return None
    bytes_B = np.frombuffer(data, dtype=np.uint8)
    quotes_Q, newlines_N = places_of(bytes_B, _QUOTE), places_of(bytes_B, _NEWLINE)
    outside = newlines_N[np.searchsorted(quotes_Q, newlines_N) % 2 == 0]
    end = int(outside[-1]) + 1 if len(outside) else 0
    if is_last:
        end = 0 if len(quotes_Q) % 2 else len(data)
    if not end:
        return None
    padded_B = np.concatenate([bytes_B[:end], np.array([_NEWLINE], dtype=np.uint8)])
    returns = places_of(bytes_B[:end], _RETURN)
    if not (padded_B[returns + 1] == _NEWLINE).all() or (len(returns) and returns[-1] == end - 1):
        return None
    inner = quotes_Q[quotes_Q < end]
    opens, closes = inner[0::2], inner[1::2]
    before = np.where(opens > skip, bytes_B[opens - 1], _NEWLINE)
    after = padded_B[closes + 1]
    fine = np.isin(before, [ord(separator), _NEWLINE, _QUOTE]).all()
    fine &= np.isin(after, [ord(separator), _NEWLINE, _RETURN, _QUOTE]).all()
    return end if fine else None


def _header(data: bytes, separator: str) -> tuple[list[str], int]:
    """The columns, and how many lines they take."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "surrogateescape", newline="")
    lines = csv.reader(text, delimiter=separator, strict=True)
    return names_of(next(lines, [])), lines.line_num


def _end_of_line(data: bytes, line: int) -> int:
    place = 0
    for _ in range(line):
        place = data.find(b"\n", place) + 1 or len(data)
    return place


def _count(body: bytes) -> tuple[int, int]:
    """How many records a plain chunk has, and how many lines."""
    bytes_B = np.frombuffer(body, dtype=np.uint8)
    quotes_Q, newlines_N = places_of(bytes_B, _QUOTE), places_of(bytes_B, _NEWLINE)
    ends = newlines_N[np.searchsorted(quotes_Q, newlines_N) % 2 == 0]
    starts = np.concatenate([[0], ends + 1])
    ends = np.concatenate([ends, [len(body)]])
    ends -= (ends > starts) & (bytes_B[np.maximum(ends - 1, 0)] == _RETURN) if len(body) else 0
    return int((ends > starts).sum()), len(newlines_N)


def _read_fast(
    body: bytes, header: list[str], separator: str, nulls: Sequence[str], number: int, n: int
) -> pl.DataFrame | None:
    """Read all records at once, or None when that cannot be done faithfully."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    # Arrow takes a byte-order mark at the very beginning for none of the text.
    if not n or len(set(header)) < len(header) or body.startswith(BOM):
        return None
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(body),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=len(body) + 1, column_names=header
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), null_values=list(nulls),
                strings_can_be_null=True, quoted_strings_can_be_null=True,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid:
        return None
    if table.num_rows != n or table.column_names != header:
        return None
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.int_range(number, number + n).alias("source_record"))
