"""JSON that is no JSON lines: an array, or objects one after the other, framed chunk by chunk.

Brackets, commas and quotes are found with NumPy; where brackets stand is decided by the quotes
before them. So a record that is broken inside fails alone, and those after it are read.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.ingest import lines as framed_lines
from databuild.ingest.lines import Lines
from databuild.ingest.records import BOM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from databuild.ingest.streams import Stream

_SPACE, _COMMA, _BACKSLASH, _QUOTE = b' ,\\"'
_STEP = np.zeros(256, dtype=np.int8)
_STEP[list(b"[{")], _STEP[list(b"]}")] = 1, -1
_IS_MARK = np.zeros(256, dtype=bool)
_IS_MARK[list(b'[]{},"')] = True
_IS_SPACE = np.zeros(256, dtype=bool)
_IS_SPACE[list(b" \t\n\r")] = True
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Framed:
    """What was found in a buffer that begins with a record."""

    starts_L: NDArray[np.int64]
    ends_L: NDArray[np.int64]
    consumed: int
    """Up to where it is decided what the bytes are."""
    closed: bool
    """The array ended; `consumed` is behind its bracket."""


def frame(data: bytes, *, in_array: bool) -> Framed:
    """Find the records of a buffer that begins between two records.

    Example:
        >>> framed = frame(b'{"a": "],"}, [1, {}] , 3]', in_array=True)
        >>> [(int(s), int(e)) for s, e in zip(framed.starts_L, framed.ends_L)], framed.closed
        ([(0, 11), (13, 20), (23, 24)], True)
    """
    bytes_B = np.frombuffer(data, dtype=np.uint8)
    marks = np.flatnonzero(_IS_MARK[bytes_B])
    kinds = bytes_B[marks]
    is_quote = (kinds == _QUOTE) & ~_escaped(bytes_B, marks)
    outside = (np.cumsum(is_quote) % 2 == 0) & ~is_quote
    marks, kinds = marks[outside & (kinds != _QUOTE)], kinds[outside & (kinds != _QUOTE)]
    depths = np.cumsum(_STEP[kinds], dtype=np.int64)
    closings = marks[depths < 0] if in_array else marks[:0]
    end = int(closings[0]) if len(closings) else len(data)
    if in_array:
        cuts = marks[(kinds == _COMMA) & (depths == 0) & (marks < end)]
        starts = np.concatenate([[0], cuts + 1])
        ends = np.concatenate([cuts, [end]]) if len(closings) else cuts
        starts = starts[: len(ends)]
        consumed = end + 1 if len(closings) else int(cuts[-1]) + 1 if len(cuts) else 0
    else:
        ends = marks[(depths <= 0) & (_STEP[kinds] < 0)] + 1
        starts = np.concatenate([[0], ends])[: len(ends)]
        consumed = int(ends[-1]) if len(ends) else 0
    starts, ends = _trimmed(bytes_B, starts, ends)
    if len(closings) and len(starts) and starts[-1] == ends[-1]:
        starts, ends = starts[:-1], ends[:-1]  # `[]`, or a comma before the bracket
    return Framed(starts, ends, consumed, closed=bool(len(closings)))


def read_json(stream: Stream, *, in_array: bool, skip: int = 0) -> Iterator[Lines]:
    """Yield the records of a stream, chunk by chunk; what cannot be framed is one last record.

    Args:
        stream: The file.
        in_array: The records are the elements of an array, else they follow one another.
        skip: Where the array begins (the bytes before are some other value of the file).
    """
    file = io.BufferedReader(stream, 1 << 16)
    first = file.read(len(BOM)).removeprefix(BOM)
    file.read(skip - len(first) if skip else 0)
    data, number, line, wanted = b"" if skip else first, 0, 1, framed_lines.CHUNK_BYTES
    is_first = True
    while True:
        fresh = file.read(wanted) or b""
        data += fresh
        if is_first:
            start = data.find(b"[") + 1 if in_array else 0
            line += data.count(b"\n", 0, start)
            data, is_first = data[start:], False
        found = frame(data, in_array=in_array)
        if len(found.starts_L):
            yield _lines(data, found, number, line)
        number += len(found.starts_L)
        line += data.count(b"\n", 0, found.consumed)
        data = data[found.consumed :]
        if found.closed or not fresh or len(data) > _MOST_BYTES:
            break
        wanted = max(framed_lines.CHUNK_BYTES, len(data))
    if not found.closed:
        if in_array:
            stream.fault = stream.fault or "truncated JSON: the list is not closed"
        if data.strip():
            ends = _trimmed(
                np.frombuffer(data, dtype=np.uint8), np.array([0]), np.array([len(data)])
            )
            yield _lines(data, Framed(*ends, 0, closed=False), number, line)
    elif not skip and (data.strip() or (file.read(1 << 16) or b"").strip()):
        stream.fault = "broken JSON: something follows the end of the list"


def _lines(data: bytes, found: Framed, number: int, line: int) -> Lines:
    bytes_B = np.frombuffer(data, dtype=np.uint8).copy()
    # Arrow reads objects one after the other, without commas between.
    gaps = found.starts_L[1:] - found.ends_L[:-1]
    if len(gaps):
        between = np.repeat(found.ends_L[:-1], gaps) + _within(gaps)
        commas = between[bytes_B[between] == _COMMA]
        bytes_B[commas] = _SPACE
    places_L = np.arange(number, number + len(found.starts_L))
    newlines_N = np.flatnonzero(bytes_B == 10)
    text = bytes_B.tobytes()
    return Lines(text, found.starts_L, found.ends_L, places_L, newlines_N, line, skips_blank=False)


def _within(gaps: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... within each gap."""
    ends = np.cumsum(gaps)
    return np.arange(ends[-1]) - np.repeat(ends - gaps, gaps)


def _escaped(bytes_B: NDArray[np.uint8], marks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether an odd number of backslashes stands before each mark."""
    escaped = np.zeros(len(marks), dtype=bool)
    suspects = np.flatnonzero((marks > 0) & (bytes_B[np.maximum(marks - 1, 0)] == _BACKSLASH))
    if len(suspects):
        slashes = np.flatnonzero(bytes_B == _BACKSLASH)
        starts = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
        last = np.searchsorted(slashes, marks[suspects] - 1)
        first = starts[np.searchsorted(starts, last, side="right") - 1]
        escaped[suspects] = (last - first + 1) % 2 == 1
    return escaped


def _trimmed(bytes_B: NDArray[np.uint8], starts: Any, ends: Any) -> tuple[Any, Any]:
    """Cut the space off both ends; where there is very much of it, it stays."""
    for _ in range(64):
        move = (starts < ends) & _IS_SPACE[bytes_B[np.minimum(starts, len(bytes_B) - 1)]]
        if not move.any():
            break
        starts = starts + move
    for _ in range(64):
        move = (starts < ends) & _IS_SPACE[bytes_B[ends - 1]]
        if not move.any():
            break
        ends = ends - move
    return starts, ends
