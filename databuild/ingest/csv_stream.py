"""CSV and TSV, record by record and in bounded memory."""

from __future__ import annotations

import csv
import io
import re
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from databuild.ingest.records import Record, bad_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A field that is longer was never closed; the default of 131,072 would fail long documents.
FIELD_CHARS = 32 << 20
_ESCAPED = re.compile("[\udc80-\udcff]")
_SEPARATORS = ",\t;|"
_LOOKED_AT = 50


def read_csv(stream: BinaryIO, separator: str, nulls: Sequence[str]) -> Iterator[Record]:
    r"""Read a CSV file with a header (RFC 4180); a field that is one of `nulls` is null.

    Lines end with `\n`, `\r\n` or `\r`, and with nothing else; within quotes they are text.
    """
    text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
    csv.field_size_limit(FIELD_CHARS)
    lines = csv.reader(text, delimiter=separator, strict=True)
    try:
        header = names_of(next(lines, []))
    except csv.Error as error:
        yield bad_record(0, 1, f"broken CSV: the header: {error}", b"")
        return
    yield from _records(lines, header, frozenset(nulls), 0, 0)


def read_fields(
    stream: BinaryIO,
    header: list[str],
    separator: str,
    nulls: Sequence[str],
    number: int,
    line: int,
) -> Iterator[Record]:
    """Read the records that follow `line` lines of a CSV file; the first one is `number`."""
    text = io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="")
    csv.field_size_limit(FIELD_CHARS)
    lines = csv.reader(text, delimiter=separator, strict=True)
    yield from _records(lines, header, frozenset(nulls), number, line)


def _records(
    lines: Any, header: list[str], none: frozenset[str], number: int, line: int
) -> Iterator[Record]:
    while True:
        first = line + lines.line_num + 1
        try:
            fields = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield bad_record(number, first, f"broken CSV: {error}", b"")
            number += 1
            continue
        if fields:
            yield _record(header, fields, none, number, first)
            number += 1


def _record(
    header: list[str], fields: list[str], none: frozenset[str], number: int, line: int
) -> Record:
    if len(fields) != len(header):
        what = f"wrong number of fields: {len(fields)}, the header has {len(header)}"
        return bad_record(number, line, what, ",".join(fields).encode(errors="replace"))
    # Bytes that are no text came in as lone surrogates.
    if bad := next((i for i, held in enumerate(fields) if _ESCAPED.search(held)), -1) + 1:
        what = f"invalid bytes: {header[bad - 1]} holds bytes that are not UTF-8"
        return bad_record(number, line, what, ",".join(fields).encode(errors="replace"))
    pairs = zip(header, fields, strict=True)
    value = {name: None if held in none else held for name, held in pairs}
    return Record(number, line, value, None, "")


def names_of(header: Sequence[str]) -> list[str]:
    """The columns of a header; one without a name, as of a written index, is called by its number.

    Example:
        >>> names_of(["id", "", "text"])
        ['id', 'column_2', 'text']
    """
    sound = [name.encode(errors="replace").decode() for name in header]
    return [name.strip() or f"column_{i + 1}" for i, name in enumerate(sound)]


def header_of(text: str, separator: str) -> list[str]:
    """The columns of the CSV file that begins with `text`."""
    csv.field_size_limit(sys.maxsize)
    try:
        return names_of(next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), []))
    except csv.Error:
        return []


def separator_of(text: str, likely: str) -> str:
    r"""Which character stands between the fields of the CSV file that begins with `text`.

    The likely one, if the header has it. Else the one by which most of the first 50 records have
    as many fields as the header, and that is more than one; of equals the first of `,`, tab, `;`,
    `|`.

    Example:
        >>> separator_of("id;text\n1;a, b\n2;c\n", likely=",")
        ';'
    """
    agreeing = {separator: _agreeing(text, separator) for separator in _SEPARATORS}
    if agreeing.get(likely, (0, 0))[1] > 1:
        return likely
    found = max(_SEPARATORS, key=lambda s: (agreeing[s][1] > 1, agreeing[s][0]))
    return found if agreeing[found][1] > 1 else likely


def _agreeing(text: str, separator: str) -> tuple[int, int]:
    """How many of the first records have as many fields as the header, and how many it has."""
    csv.field_size_limit(sys.maxsize)
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        sizes = [len(fields) for fields in islice(lines, _LOOKED_AT) if fields]
    except csv.Error:
        return 0, 0
    return (sizes.count(sizes[0]), sizes[0]) if sizes else (0, 0)
