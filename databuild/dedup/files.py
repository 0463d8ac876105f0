"""Parquet files as texts in parts, with all their columns left where they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.errors import SchemaError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

PART_ROWS, PART_BYTES = 32_768, 32 << 20
_OTHER = "name a file with a column of text"
_TURNS = ({"role", "content"}, {"from", "value"})
_KNOWN = (
    ("messages",), ("conversations",), ("prompt",), ("instruction", "input"), ("instruction",),
    ("question",), ("text",), ("content",),
)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """One part: some rows of one file, in whole row groups or within one."""

    file: int
    groups: tuple[int, ...]
    start: int
    """Rows of the first group that come before."""
    n_rows: int


@dataclass
class Files:
    """The rows of Parquet files, in the order of the files; known by their numbers.

    Args:
        paths: The files.
        columns: The columns that are compared, as one text.
        prefer: The column that says which row is the better one.
    """

    paths: tuple[Path, ...]
    columns: tuple[str, ...]
    prefer: str | None = None
    _at: tuple[int, Iterator[Any]] | None = field(default=None, repr=False)

    @cached_property
    def heads(self) -> list[Any]:
        """The metadata of each file.

        Raises:
            SchemaError: One is not a Parquet file.
        """
        return [head_of(path) for path in self.paths]

    @property
    def sizes(self) -> list[int]:
        """The number of rows of each file."""
        return [head.num_rows for head in self.heads]

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return sum(self.sizes)

    @property
    def n_parts(self) -> int:
        """How many parts there are."""
        return len(self.pieces)

    @cached_property
    def text_bytes(self) -> int:
        """How large the compared columns are, uncompressed."""
        return sum(sum(self._group_bytes(f, g) for g in range(head.num_row_groups))
                   for f, head in enumerate(self.heads))  # fmt: skip

    @cached_property
    def pieces(self) -> list[Piece]:
        """How the files are cut: whole row groups together, or a large one in slices."""
        made: list[Piece] = []
        for file, head in enumerate(self.heads):
            groups: list[int] = []
            rows = size = 0
            for group in range(head.num_row_groups):
                n, n_bytes = head.row_group(group).num_rows, self._group_bytes(file, group)
                if groups and (rows + n > PART_ROWS or size + n_bytes > PART_BYTES):
                    made.append(Piece(file, tuple(groups), 0, rows))
                    groups, rows, size = [], 0, 0
                if n > PART_ROWS or n_bytes > PART_BYTES:
                    per_part = max(1, min(PART_ROWS, n * PART_BYTES // max(n_bytes, 1)))
                    starts = range(0, n, per_part)
                    made += [Piece(file, (group,), s, min(per_part, n - s)) for s in starts]
                    continue
                groups.append(group)
                rows, size = rows + n, size + n_bytes
            if groups:
                made.append(Piece(file, tuple(groups), 0, rows))
        return made

    def read(self, index: int) -> pl.DataFrame:
        """Read `text` and, where asked for, `prefer` of one part."""
        named = [*self.columns, *([self.prefer] if self.prefer else [])]
        rows = self._columns(index, named)
        made = {"text": one_text([rows.column(name) for name in self.columns])}
        if self.prefer:
            made["prefer"] = pl.Series(pl.from_arrow(rows.column(self.prefer)))
        return pl.DataFrame(made)

    def _columns(self, index: int, named: list[str]) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        piece = self.pieces[index]
        path = self.paths[piece.file]
        if len(piece.groups) > 1 or piece.n_rows == self._group_rows(piece):
            with pq.ParquetFile(path) as file:
                return file.read_row_groups(list(piece.groups), columns=named, use_threads=False)
        if piece.start == 0 or self._at is None or self._at[0] != index:
            # After a kill the group is read up to where it stopped.
            first = index - next(
                back for back in range(index + 1) if self.pieces[index - back].start == 0
            )
            size = self.pieces[first].n_rows
            file = pq.ParquetFile(path)
            batches = file.iter_batches(size, [piece.groups[0]], named, use_threads=False)
            for _ in range(first, index):
                next(batches)
            self._at = (index, batches)
        rows = next(self._at[1])
        self._at = (index + 1, self._at[1])
        return pa.Table.from_batches([rows])

    def _group_rows(self, piece: Piece) -> int:
        rows: int = self.heads[piece.file].row_group(piece.groups[0]).num_rows
        return rows

    def _group_bytes(self, file: int, group: int) -> int:
        of = self.heads[file].row_group(group)
        columns = (of.column(i) for i in range(of.num_columns))
        return sum(
            c.total_uncompressed_size
            for c in columns
            if c.path_in_schema.partition(".")[0] in self.columns
        )


def head_of(path: Path) -> Any:
    """The metadata of a Parquet file.

    Raises:
        SchemaError: It cannot be read as one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        what = f"this is not a readable Parquet file: {str(error).splitlines()[0]}"
        raise SchemaError(str(path), what, fix="name a Parquet or JSON Lines file") from error


