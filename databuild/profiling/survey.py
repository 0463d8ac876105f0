"""What each column is: its type, its nulls, how many different values, and how to read it."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

import polars as pl

from databuild.profiling.facts import Column
from databuild.profiling.gather import gather, in_groups, joined, message_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from databuild.profiling.gather import Gatherer
    from databuild.profiling.table import Table

MOST_CELLS = 50
"""A text column with more different values is no category."""
_CELL_CHARS, _ID_CHARS = 120, 64
_INTERNAL = frozenset({"row_id", "content_id", "parent_ids", "source_record", "source_line"})
TEXTS = (
    "prompt", "response", "chosen", "rejected", "text", "messages", "instruction", "input",
    "output", "question", "answer", "completion", "content", "system", "rationale", "raw",
)  # fmt: skip
"""Columns that hold texts however short and few they are, those that tell most of a row first."""
_FLAG = re.compile(r".+_(?:is|has)_.+")
_LANGUAGES = frozenset({"language", "lang"})
_SPAN_TYPES = ("type", "kind", "label", "entity_type")


class Surveyed:
    """A column that is looked at."""

    def __init__(self, name: str, dtype: pl.DataType) -> None:
        self.name, self.dtype = name, dtype
        self.reads = (name,)
        self.bytes_per_row = 8
        self.n_null = 0
        self.n_known = 0
        self.most_chars = 0
        self.has_blank = False
        self.has_non_ascii = False
        self.low: object = None
        self.high: object = None
        self._hashes: list[pl.Series] = []

    def add(self, part: pl.DataFrame) -> None:
        """Look at one part."""
        values = part[self.name]
        if self.dtype in (pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        self.n_null += values.null_count()
        known = values.drop_nulls()
        self.n_known += known.len()
        if known.is_empty():
            return
        self._hashes.append(known.hash().unique())
        if self.dtype == pl.String:
            chars, n_bytes = known.str.len_chars(), known.str.len_bytes()
            self.most_chars = max(self.most_chars, int(chars.max() or 0))  # type: ignore[arg-type]
            self.has_non_ascii |= bool((chars != n_bytes).any())
            self.has_blank |= bool(known.str.contains(r"\s").any())
        elif self.dtype.is_numeric() or self.dtype.is_temporal():
            self._widen(known)

    def _widen(self, known: pl.Series) -> None:
        if known.dtype.is_float():
            known = known.filter(known.is_finite())
        low, high = known.min(), known.max()
        if low is not None:
            self.low = low if self.low is None else min(self.low, low)  # type: ignore[call-overload]
            self.high = high if self.high is None else max(self.high, high)  # type: ignore[call-overload]

    def column(self) -> Column:
        """What was found out."""
        n_distinct = joined(self._hashes, pl.UInt64).n_unique()
        self._hashes = []
        kind = kind_of(self.name, self.dtype)
        if kind == "text":
            kind = self._kind_of_text(n_distinct)
        low = None if self.low is None else str(self.low)
        high = None if self.high is None else str(self.high)
        return Column(self.name, str(self.dtype), kind, self.n_null, n_distinct, low, high)

    def _kind_of_text(self, n_distinct: int) -> str:
        if self.name in TEXTS:
            return "text"
        is_few = n_distinct <= MOST_CELLS and self.most_chars <= _CELL_CHARS
        if is_few and n_distinct <= max(2, self.n_known / 2):
            return "category"
        is_code = not self.has_blank and not self.has_non_ascii and self.most_chars <= _ID_CHARS
        return "id" if is_code and self.n_known else "text"


def survey(table: Table) -> tuple[int, list[Column], int]:
    """How many rows a table has, what its columns are, how many rows repeat another's content."""
    if not table.schema:
        return sum(table.sizes), [], 0
    is_stored = "content_id" in table.schema
    hashed = RowHashes(("content_id",) if is_stored else tuple(table.schema))
    looked = (Surveyed(name, dtype) for name, dtype in table.schema.items())
    gatherers: Iterable[Gatherer] = chain([hashed], looked)
    columns: list[Column] = []
    for group in in_groups(gatherers, sum(table.sizes)):
        gather(table, group)
        columns += [one.column() for one in group if isinstance(one, Surveyed)]
    hashes = hashed.hashes
    return hashes.len(), columns, hashes.len() - hashes.n_unique()


class RowHashes:
    """A hash of every row's values, in order."""

    bytes_per_row = 8

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.reads = columns
        self._hashes: list[pl.Series] = []

    def add(self, part: pl.DataFrame) -> None:
        """Hash the rows of one part."""
        self._hashes.append(part.select(pl.struct(self.reads).hash()).to_series())

    @property
    def hashes(self) -> pl.Series:
        """One hash for each row."""
        return joined(self._hashes, pl.UInt64)


def kind_of(name: str, dtype: pl.DataType) -> str:
    """How to read a column, as far as its name and its type tell.

    Example:
        >>> kind_of("answer_is_refusal", pl.Boolean()), kind_of("label", pl.Boolean())
        ('flag', 'category')
        >>> kind_of("answer_faults", pl.List(pl.String())), kind_of("n", pl.Int8())
        ('faults', 'number')
    """
    if dtype.is_nested():
        return "id" if name in _INTERNAL else _kind_of_nested(name, dtype)
    is_text = dtype in (pl.String, pl.Categorical, pl.Enum)
    rules = (
        ("id", name in _INTERNAL),
        ("cluster", name == "cluster_id" or name.endswith("_cluster_id")),
        ("flag", dtype == pl.Boolean and bool(_FLAG.fullmatch(name))),
        ("language", is_text and (name in _LANGUAGES or name.endswith("_language"))),
        ("text", dtype == pl.String),
        ("category", is_text or dtype == pl.Boolean),
        ("number", dtype.is_numeric()),
        ("date", dtype.is_temporal()),
    )
    return next((kind for kind, holds in rules if holds), "other")


def _kind_of_nested(name: str, dtype: pl.DataType) -> str:
    if message_fields(dtype):
        return "messages"
    if not isinstance(dtype, pl.List):
        return "other"
    if dtype.inner in (pl.String, pl.Categorical, pl.Enum):
        return "faults" if name.endswith("_faults") or name == "faults" else "list"
    fields = {field.name for field in getattr(dtype.inner, "fields", ())}
    is_spans = name.endswith("_pii") or {"start", "end"} <= fields
    return "spans" if is_spans and span_type(dtype) else "other"


def span_type(dtype: pl.DataType) -> str | None:
    """The field of a list of structs that says what type a span has."""
    inner = getattr(dtype, "inner", None)
    names = {field.name for field in inner.fields} if isinstance(inner, pl.Struct) else set()
    return next((name for name in _SPAN_TYPES if name in names), None)


def told_by(name: str, columns: list[Column]) -> str | None:
    """The text that shows what a measured column is about: the one that its name begins with."""
    texts = [c.name for c in columns if c.kind in {"text", "messages"}]
    measured = [text for text in texts if name.startswith(f"{text}_")]
    if measured:
        return max(measured, key=len)
    known = [text for text in TEXTS if text in texts]
    return next(iter([*known, *texts]), None)
