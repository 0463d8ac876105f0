"""Framed JSON: where each record of a chunk begins and ends, and the fast way through Arrow.

What frames the records is the format's own: line ends (JSON lines, here), or brackets and commas
(`json_stream`). Arrow reads a chunk with the explicit schema; where it finds a fault the chunk is
halved, and what is too small to halve is read record by record, which says what is wrong.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.ingest.records import BOM, Record, read_line
from databuild.ingest.shapes import Shape, arrow_type, holds, polars_type
from databuild.ingest.templates import read_alike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from databuild.ingest.streams import Stream

CHUNK_BYTES = 16 << 20
"""How much of a file is a piece: what a worker holds, whatever the size of the file."""
_NEWLINE, _RETURN, _OPEN, _CLOSE = b"\n\r{}"
# Below this many records it costs less to read them one by one than to halve once more.
_FEW = 64
_BLOCK_BYTES = 1 << 20
_SEARCHED_BYTES = 1 << 18
# What is shorter than a view (12 bytes) lies in the view itself.
_VIEWED_BYTES = 1 << 10
# Arrow counts bytes of a block in 32 bits.
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Lines:
    """The records of a chunk that are not empty: where each begins and ends."""

    data: bytes
    starts_L: NDArray[np.int64]
    ends_L: NDArray[np.int64]
    places_L: NDArray[np.int64]
    """What `source_record` says of each."""
    newlines_N: NDArray[np.int64]
    """Where lines end in `data`."""
    first_line: int = 1
    """The number of the line with which `data` begins, from 1."""
    skips_blank: bool = True
    """What is only space is no record."""

    def __len__(self) -> int:
        return len(self.starts_L)

    def part(self, start: int, end: int) -> Lines:
        """The records from `start` up to `end`."""
        cut = slice(start, end)
        return replace(
            self, starts_L=self.starts_L[cut], ends_L=self.ends_L[cut], places_L=self.places_L[cut]
        )

    def records(self) -> Iterator[Record]:
        """Read record by record."""
        numbers_L = self.first_line + np.searchsorted(self.newlines_N, self.starts_L)
        columns = (self.starts_L, self.ends_L, self.places_L, numbers_L)
        for start, end, place, number in zip(*(c.tolist() for c in columns), strict=True):
            text = self.data[start:end]
            if text.strip() or not self.skips_blank:
                yield read_line(text, place, number)


def read_range(path: Path, start: int, end: int, line: int) -> Iterator[Lines]:
    """Yield the lines that begin in [start, end), whole, a chunk at a time.

    `line` is the number of the first line that begins at or after `start`.
    """
    with path.open("rb") as file:
        if start:
            # A line begins at `start` only if the byte before it ends one.
            file.seek(start - 1)
            file.readline()
        while (place := file.tell()) < end:
            # Where the line ends is found first, so that nothing is copied to add its rest.
            last = min(end - place, CHUNK_BYTES) - 1
            file.seek(place + last)
            n_bytes = last + len(file.readline())
            file.seek(place)
            data = file.read(n_bytes)
            yield (lines := find_lines(data, place, line))
            line += len(lines.newlines_N)


def read_stream(stream: Stream) -> Iterator[Lines]:
    """Yield all lines of a stream, a chunk at a time."""
    file = io.BufferedReader(stream, 1 << 16)
    place, line = 0, 1
    while data := file.read(CHUNK_BYTES):
        data += file.readline() if not data.endswith(b"\n") else b""
        yield (lines := find_lines(data, place, line))
        place, line = place + len(data), line + len(lines.newlines_N)


def count_lines(path: Path, places: list[int]) -> list[int]:
    """For each place (in order), the number of the first line that begins at or after it."""
    found, at, n_lines = [], 0, 1
    with path.open("rb") as file:
        for place in places:
            # The line in which `place - 1` lies ends before the first one that is counted here.
            while at < place - 1 and (block := file.read(min(_SEARCHED_BYTES, place - 1 - at))):
                n_lines += int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == _NEWLINE))
                at += len(block)
            found.append(n_lines + 1 if place else 1)
    return found


def find_lines(data: bytes, offset: int, first_line: int = 1) -> Lines:
    r"""Find the lines, without a byte-order mark at the very beginning and `\r` at their ends.

    Only `\n` ends a record: U+2028, U+0085 and the like are characters like others.
    """
    skip = len(BOM) if offset == 0 and data.startswith(BOM) else 0
    bytes_B = np.frombuffer(data, dtype=np.uint8)
    newlines_N = places_of(bytes_B, _NEWLINE)
    starts_L = np.concatenate([[skip], newlines_N + 1])
    ends_L = np.concatenate([newlines_N, [len(data)]])
    before = np.maximum(ends_L - 1, 0)
    has_return = (
        (ends_L > starts_L) & (bytes_B[before] == _RETURN) if len(data) else ends_L > starts_L
    )
    ends_L = ends_L - has_return
    found = ends_L > starts_L
    if not found.all():
        starts_L, ends_L = starts_L[found], ends_L[found]
    return Lines(data, starts_L, ends_L, starts_L + offset, newlines_N, first_line)


def places_of(bytes_B: NDArray[np.uint8], byte: int) -> NDArray[np.int64]:
    """Where a byte stands that is rare: words of eight are looked at first."""
    found = [np.empty(0, dtype=np.int64)]
    # Blocks that stay in the processor's cache.
    for start in range(0, len(bytes_B), _SEARCHED_BYTES):
        is_it_B = bytes_B[start : start + _SEARCHED_BYTES] == byte
        n_whole = len(is_it_B) // 8 * 8
        words_W = is_it_B[:n_whole].view(np.uint64)
        has_any = np.flatnonzero(words_W)
        within = np.flatnonzero(words_W[has_any].view(bool))
        found.append((has_any[within >> 3] << 3) + (within & 7) + start)
        found.append(np.flatnonzero(is_it_B[n_whole:]) + n_whole + start)
    return np.concatenate(found)


def read_lines(
    lines: Lines,
    shapes: Mapping[str, Shape],
    one_by_one: Callable[[Iterator[Record]], Iterator[pl.DataFrame]],
) -> Iterator[pl.DataFrame]:
    """Yield frames of the columns of `shapes` and `source_record`, in order."""
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
    """Read all records at once, or None when that cannot be done faithfully."""
    import pyarrow as pa

    first, last = int(lines.starts_L[0]), int(lines.ends_L[-1])
    bytes_B = np.frombuffer(lines.data, dtype=np.uint8)
    # One object from the first byte of a record to its last: so the n-th row is the n-th record.
    framed = (bytes_B[lines.starts_L] == _OPEN) & (bytes_B[lines.ends_L - 1] == _CLOSE)
    if last - first >= _MOST_BYTES or not shapes or not framed.all():
        return None
    if any(holds(shape, "json") for shape in shapes.values()):
        return None
    block = memoryview(lines.data)[first:last]
    try:
        frame = read_alike(lines, shapes)
        if frame is None:
            is_utf8(block)
            frame = _read_any(lines, shapes)
    except pa.ArrowInvalid:
        return None
    if frame is None or _has_no_number(frame, shapes, lines.data):
        return None
    types = pl.Schema({name: polars_type(shape) for name, shape in shapes.items()})
    places = pl.Series("source_record", lines.places_L, dtype=pl.Int64)
    return (frame if frame.schema == types else frame.cast(types)).with_columns(places)


def _read_any(lines: Lines, shapes: Mapping[str, Shape]) -> pl.DataFrame | None:
    """Read all records with Arrow's parser."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    block = memoryview(lines.data)[int(lines.starts_L[0]) : int(lines.ends_L[-1])]
    schema = pa.schema([(name, arrow_type(shape)) for name, shape in shapes.items()])
    # Blocks that stay in the processor's cache are read a quarter faster; none may lie in a line.
    longest = int((lines.ends_L - lines.starts_L).max()) + 2
    block_bytes = min(max(_BLOCK_BYTES, 2 * longest), len(block) + 1)
    table = arrow_json.read_json(
        pa.BufferReader(pa.py_buffer(block)),
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=block_bytes),
        parse_options=arrow_json.ParseOptions(
            explicit_schema=schema, newlines_in_values=False, unexpected_field_behavior="error"
        ),
    )
    if table.num_rows != len(lines):
        return None
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _has_no_number(frame: pl.DataFrame, shapes: Mapping[str, Shape], data: bytes) -> bool:
    """Whether NaN or Infinity may stand there: Arrow reads both, and neither is JSON."""
    floats = [name for name, shape in shapes.items() if shape == "float"]
    inner = any(holds(shape, "float") for name, shape in shapes.items() if name not in floats)
    if inner and (b"NaN" in data or b"Infinity" in data):
        return True
    return any(not frame[name].is_finite().all() for name in floats)