def schema_of(path: Path) -> pa.Schema:
    """The columns of a Parquet file."""
    return head_of(path).schema.to_arrow_schema()


def text_columns(path: Path, asked: tuple[str, ...], told: Path) -> tuple[str, ...]:
    """The columns to compare: those that were asked for, or the first known ones that are there.

    Args:
        path: The Parquet file.
        asked: Their names; none: to be found.
        told: What the user calls the file.

    Raises:
        SchemaError: A column is missing or is not text; or none is known.
    """
    schema = schema_of(path)
    texts = [name for name in schema.names if is_text(schema.field(name).type)]
    for name in asked:
        check_column(schema, name, told)
        if name not in texts:
            what = f"the column {name!r} is of type {schema.field(name).type}, not text"
            fix = f"name one of {texts} with --column" if texts else _OTHER
            raise SchemaError(str(told), what, fix=fix)
    if asked:
        return asked
    known = next((names for names in _KNOWN if set(names) <= set(texts)), None)
    if known is None and len(texts) == 1:
        known = (texts[0],)
    if known is None:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        if not texts:
            what = f"none of its columns is text: {columns or 'it has none'}"
            raise SchemaError(str(told), what, fix=_OTHER)
        what = f"none of its columns has a name that is known; text are {', '.join(texts)}"
        raise SchemaError(str(told), what, fix="name one or several with --column")
    return known


def check_column(schema: pa.Schema, name: str, told: Path) -> None:
    """Refuse a column that a file does not have.

    Raises:
        SchemaError: It has no such column.
    """
    if name not in schema.names:
        what = f"it has no column {name!r}; {nearest(name, schema.names)}"
        raise SchemaError(str(told), what, fix="correct the name")


def is_text(dtype: pa.DataType) -> bool:
    """Whether a column is text, or lists turns (`role` and `content`, or `from` and `value`)."""
    import pyarrow as pa

    if pa.types.is_dictionary(dtype):
        dtype = dtype.value_type
    is_list = pa.types.is_list(dtype) or pa.types.is_large_list(dtype)
    if is_list and pa.types.is_struct(dtype.value_type):
        return any(names <= {field.name for field in dtype.value_type} for names in _TURNS)
    plain = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_such(dtype) for is_such in plain)


def one_text(columns: list[pa.ChunkedArray]) -> pl.Series:
    """The columns as one text per row, null where all are; of a conversation all its turns."""
    texts = [_text(column).alias(f"{n}") for n, column in enumerate(columns)]
    if len(texts) == 1:
        return texts[0].alias("text")
    joined = pl.concat_str(pl.all(), separator="\n\n", ignore_nulls=True)
    has_text = pl.any_horizontal(pl.all().is_not_null())
    return pl.DataFrame(texts).select(text=pl.when(has_text).then(joined)).to_series()


def _text(column: pa.ChunkedArray) -> pl.Series:
    import pyarrow as pa

    dtype = column.type
    if pa.types.is_dictionary(dtype):
        column = column.cast(dtype.value_type)
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        fields = {f.name for f in dtype.value_type}
        name = "content" if "content" in fields else "value"
        turns = pl.Series(pl.from_arrow(column)).alias("turns").to_frame()
        said = pl.col("turns").list.eval(pl.element().struct.field(name).cast(pl.String))
        return turns.select(said.list.drop_nulls().list.join("\n")).to_series()
    # As bytes first: what is not UTF-8, such as half a surrogate pair, must not be taken for text.
    raw = pl.Series(pl.from_arrow(column.cast(pa.large_binary())), dtype=pl.Binary)
    try:
        return raw.cast(pl.String)
    except pl.exceptions.ComputeError:
        # Seldom, and of one part: each text by itself, with U+FFFD for what is broken.
        mended = [None if one is None else bytes(one).decode("utf-8", "replace") for one in raw]
        return pl.Series(mended, dtype=pl.String)
