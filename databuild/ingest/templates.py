"""Records that are written alike: one template, and Polars' CSV parser with quotes for commas.

A program that writes JSON lines writes the same keys in the same order with the same spaces. Cut
at its quotes, such a record is a row of always as many fields: every other one is a key or a text,
those between hold colons, commas and what is no text. Nothing splits bytes as fast as a CSV parser.

It is never lenient: what stands between the values must be the same in all records, byte by byte,
no text may hold a control character or a backslash, and every value must be what its column holds;
else the whole chunk goes to the parsers that read any JSON. Only plain values (text, numbers, true,
false, null) are read so.
"""

from __future__ import annotations

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
# A field takes 16 bytes, however short it is.
_MOST_FIELDS = 2_000_000
_BLOCK_BYTES = 1 << 17
_FIRST_PRINTED = 32
# Between two texts: a colon, what is no text, and a comma or the end.
_SCALAR = re.compile(r"([\s:]*)([^\s:,}]+)(.*)")
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"


@dataclass(frozen=True)
class _Value:
    """Where a value of the records is: a text is a field, all else a stretch of one."""

    field: int
    before: str = ""
    behind: str = ""
    is_text: bool = True


def read_alike(lines: Lines, shapes: Mapping[str, Shape]) -> pl.DataFrame | None:
    """Read all records at once, or None where they are not written alike, or are not UTF-8.

    Returns:
        A frame of the columns of `shapes`, a row for each record.
    """
    if not all(isinstance(shape, str) and shape != "json" for shape in shapes.values()):
        return None
    fields = _cut(lines)
    values = None if fields is None else _template(lines, fields)
    if fields is None or values is None or not values.keys() <= shapes.keys():
        return None
    columns: list[pl.Series] = []
    for name, shape in shapes.items():
        column = _column(fields, values.get(name), polars_type(shape))
        if column is None:
            return None
        columns.append(column.alias(name))
    return pl.DataFrame(columns)


def _cut(lines: Lines) -> pl.DataFrame | None:
    """Divide the records at their quotes: a row of fields for each."""
    first, last = int(lines.starts_L[0]), int(lines.ends_L[-1])
    data, newlines = lines.data, lines.newlines_N
    if lines.data.find(b"\\", first, last) >= 0 or not (n_fields := _n_fields(lines)):
        return None
    if first or last < len(data) - 1:
        data = data[first:last]
        newlines = newlines[slice(*np.searchsorted(newlines, [first, last]).tolist())]
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    # Each record is a line, and no other control character stands anywhere.
    n_between = len(newlines) - data.endswith(b"\n")
    if n_between != len(lines) - 1 or _n_controls(data) != len(newlines):
        return None
    names = [f"{i}" for i in range(n_fields)]
    try:
        fields = pl.read_csv(
            data, separator='"', quote_char=None, has_header=False, empty_string_is_null=False,
            schema=dict.fromkeys(names, pl.String), extra_columns="raise",
        )  # fmt: skip
    except pl.exceptions.PolarsError:
        return None
    # A line with fewer fields lacks the last.
    if fields.shape != (len(lines), n_fields) or fields.to_series(-1).null_count():
        return None
    if lines.skips_blank:
        return fields
    # Between the elements of an array commas became spaces.
    head, end = pl.col(names[0]).str.strip_chars_start(" "), pl.col(names[-1])
    return fields.with_columns(head, end.str.strip_chars_end(" "))


def _n_fields(lines: Lines) -> int:
    """How many fields the quotes of each record make; 0 if some differ, by a sample."""
    step = max(1, len(lines) // _SAMPLED)
    places = zip(lines.starts_L[::step].tolist(), lines.ends_L[::step].tolist(), strict=True)
    found = {lines.data.count(b'"', start, end) for start, end in places}
    n_quotes = found.pop()
    is_likely = not found and 0 < n_quotes < _MOST_FIELDS // len(lines)
    return n_quotes + 1 if is_likely else 0


def _n_controls(data: bytes) -> int:
    """How many bytes are control characters, a block that fits into the cache at a time."""
    bytes_B = np.frombuffer(data, dtype=np.uint8)
    starts = range(0, len(data), _BLOCK_BYTES)
    counts = (np.count_nonzero(bytes_B[s : s + _BLOCK_BYTES] < _FIRST_PRINTED) for s in starts)
    return sum(map(int, counts))


def _template(lines: Lines, fields: pl.DataFrame) -> dict[str, _Value] | None:
    """The values of the first record, if what stands between them is the same in all records."""
    # It is sound by itself; so are those that differ from it only in sound values.
    read = read_line(lines.data[lines.starts_L[0] : lines.ends_L[0]], 0, None)
    if read.value is None:
        return None
    first = fields.row(0)
    values: dict[str, _Value] = {}
    at = 0
    for name, held in read.value.items():
        # From one key to the next: the key, a colon, a text, a comma; or all but the key in one.
        if isinstance(held, dict | list):
            return None
        if isinstance(held, str):
            values[name], at = _Value(at + 3), at + 4
            continue
        found = _SCALAR.fullmatch(first[at + 2])
        assert found is not None
        values[name] = _Value(at + 2, found[1], found[3], is_text=False)
        at += 2
    fixed = set(range(len(first))) - {value.field for value in values.values()}
    alike = ((fields.to_series(i) == first[i]).all() for i in sorted(fixed))
    return values if all(alike) else None


def _column(fields: pl.DataFrame, value: _Value | None, dtype: pl.DataType) -> pl.Series | None:
    """The values of a column; None where one does not fit, or is not written as usual."""
    if value is None:
        return pl.Series([None], dtype=dtype).new_from_index(0, fields.height)
    field = fields.to_series(value.field)
    if value.is_text:
        return field if dtype == pl.String else None
    if not (field.str.starts_with(value.before) & field.str.ends_with(value.behind)).all():
        return None
    texts = field.str.strip_prefix(value.before).str.strip_suffix(value.behind)
    texts = texts.set(texts == "null", None)
    made, known = texts, texts.drop_nulls()
    is_sound = not len(known)
    if dtype == pl.Int64:
        made = texts.cast(pl.Int64, strict=False)
        is_sound = (made.cast(pl.String) == texts).all()
    elif dtype == pl.Float64:
        made = texts.cast(pl.Float64, strict=False)
        # Minus nought as a whole number has no sign.
        is_sound = known.str.contains(_NUMBER).all() and not (known == "-0").any()
        is_sound = is_sound and made.is_finite().all()
    elif dtype == pl.Boolean:
        made, is_sound = texts == "true", known.is_in(["true", "false"]).all()
    return made if is_sound and made.null_count() == texts.null_count() else None
