"""Two tables side by side: which rows came, went and changed, and how distributions moved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from databuild.errors import SchemaError, nearest
from databuild.profiling.facts import Changes, Difference, Example
from databuild.profiling.gather import SHOWN_CHARS, gather, in_groups, joined, readable
from databuild.profiling.profile import describe
from databuild.profiling.survey import TEXTS, RowHashes, kind_of
from databuild.profiling.table import NAMES, aligned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from databuild.profiling.table import Table

CONTENT = "content"
_CONTEXT = 40
"""Characters to show before the place where two texts begin to differ."""
_PARENT = "parent_ids"
_OF_A_TABLE = frozenset({"row_id", "content_id", "parent_ids", "source_file", "source_record"})
"""Columns that say where a row came from: a difference in them is no change of the row."""


def compare(before: Table, after: Table, *, key: str | None = None, limit: int = 3) -> Difference:
    """Describe two tables and what changed from the first to the second.

    Rows are the same row when they agree in the column `key`. Without it, in the first of these
    that both tables have with a common value: the column `key`; `row_id`; `row_id` of the first and
    the only parent of the second (a fix makes one row of one); `content_id`; else in all common
    columns. Equal names are paired in order, a missing one names no row. A row has changed when it
    is in both and a common column differs, other than ids and the place in a file; a missing value
    equals a missing value, and NaN equals NaN.

    Args:
        before: The first table.
        after: The second.
        key: The column that names a row.
        limit: Examples.

    Raises:
        SchemaError: A table lacks `key`.
    """
    types = {
        name: (str(dtype), str(after.schema[name]))
        for name, dtype in before.schema.items()
        if name in after.schema and after.schema[name] != dtype
    }
    before, after = aligned(before, after)
    profiles, shifts = describe([before, after], limit)
    changes = replace(_changes(before, after, key, limit), types_changed=types)
    shifts.sort(key=lambda one: -one.distance)
    return Difference(profiles[0], profiles[1], changes, tuple(shifts))


def _changes(before: Table, after: Table, key: str | None, limit: int) -> Changes:
    by, matched = _match(before, after, key)
    both = matched.drop_nulls()
    common = [c for c in before.schema if c in after.schema and c not in {*_OF_A_TABLE, by}]
    by_column, is_changed = _differing(before, after, common if by != CONTENT else [], both)
    changed = both.filter(is_changed)
    added = matched.filter(pl.col("a").is_null())["b"]
    removed = matched.filter(pl.col("b").is_null())["a"]
    some = changed.sort("a").head(limit)
    shown = _shown_column(before, after, list(by_column))
    old = _rows_at(before, some["a"], shown, None)
    new = _rows_at(after, some["b"], shown, None)
    return Changes(
        matched_by=by,
        n_same=both.height - changed.height,
        n_changed=changed.height,
        n_added=added.len(),
        n_removed=removed.len(),
        by_column=by_column,
        columns_added=tuple(c for c in after.schema if c not in before.schema),
        columns_removed=tuple(c for c in before.schema if c not in after.schema),
        added=_rows_at(after, added.sort().head(limit), _shown_column(after, after, [])),
        removed=_rows_at(before, removed.sort().head(limit), _shown_column(before, before, [])),
        changed=tuple(_around(*pair) for pair in zip(old, new, strict=True)),
    )


def _differing(
    before: Table, after: Table, columns: Sequence[str], both: pl.DataFrame
) -> tuple[dict[str, int], pl.Series]:
    """How many of the rows that are in both differ in each column, and which rows in any."""
    is_changed = pl.repeat(0, both.height, eager=True) > 0
    by_column: dict[str, int] = {}
    for group in in_groups(
        (_Hashed(name) for name in columns), max(_most_rows(before), _most_rows(after))
    ):
        other = [_Hashed(one.reads[0]) for one in group]
        gather(before, group)
        gather(after, other)
        for first, second in zip(group, other, strict=True):
            differs = first.hashes.gather(both["a"]) != second.hashes.gather(both["b"])
            if differs.any():
                by_column[first.reads[0]] = int(differs.sum())
                is_changed |= differs
    return dict(sorted(by_column.items(), key=lambda one: -one[1])), is_changed


def _most_rows(table: Table) -> int:
    """Rows of a table, at most."""
    return sum(table.sizes)


def _match(before: Table, after: Table, key: str | None) -> tuple[str, pl.DataFrame]:
    """The column that names a row, and the places of the rows of both tables, side by side."""
    for table in (before, after):
        if key is not None and key not in table.types:
            what = f"it has no column {key!r}; {nearest(key, table.types)}"
            raise SchemaError(table.name, what, fix="correct `key`")
    for name in (key,) if key else NAMES:
        first, second = (_names(table, name) for table in (before, after))
        if name == _PARENT:
            first, second = _names(before, "row_id"), _parents(after)
        if first is None or second is None:
            continue
        matched = _paired(first, second)
        if key or matched.drop_nulls().height:
            return name, matched
    common = tuple(c for c in before.schema if c in after.schema and c not in _OF_A_TABLE)
    if not common:
        return CONTENT, _apart(_n_rows(before), _n_rows(after))
    hashes = [RowHashes(common), RowHashes(common)]
    gather(before, [hashes[0]])
    gather(after, [hashes[1]])
    return CONTENT, _paired(hashes[0].hashes, hashes[1].hashes)


def _names(table: Table, column: str) -> pl.Series | None:
    """The hash of each row's name; None where the table does not have the column."""
    if column not in table.types:
        return None
    named = _Hashed(column, is_key=True)
    gather(table, [named])
    return named.hashes


