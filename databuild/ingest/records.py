"""Records of a file one by one, each a value or an error: JSON lines, JSON arrays, CSV.

The error comes first, as the short name of a fault, then a colon and the detail.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Record:
    """One physical record: an object, or an error and no object."""

    place: int
    """Byte offset (JSON lines, in the unpacked file) or number from 0 (CSV, JSON)."""
    line: int | None
    """Its first line, from 1, where that is known."""
    value: dict[str, Any] | None
    error: str | None
    raw: str
    """The beginning of its text, up to 200 characters; only of a record with an error."""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked if its name ends in `.gz`."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def read_all(path: Path, at_most: int = sys.maxsize) -> tuple[bytes, str | None]:
    """Read a file as far as that is possible, and say why it went no further."""
    pieces, n_bytes = [], 0
    with open_bytes(path) as file:
        try:
            # A torn file gives up what it holds only to small reads.
            while n_bytes < at_most and (piece := file.read(1 << 16)):
                pieces.append(piece)
                n_bytes += len(piece)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            return b"".join(pieces), f"broken gzip: {error}"
    return b"".join(pieces), None


def read_line(line: bytes, place: int, number: int | None) -> Record:
    """Read one line of JSON lines."""
    try:
        value = load(line.decode())
    except UnicodeDecodeError as error:
        return _bad(place, number, f"invalid UTF-8: byte {error.start} of the record", line)
    except ValueError as error:
        return _bad(place, number, str(error), line)
    if not isinstance(value, dict):
        return _bad(
            place, number, f"not an object: a record must be {{...}}, not {_name(value)}", line
        )
    return Record(place, number, value, None, "")


def load(text: str) -> Any:
    """Read JSON strictly: no duplicate keys, no NaN or Infinity.

    Raises:
        ValueError: "broken JSON: ...", or "duplicate key: ...".

    Example:
        >>> load('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ValueError: duplicate key: 'a' stands twice in one object
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        msg = f"broken JSON: {error.msg} at character {error.pos + 1}"
        raise ValueError(msg) from None
    except RecursionError:
        msg = "broken JSON: nested too deeply"
        raise ValueError(msg) from None


def read_json(text: str) -> Iterator[Record]:
    """Read a JSON file: an array of objects, or one object."""
    place, number = _skip(text, 0), 0
    if place == len(text):
        return
    if text[place : place + 1] != "[":
        yield read_line(text[place:].encode(errors="surrogateescape"), 0, 1)
        return
    place = _skip(text, place + 1)
    while text[place : place + 1] != "]":
        start = place
        try:
            value, place = _DECODER.raw_decode(text, place)
            after = _skip(text, place)
            if text[after : after + 1] not in {",", "]"}:
                raise json.JSONDecodeError("Expecting ',' or ']'", text, after)
        except (ValueError, RecursionError) as error:
            is_own = type(error) is ValueError
            what = error if is_own else f"broken JSON: {getattr(error, 'msg', 'nested too deeply')}"
            rest = f"{what}; this record and all after it in the file cannot be read"
            yield _bad(number, None, rest, text[start:].encode(errors="replace"))
            return
        if isinstance(value, dict):
            yield Record(number, None, value, None, "")
        else:
            what = f"not an object: a record must be {{...}}, not {_name(value)}"
            yield _bad(number, None, what, text[start:place].encode(errors="replace"))
        place = _skip(text, after + 1) if text[after] == "," else after
        number += 1
    rest = text[_skip(text, place + 1) :]
    if rest:
        what = "broken JSON: something follows the end of the list"
        yield _bad(number, None, what, rest.encode(errors="replace"))


def read_csv(text: str, separator: str) -> Iterator[Record]:
    """Read a CSV file with a header (RFC 4180); an empty field is null."""
    # The default of 131,072 characters would fail long documents; the limit is the process's own.
    csv.field_size_limit(sys.maxsize)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header = next(lines, [])
    number = -1
    while True:
        first = lines.line_num + 1
        try:
            fields = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            number += 1
            yield _bad(number, first, f"broken CSV: {error}", b"")
            continue
        if not fields:
            continue
        number += 1
        if len(fields) == len(header):
            pairs = zip(header, fields, strict=True)
            yield Record(number, first, {name: held or None for name, held in pairs}, None, "")
        else:
            what = f"wrong number of fields: {len(fields)}, the header has {len(header)}"
            yield _bad(number, first, what, separator.join(fields).encode(errors="replace"))


def header_of(text: str, separator: str) -> list[str]:
    """The names of the columns of a CSV file."""
    csv.field_size_limit(sys.maxsize)
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])


def _no_constant(name: str) -> Any:
    msg = f"broken JSON: {name} is not JSON"
    raise ValueError(msg)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"duplicate key: {twice!r} stands twice in one object"
        raise ValueError(msg)
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _skip(text: str, place: int) -> int:
    while text[place : place + 1] in {" ", "\t", "\n", "\r"}:
        place += 1
    return place


def _name(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _bad(place: int, line: int | None, error: str, raw: bytes) -> Record:
    return Record(place, line, None, error, raw[:1000].decode(errors="replace").strip()[:200])
