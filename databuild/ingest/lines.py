"""JSON lines by byte range: the fast way through Arrow, line by line where that finds a fault."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.ingest.records import BOM, Record, read_line
from databuild.ingest.shapes import Shape, arrow_type, holds, polars_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_NEWLINE, _RETURN, _OPEN, _CLOSE = b"\n\r{}"
# Below this many lines it costs less to read them one by one than to halve once more.
_FEW = 64
# Arrow counts bytes of a block in 32 bits.
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Lines:
    """The lines of a stretch of a file that are not empty: where each begins and ends."""

    data: bytes
    offset: int
    starts_L: NDArray[np.int64]
    ends_L: NDArray[np.int64]
    numbers_L: NDArray[np.int64] | None
    """Line numbers from 1, where they are known."""

    def __len__(self) -> int:
        return len(self.starts_L)

    def part(self, start: int, end: int) -> Lines:
        """The lines from `start` up to `end`."""
        numbers_L = None if self.numbers_L is None else self.numbers_L[start:end]
        return Lines(
            self.data, self.offset, self.starts_L[start:end], self.ends_L[start:end], numbers_L
        )

    def records(self) -> Iterator[Record]:
        """Read line by line."""
        for i, (start, end) in enumerate(
            zip(self.starts_L.tolist(), self.ends_L.tolist(), strict=True)
        ):
            line = self.data[start:end]
            if line.strip():
                number = None if self.numbers_L is None else int(self.numbers_L[i])
                yield read_line(line, self.offset + start, number)


def read_range(path: Path, start: int, end: int) -> tuple[bytes, int]:
    """Read the lines that begin in [start, end), whole, and say where the first of them begins."""
    with path.open("rb") as file:
        if start:
            # A line begins at `start` only if the byte before it ends one.
            file.seek(start - 1)
            file.readline()
        place = file.tell()
        if place >= end:
            return b"", place
        data = file.read(end - place)
        return data if data.endswith(b"\n") else data + file.readline(), place


def find_lines(data: bytes, offset: int) -> Lines:
    r"""Find the lines, without a byte-order mark at the very beginning and `\r` at their ends."""
    skip = len(BOM) if offset == 0 and data.startswith(BOM) else 0
    bytes_B = np.frombuffer(data, dtype=np.uint8)
    newlines = np.flatnonzero(bytes_B == _NEWLINE)
    starts_L = np.concatenate([[skip], newlines + 1])
    ends_L = np.concatenate([newlines, [len(data)]])
    before = np.maximum(ends_L - 1, 0)
    has_return = (
        (ends_L > starts_L) & (bytes_B[before] == _RETURN) if len(data) else ends_L > starts_L
    )
    ends_L = ends_L - has_return
    numbers_L = np.arange(1, len(starts_L) + 1) if offset == 0 else None
    found = ends_L > starts_L
    return Lines(
        data,
        offset,
        starts_L[found],
        ends_L[found],
        None if numbers_L is None else numbers_L[found],
    )


def read_lines(
    lines: Lines,
    shapes: Mapping[str, Shape],
    one_by_one: Callable[[Iterator[Record]], Iterator[pl.DataFrame]],
) -> Iterator[pl.DataFrame]:
    """Yield frames of the columns of `shapes` and `source_record`, in order.

    Arrow reads with the explicit schema and refuses whatever does not fit it; then the stretch is
    halved, and what is too small to halve goes to `one_by_one`, which says what is wrong.
    """
    if not len(lines):
        return
    frame = _read_fast(lines, shapes)
    if frame is not None:
        yield frame
    elif len(lines) <= _FEW or any(holds(shape, "json") for shape in shapes.values()):
        yield from one_by_one(lines.records())
    else:
        half = len(lines) // 2
        yield from read_lines(lines.part(0, half), shapes, one_by_one)
        yield from read_lines(lines.part(half, len(lines)), shapes, one_by_one)


def _read_fast(lines: Lines, shapes: Mapping[str, Shape]) -> pl.DataFrame | None:
    """Read all lines at once, or None when that cannot be done faithfully."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    first, last = int(lines.starts_L[0]), int(lines.ends_L[-1])
    bytes_B = np.frombuffer(lines.data, dtype=np.uint8)
    # One object from the first byte of a line to its last: so the n-th row is the n-th line.
    framed = (bytes_B[lines.starts_L] == _OPEN) & (bytes_B[lines.ends_L - 1] == _CLOSE)
    if last - first >= _MOST_BYTES or not shapes or not framed.all():
        return None
    if any(holds(shape, "json") for shape in shapes.values()):
        return None
    block = lines.data[first:last]
    if any(holds(shape, "float") for shape in shapes.values()) and (
        b"NaN" in block or b"Infinity" in block
    ):
        return None  # Arrow reads both, and neither is JSON.
    schema = pa.schema([(name, arrow_type(shape)) for name, shape in shapes.items()])
    try:
        pa.array([block], pa.large_binary()).cast(pa.large_string())  # is it UTF-8?
        table = arrow_json.read_json(
            io.BytesIO(block),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior="error"
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(lines):
        return None
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    types = pl.Schema({name: polars_type(shape) for name, shape in shapes.items()})
    places = pl.Series("source_record", lines.starts_L + lines.offset, dtype=pl.Int64)
    return frame.cast(types).with_columns(places)
