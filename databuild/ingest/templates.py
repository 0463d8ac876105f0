"""Records that are written alike: one template, and Polars' CSV parser with quotes for commas.

A program that writes JSON lines writes the same keys in the same order with the same spaces. Cut
at its quotes, such a record is a row of always as many fields: every other one is a key or a text,
those between hold colons, commas and what is no text. Nothing splits bytes as fast as a CSV parser.

It is never lenient: what stands between the values must be the same in all records, byte by byte,
no text may hold a control character, and every value must be what its column holds; else the whole
chunk goes to the parsers that read any JSON. Only plain values (text, numbers, true, false, null)
are read so.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.ingest.records import read_line
from databuild.ingest.shapes import polars_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databuild.ingest.lines import Lines
    from databuild.ingest.shapes import Shape

_SAMPLED = 64
_MOST_FIELDS = 400
_BLOCK_BYTES = 1 << 17
_FIRST_PRINTED = 32
# What an escaped backslash and an escaped quote are written as while quotes divide the fields.
_SLASH, _QUOTE = "\x01\x01", "\x02\x02"
_SCALAR = re.compile(r"(\s*:\s*)([^\s,}]+)(.*)")
_SURROGATE = r"\\u[dD][89a-fA-F]"
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"


@dataclass(frozen=True)
class _Value:
    """Where a value of the records is: a text is a field, all else a stretch of one."""

    field: int
    before: str = ""
    behind: str = ""
    is_text: bool = True


def read_alike(lines: Lines, shapes: Mapping[str, Shape]) -> pl.DataFrame | None:
    """Read all records at once, or None where they are not written alike.

    The bytes from the first record to the last must be UTF-8.

    Returns:
        A frame of the columns of `shapes`, a row for each record.
    """
    if not all(isinstance(shape, str) and shape != "json" for shape in shapes.values()):
        return None
    if not (n_fields := _n_fields(lines)):
        return None
    fields, has_escapes = _cut(lines, n_fields)
    if fields is None or fields.height != len(lines):
        return None
    values = _template(lines, fields)
    if values is None or not values.keys() <= shapes.keys():
        return None
    columns = []
    for name, shape in shapes.items():
        dtype, value = polars_type(shape), values.get(name)
        column: pl.Series | None = pl.Series([None], dtype=dtype).new_from_index(0, fields.height)
        if value is not None and value.is_text:
            text = fields.to_series(value.field)
            column = None if dtype != pl.String else _unescaped(text) if has_escapes else text
        elif value is not None:
            column = _scalars(fields.to_series(value.field), value, dtype)
        if column is None:
            return None
        columns.append(column.alias(name))
    return pl.DataFrame(columns)


def _n_fields(lines: Lines) -> int:
    """How many fields the quotes of each record make; 0 if some differ, by a sample."""
    step = max(1, len(lines) // _SAMPLED)
    starts, ends = lines.starts_L[::step].tolist(), lines.ends_L[::step].tolist()
    found = {
        text.count(b'"') - text.replace(rb"\\", b"").count(rb"\"")
        for text in (lines.data[start:end] for start, end in zip(starts, ends, strict=True))
    }
    n_quotes = found.pop()
    return n_quotes + 1 if not found and 0 < n_quotes < _MOST_FIELDS else 0


def _cut(lines: Lines, n_fields: int) -> tuple[pl.DataFrame | None, bool]:
    """Divide the records at their quotes; say whether there are escapes."""
    first, last = int(lines.starts_L[0]), int(lines.ends_L[-1])
    data = lines.data if not first and last >= len(lines.data) - 1 else lines.data[first:last]
    n_newlines = len(lines.newlines_N)
    if data is not lines.data:
        cut = np.searchsorted(lines.newlines_N, [first, last])
        n_newlines = int(cut[1] - cut[0])
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    # Each record is a line, and no other control character is anywhere.
    if n_newlines - data.endswith(b"\n") != len(lines) - 1 or _n_controls(data) != n_newlines:
        return None, False
    if has_escapes := b"\\" in data:
        data = data.replace(rb"\\", _SLASH.encode()).replace(rb"\"", _QUOTE.encode())
    names = [f"{i}" for i in range(n_fields)]
    try:
        fields = pl.read_csv(
            data, separator='"', quote_char=None, has_header=False, empty_string_is_null=False,
            schema=dict.fromkeys(names, pl.String), extra_columns="raise",
        )  # fmt: skip
    except pl.exceptions.PolarsError:
        return None, False
    # A record with fewer fields lacks the last.
    if fields.width != n_fields or fields.to_series(-1).null_count():
        return None, False
    if not lines.skips_blank:
        # Between the elements of an array commas became spaces.
        ends = pl.col(names[0]).str.strip_chars_start(" "), pl.col(names[-1]).str.strip_chars_end(" ")
        fields = fields.with_columns(ends)
    return fields, has_escapes


def _n_controls(data: bytes) -> int:
    bytes_B = np.frombuffer(data, dtype=np.uint8)
    starts = range(0, len(data), _BLOCK_BYTES)
    counts = (np.count_nonzero(bytes_B[s : s + _BLOCK_BYTES] < _FIRST_PRINTED) for s in starts)
    return sum(map(int, counts))


def _template(lines: Lines, fields: pl.DataFrame) -> dict[str, _Value] | None:
    """The values of the first record, if what stands between them is the same in all records."""
    read = read_line(lines.data[lines.starts_L[0] : lines.ends_L[0]], 0, None)
    if read.value is None:
        return None
    first = fields.row(0)
    values: dict[str, _Value] = {}
    at = 0
    for name, held in read.value.items():
        # Of this key, as it is written: what stands before it, it, a colon, a text, and so on.
        if isinstance(held, dict | list) or first[at + 1] != name:
            return None
        if isinstance(held, str):
            values[name], at = _Value(at + 3), at + 4
        else:
            before, _, behind = _SCALAR.fullmatch(first[at + 2]).groups()
            values[name], at = _Value(at + 2, before, behind, is_text=False), at + 2
    assert at == len(first) - 1
    fixed = set(range(len(first))) - {value.field for value in values.values()}
    alike = ((fields.to_series(i) == first[i]).all() for i in sorted(fixed))
    return values if all(alike) else None


def _unescaped(texts: pl.Series) -> pl.Series | None:
    """The texts that strings of JSON stand for; None where an escape is wrong, or half a pair."""
    has_any = texts.str.contains_any(["\\", _SLASH, _QUOTE])
    if not has_any.any():
        return texts
    places = has_any.arg_true()
    written = texts.gather(places).str.replace_many([_SLASH, _QUOTE], [r"\\", r"\""])
    quoted = pl.select(pl.concat_str(pl.lit('"'), written, pl.lit('"'))).to_series()
    # Polars reads half a surrogate pair as something; Python as what it is, no text.
    pairs = quoted.str.contains(_SURROGATE).arg_true()
    try:
        read = quoted.scatter(pairs, '""').str.json_decode(pl.String) if len(pairs) else quoted.str.json_decode(pl.String)
        if len(pairs):
            told = json.loads(f"[{','.join(quoted.gather(pairs))}]")
            read = read.scatter(pairs, pl.Series(told, dtype=pl.String))
    except (ValueError, pl.exceptions.PolarsError):
        return None
    return texts.scatter(places, read)


def _scalars(fields: pl.Series, value: _Value, dtype: pl.DataType) -> pl.Series | None:
    """Numbers, true and false, null; None where one is not written as usual, or does not fit."""
    if not (fields.str.starts_with(value.before) & fields.str.ends_with(value.behind)).all():
        return None
    cut = fields.str.strip_prefix(value.before)
    texts = cut.str.strip_suffix(value.behind)
    texts = texts.set(texts == "null", None)
    known = texts.drop_nulls()
    made = texts if dtype == pl.String else texts == "true"
    is_sound = not len(known)
    if dtype == pl.Int64:
        made = texts.cast(pl.Int64, strict=False)
        is_sound = bool((made.cast(pl.String) == texts).all())
    elif dtype == pl.Float64:
        made = texts.cast(pl.Float64, strict=False)
        is_sound = bool(known.str.contains(_NUMBER).all() and made.is_finite().all())
        # As a whole number it has no sign.
        is_sound = is_sound and not (known == "-0").any()
    elif dtype == pl.Boolean:
        is_sound = bool(known.is_in(["true", "false"]).all())
    return made if is_sound and made.null_count() == texts.null_count() else None