def _parents(table: Table) -> pl.Series | None:
    """The hash of each row's only parent; None where rows have several, or share one."""
    if table.types.get(_PARENT) != pl.List(pl.String):
        return None
    pieces = []
    for part in table.parts([_PARENT]):
        if (part[_PARENT].list.len() != 1).any():
            return None
        pieces.append(part[_PARENT].list.first().hash())
    hashes = joined(pieces, pl.UInt64)
    return hashes if hashes.n_unique() == hashes.len() else None


def _paired(before: pl.Series, after: pl.Series) -> pl.DataFrame:
    """Places of equal hashes side by side (`a`, `b`): of several, the first with the first."""
    sides = []
    for hashes, side in ((before, "a"), (after, "b")):
        frame = hashes.alias("hash").to_frame().with_row_index(side)
        sides.append(frame.with_columns(nth=pl.int_range(pl.len()).over("hash")))
    joined_rows = sides[0].join(sides[1], on=["hash", "nth"], how="full")
    return joined_rows.select("a", "b")


def _n_rows(table: Table) -> int:
    """Rows of a table: the sizes of a view's parts are those before any selection."""
    if not table.schema:
        return sum(table.sizes)
    return sum(part.height for part in table.parts([next(iter(table.schema))]))


def _apart(n: int, m: int) -> pl.DataFrame:
    places = [pl.int_range(count, dtype=pl.UInt32, eager=True) for count in (n, m)]
    return pl.concat(
        [places[0].alias("a").to_frame(), places[1].alias("b").to_frame()], how="diagonal"
    )


class _Hashed:
    """A hash of every value of one column."""

    bytes_per_row = 16  # of two tables

    def __init__(self, column: str, *, is_key: bool = False) -> None:
        self.reads = (column,)
        self._is_key = is_key
        self._hashes: list[pl.Series] = []

    def add(self, part: pl.DataFrame) -> None:
        values = part[self.reads[0]]
        hashes = values.hash()
        if self._is_key:  # a missing key names no row
            hashes = hashes.zip_with(values.is_not_null(), pl.Series([None], dtype=pl.UInt64))
        self._hashes.append(hashes)

    @property
    def hashes(self) -> pl.Series:
        return joined(self._hashes, pl.UInt64)


def _shown_column(before: Table, after: Table, changed: Sequence[str]) -> str | None:
    """What to show of a row: a text that changed, else what changed most; else a text."""
    if changed:
        return next((c for c in TEXTS if c in changed), changed[0])
    kinds = {c: kind_of(c, dtype) for c, dtype in before.schema.items() if c in after.schema}
    texts = [c for c, kind in kinds.items() if kind in {"text", "messages"}]
    known = [c for c in TEXTS if c in texts]
    others = [c for c, kind in kinds.items() if kind != "id"]
    return next(iter([*known, *texts, *others]), None)


def _around(before: Example, after: Example) -> tuple[Example, Example]:
    """Two long texts cut to where they begin to differ."""
    pairs = enumerate(zip(before.text, after.text, strict=False))
    shorter = min(len(before.text), len(after.text))
    same = next((place for place, (a, b) in pairs if a != b), shorter)
    start = same - _CONTEXT if same > 2 * _CONTEXT else 0
    mark = "…" if start else ""
    cut = [mark + one.text[start : start + SHOWN_CHARS] for one in (before, after)]
    return replace(before, text=cut[0]), replace(after, text=cut[1])


def _rows_at(
    table: Table, places: pl.Series, column: str | None, most: int | None = SHOWN_CHARS
) -> tuple[Example, ...]:
    """The rows at some places of a table, in their order; `most` characters of each."""
    if places.is_empty() or column is None:
        return ()
    reads = list(dict.fromkeys([column, *(["row_id"] if "row_id" in table.types else [])]))
    text = readable(column, table.schema[column]).fill_null("")
    found: dict[int, Example] = {}
    seen = 0
    for part in table.parts(reads):
        here = places.filter((places >= seen) & (places < seen + part.height))
        if here.len():
            rows = part[(here - seen).to_list()]
            ids = rows["row_id"].to_list() if "row_id" in reads else [f"#{n + 1}" for n in here]
            told = rows.select(text.alias("t"))["t"].to_list()
            for place, row, one in zip(here, ids, told, strict=True):
                found[int(place)] = Example(str(row), column, one[:most], len(one))
        seen += part.height
    return tuple(found[int(place)] for place in places)
