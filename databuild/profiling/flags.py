"""What measures found: flags, listed faults, spans, clusters; and categories."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from databuild.profiling.facts import Cell, Clusters, Example, Fault, Repeated, Strata
from databuild.profiling.gather import Picked, joined
from databuild.profiling.survey import MOST_CELLS, span_type

if TYPE_CHECKING:
    from databuild.profiling.facts import Column
    from databuild.profiling.table import Table

SHOWN_CELLS = 20
_SMALL = 0.2
_MOST_FAULTS = 100
_MOST_VALUES = 5_000


class Flags:
    """A column that says of rows what is wrong, in one of three ways."""

    bytes_per_row = 0

    def __init__(self, table: Table, column: Column, text: str | None, limit: int) -> None:
        self.column, self._table, self._text, self._limit = column.name, table, text, limit
        self._kind = column.kind
        self._evidence = column.name if column.kind == "spans" else ""
        self._counts: Counter[str | None] = Counter()
        self._picked: dict[str | None, Picked] = {}
        self._n_null = column.n_null
        self.reads = tuple(dict.fromkeys(name for name in (column.name, text) if name))

    def add(self, part: pl.DataFrame) -> None:
        """Count in one part."""
        if self._kind == "flag":
            self._counts[None] += 0
            self._take(None, part.filter(pl.col(self.column)))
            return
        listed = self._values(part)
        for (value,), rows in listed.group_by("value"):
            places = rows["place"]
            if len(self._counts) < _MOST_FAULTS or value in self._counts:
                self._take(value, self._of_one_type(part[places.sort()], value))

    def _of_one_type(self, rows: pl.DataFrame, value: object) -> pl.DataFrame:
        """Rows with only the spans of one type: what their examples are shown for."""
        if self._kind != "spans":
            return rows
        name = span_type(rows.schema[self.column]) or ""
        is_this = pl.element().struct.field(name).cast(pl.String) == pl.lit(value)
        spans = pl.col(self.column).list.eval(pl.element().filter(is_this))
        return rows.with_columns(spans)

    def _values(self, part: pl.DataFrame) -> pl.DataFrame:
        """Which row has which value, each once."""
        value = pl.col("value")
        if self._kind == "spans":
            value = value.struct.field(span_type(part.schema[self.column]) or "")
        lists = part.select(pl.col(self.column).alias("value")).with_row_index("place")
        lists = lists.filter(pl.col("value").list.len() > 0)
        return lists.explode("value").select("place", value.cast(pl.String).alias("value")).unique()

    def _take(self, value: str | None, rows: pl.DataFrame) -> None:
        self._counts[value] += rows.height
        if value not in self._picked:
            self._picked[value] = Picked(self._table, self._text, self._limit, self._evidence)
        self._picked[value].add(rows)

    def faults(self) -> list[Fault]:
        """What was counted, the most frequent first."""
        if not self._counts and self._kind != "flag":
            self._counts[None] = 0
        ordered = sorted(self._counts.items(), key=lambda one: (-one[1], one[0] or ""))
        return [
            Fault(self.column, value, n, self._n_null, self._examples(value))
            for value, n in ordered
        ]

    def _examples(self, value: str | None) -> tuple[Example, ...]:
        picked = self._picked.get(value)
        return picked.examples() if picked else ()


class Values:
    """How often each value of a category stands."""

    bytes_per_row = 0

    def __init__(self, column: Column) -> None:
        self.column = column.name
        self._kind = column.kind
        self.reads = (column.name,)
        self.counts: Counter[str | None] = Counter()
        self._is_full = False

    def add(self, part: pl.DataFrame) -> None:
        """Count in one part."""
        if self._is_full:
            return
        values = part[self.column]
        if self._kind == "list":
            values = values.drop_nulls().explode().drop_nulls()
        for value, n in values.cast(pl.String).alias("v").value_counts(name="n").iter_rows():
            self.counts[value] += n
        self._is_full = len(self.counts) > _MOST_VALUES and self._kind == "list"

    def strata(self) -> Strata | None:
        """The cells; None of a list whose items are no categories."""
        if self._kind == "list" and (self._is_full or not 0 < len(self.counts) <= MOST_CELLS):
            return None
        return strata_of(self.column, self.counts, is_language=self._kind == "language")


def strata_of(column: str, counts: Counter[str | None], *, is_language: bool = False) -> Strata:
    """Cells, the most frequent first, the small ones pointed out.

    Example:
        >>> told = strata_of("kind", Counter({"a": 90, "b": 89, "c": 1}))
        >>> [(cell.value, cell.n, cell.is_small) for cell in told.cells]
        [('a', 90, False), ('b', 89, False), ('c', 1, True)]
    """
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0] is None, one[0] or ""))
    named = [n for value, n in ordered if value is not None]
    least = _SMALL * sum(named) / len(named) if named else 0
    cells = [Cell(value, n, value is not None and n < least) for value, n in ordered]
    others = cells[SHOWN_CELLS:]
    return Strata(
        column, is_language, tuple(cells[:SHOWN_CELLS]), len(others), sum(c.n for c in others)
    )


class Clustered:
    """A column that names the cluster of each row."""

    bytes_per_row = 8

    def __init__(self, column: str) -> None:
        self.column = column
        self.reads = (column,)
        self._hashes: list[pl.Series] = []

    def add(self, part: pl.DataFrame) -> None:
        """Note one part."""
        self._hashes.append(part[self.column].drop_nulls().hash())

    def _sizes(self) -> pl.DataFrame:
        hashes = joined(self._hashes, pl.UInt64).alias("hash")
        return hashes.value_counts(name="n").filter(pl.col("n") > 1)

    def largest(self, most: int) -> list[tuple[int, int]]:
        """The hashes of the largest clusters, and their sizes."""
        top = self._sizes().sort(["n", "hash"], descending=[True, False]).head(most)
        return [(int(key), int(n)) for key, n in top.iter_rows()]

    def fact(self, largest: tuple[Repeated, ...]) -> Clusters:
        """What was found out."""
        sizes = self._sizes()
        by_size = sizes.group_by("n").len().sort("n")
        return Clusters(
            column=self.column,
            n_clusters=sizes.height,
            n_rows=int(sizes["n"].sum()),
            sizes={int(n): int(times) for n, times in by_size.iter_rows()},
            largest=largest,
        )


class ClusterRows:
    """One row of each of the largest clusters."""

    bytes_per_row = 0

    def __init__(
        self, table: Table, column: str, text: str | None, counts: list[tuple[int, int]]
    ) -> None:
        self._column, self._counts = column, counts
        self._picked = {key: Picked(table, text, 1) for key, _ in counts}
        self.reads = tuple(name for name in (column, text) if name) if counts else ()

    def add(self, part: pl.DataFrame) -> None:
        """Look through one part."""
        if not self._counts:
            return
        values = part[self._column]
        hashes = values.hash()
        for key, picked in self._picked.items():
            picked.add(part.filter((hashes == key) & values.is_not_null()))

    def repeated(self) -> tuple[Repeated, ...]:
        """The largest clusters."""
        return tuple(
            Repeated(n, example)
            for key, n in self._counts
            for example in self._picked[key].examples()
        )