def is_utf8(block: memoryview) -> None:
    """Raise ArrowInvalid unless the bytes are UTF-8; nothing is copied."""
    import pyarrow as pa

    if len(block) < _VIEWED_BYTES:
        offsets = pa.py_buffer(np.array([0, len(block)], dtype=np.int64))
        text = pa.Array.from_buffers(pa.large_utf8(), 1, [None, offsets, pa.py_buffer(block)])
        text.validate(full=True)
        return
    # Polars checks a view of bytes several times as fast as Arrow does: size, first four bytes,
    # number of the buffer, place in it.
    first = int(np.frombuffer(block[:4], dtype=np.int32)[0])
    view = pa.py_buffer(np.array([len(block), first, 0, 0], dtype=np.int32))
    held = pa.Array.from_buffers(pa.binary_view(), 1, [None, view, pa.py_buffer(block)])
    try:
        pl.Series(Held(held)).cast(pl.String)
    except pl.exceptions.PolarsError as error:
        msg = "invalid UTF-8"
        raise pa.ArrowInvalid(msg) from error


@dataclass(frozen=True)
class Held:
    """An Arrow array, handed over as such; for one of pyarrow Polars loads `pyarrow.compute`."""

    array: Any

    def __arrow_c_array__(self, requested: object = None) -> Any:
        return self.array.__arrow_c_array__(requested)
