"""Going over a table: each fact is gathered part by part, several facts in one reading.

What a gatherer keeps is small: counts, or a few bytes for each row. As many of them as fit into
`MOST_BYTES` share one reading of the columns that they need, so memory does not grow with the
length of the texts, and a table of any size is read a bounded number of times.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

import polars as pl

from databuild.engine.local import cores
from databuild.profiling.facts import Example

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from databuild.profiling.table import Table

MOST_BYTES = 256 << 20
ROW = "\x00row"
"""The name of a row that is added to every part: its row_id, else `#<number>` from 1."""
SHOWN_CHARS = 1_000
_ID = "row_id"


class _HasSize(Protocol):
    @property
    def bytes_per_row(self) -> int: ...


_Sized = TypeVar("_Sized", bound=_HasSize)


class Gatherer(Protocol):
    """Something that is fed with all parts of a table."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that it needs."""

    @property
    def bytes_per_row(self) -> int:
        """What it keeps of each row."""

    def add(self, part: pl.DataFrame) -> None:
        """Take what is needed of one part: it has the columns of `reads`, and `ROW`."""


def gather(table: Table, gatherers: Iterable[Gatherer]) -> None:
    """Feed the gatherers with the table, in one reading."""
    fed = list(gatherers)
    reads = dict.fromkeys(name for one in fed for name in one.reads)
    if not reads:
        return
    is_named = _ID in table.types
    if is_named:
        reads[_ID] = None
    seen = 0
    # Polars and NumPy work outside Python's lock, so gatherers go over a part side by side.
    with ThreadPoolExecutor(max(1, min(cores(), len(fed)))) as workers:
        for part in table.parts(reads):
            numbers = pl.int_range(seen + 1, seen + part.height + 1, eager=True).cast(pl.String)
            name = pl.col(_ID).cast(pl.String) if is_named else pl.concat_str(pl.lit("#"), numbers)
            named = part.with_columns(name.alias(ROW))
            seen += part.height
            for done in [workers.submit(one.add, named) for one in fed]:
                done.result()


def in_groups(items: Iterable[_Sized], rows: int) -> Iterator[list[_Sized]]:
    """Items that together keep no more than `MOST_BYTES` of a table with `rows` rows."""
    group: list[_Sized] = []
    size = 0
    for one in items:
        cost = one.bytes_per_row * rows
        if group and size + cost > MOST_BYTES:
            yield group
            group, size = [], 0
        group.append(one)
        size += cost
    if group:
        yield group


class Picked:
    """The first rows, by row_id or by place, of those that are offered."""

    def __init__(self, table: Table, column: str | None, limit: int, evidence: str = "") -> None:
        self.column, self.limit, self.evidence = column, limit, evidence
        self._is_numbered = _ID not in table.types
        self._dtype = table.types[column] if column else pl.Null()
        self._kept: pl.DataFrame | None = None
        self.reads = tuple(name for name in (column, evidence) if name)

    def add(self, part: pl.DataFrame) -> None:
        """Offer rows."""
        if not self.limit or part.is_empty():
            return
        first = part.head(self.limit) if self._is_numbered else part.bottom_k(self.limit, by=ROW)
        text = readable(self.column, self._dtype) if self.column else pl.lit("")
        told = as_text(pl.col(self.evidence), part.schema[self.evidence]) if self.evidence else None
        new = first.select(
            ROW,
            text=text.fill_null("").str.slice(0, SHOWN_CHARS),
            n_chars=text.fill_null("").str.len_chars(),
            evidence=pl.lit("") if told is None else told.fill_null("").str.slice(0, SHOWN_CHARS),
        )
        both = new if self._kept is None else pl.concat([self._kept, new])
        self._kept = both if self._is_numbered else both.sort(ROW)
        self._kept = self._kept.head(self.limit)

    def examples(self) -> tuple[Example, ...]:
        """What was picked."""
        if self._kept is None:
            return ()
        return tuple(
            Example(row, self.column or "", text, n_chars, evidence)
            for row, text, n_chars, evidence in self._kept.iter_rows()
        )


def message_fields(dtype: pl.DataType) -> tuple[str, str] | None:
    """The fields of a role and of a content, where a type is that of a conversation."""
    inner = getattr(dtype, "inner", None)
    if not isinstance(dtype, pl.List) or not isinstance(inner, pl.Struct):
        return None
    names = {field.name for field in inner.fields}
    for role, content in (("role", "content"), ("from", "value")):
        if {role, content} <= names:
            return role, content
    return None


def readable(column: str, dtype: pl.DataType) -> pl.Expr:
    """A column as a person reads it: a conversation as `role: content` lines, other types as JSON.

    Example:
        >>> talk = pl.DataFrame({"m": [[{"role": "user", "content": "Hi"}]]})
        >>> talk.select(readable("m", talk.schema["m"])).item()
        'user: Hi'
    """
    fields = message_fields(dtype)
    if fields is None:
        return as_text(pl.col(column), dtype)
    role, content = fields
    inner = {field.name: field.dtype for field in dtype.inner.fields}  # type: ignore[attr-defined]
    said = pl.concat_str(
        as_text(pl.element().struct.field(role), inner[role]).fill_null("?"),
        pl.lit(": "),
        as_text(pl.element().struct.field(content), inner[content]).fill_null(""),
    )
    return pl.col(column).list.eval(said).list.join("\n", ignore_nulls=True)


def contents(column: str, dtype: pl.DataType) -> pl.Expr:
    """A text column, or the contents of a conversation's messages, a line break between them."""
    fields = message_fields(dtype)
    if fields is None:
        return as_text(pl.col(column), dtype)
    inner = {field.name: field.dtype for field in dtype.inner.fields}  # type: ignore[attr-defined]
    content = as_text(pl.element().struct.field(fields[1]), inner[fields[1]])
    return pl.col(column).list.eval(content.fill_null("")).list.join("\n")


def as_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Any value as text; nested ones as JSON, bytes as hexadecimal digits."""
    if dtype == pl.String:
        return value
    if dtype == pl.Binary:
        return value.bin.encode("hex")
    if dtype.is_nested():
        encoded = pl.struct(value.alias("v")).struct.json_encode()
        # Of {"v":[...]} the value itself.
        return pl.when(value.is_not_null()).then(encoded.str.slice(5).str.head(-1))
    return value.cast(pl.String)


def joined(pieces: Sequence[pl.Series], dtype: pl.DataType | type[pl.DataType]) -> pl.Series:
    """Pieces of one column together; of no pieces an empty column."""
    return pl.concat(list(pieces)) if pieces else pl.Series(dtype=dtype)
