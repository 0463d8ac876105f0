"""The texts of a column, whether it holds texts, lists of texts or conversations.

A change that is written for a flat series of texts works on all of them: `Texts(column)` takes the
texts out, `put` puts changed ones back at the same places. Nothing else of the column moves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

    Change = Callable[[pa.Array], pa.Array]

CONTENT = ("content", "text", "value")
"""The fields of a turn (or of a part of one) that are prose."""
CONTENT_AND_MORE = (*CONTENT, "name", "arguments", "reasoning_content", "thinking")
"""The fields of a turn in which a person's data may stand; `arguments` is JSON text."""


class Texts:
    """The texts of a column, flat.

    Args:
        column: Texts, lists of texts, or lists of turns (structs; deeper lists and structs too).
        fields: The fields of structs that are texts, or lead to them as lists or structs.
        where: Whose column it is, for errors.

    Attributes:
        texts: All texts, in the order of fields, then of rows, then of places in the row.
        rows: For each text the row (from 0) that it belongs to.
        items: For each text its place (from 0) in the outermost list; 0 where there is no list.
        is_flat: Whether the column is one of plain texts.

    Raises:
        SchemaError: The column holds no texts.

    Example:
        >>> turns = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], []]
        >>> held = Texts(pl.Series("messages", turns), CONTENT)
        >>> held.texts.to_list(), held.rows.tolist(), held.items.tolist()
        (['a', 'b'], [0, 0], [0, 1])
        >>> held.put(pl.Series(["A", "B"])).to_list()[0][1]
        {'role': 'assistant', 'content': 'B'}
    """

    def __init__(
        self, column: pl.Series, fields: tuple[str, ...] = CONTENT, where: str = "text"
    ) -> None:
        import pyarrow as pa

        self._column, self._fields = column, fields
        self.is_flat = column.dtype in {pl.String, pl.Null}
        self._arrow = _plain(column)
        found: list[pa.Array] = []
        rows: list[NDArray[np.int64]] = []
        items: list[NDArray[np.int64]] = []
        places = np.arange(len(column), dtype=np.int64)

        def take(texts: pa.Array, row: NDArray[np.int64], item: NDArray[np.int64]) -> None:
            found.append(texts)
            rows.append(row)
            items.append(item)

        self._walk(self._arrow, places, None, take)
        if not found:
            what = f"the column {column.name!r} holds no texts, it is {column.dtype}"
            raise SchemaError(where, what, fix="name a column of texts or of messages")
        flat = pl.from_arrow(pa.chunked_array([piece.cast(pa.large_string()) for piece in found]))
        assert isinstance(flat, pl.Series)
        self.texts = flat.alias(column.name)
        self.rows, self.items = np.concatenate(rows), np.concatenate(items)

    def _walk(
        self,
        array: pa.Array,
        rows: NDArray[np.int64],
        items: NDArray[np.int64] | None,
        take: Callable[..., None],
    ) -> None:
        import pyarrow as pa

        if _is_text(array.type):
            take(array, rows, np.zeros(len(rows), np.int64) if items is None else items)
        elif pa.types.is_large_list(array.type):
            starts = array.offsets.to_numpy().astype(np.int64)
            lengths = np.diff(starts)
            inner = np.repeat(rows, lengths)
            place = np.arange(len(inner), dtype=np.int64) - np.repeat(starts[:-1], lengths)
            outer = place if items is None else np.repeat(items, lengths)
            self._walk(array.values, inner, outer, take)
        elif pa.types.is_struct(array.type):
            for field in array.type:
                if field.name in self._fields or not _is_text(field.type):
                    self._walk(array.field(field.name), rows, items, take)

    def put(self, texts: pl.Series) -> pl.Series:
        """The column with other texts at the places of its own; null stays null."""
        flat = texts.cast(pl.String).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        position = 0

        def change(array: pa.Array) -> pa.Array:
            nonlocal position
            piece = flat.slice(position, len(array))
            position += len(array)
            return piece

        made = pl.Series(self._column.name, pl.from_arrow(self._rebuild(self._arrow, change)))
        return made.cast(self._column.dtype) if made.dtype != self._column.dtype else made

    def _rebuild(self, array: pa.Array, change: Change) -> pa.Array:
        import pyarrow as pa

        if _is_text(array.type):
            return change(array)
        if pa.types.is_large_list(array.type):
            values = self._rebuild(array.values, change)
            offsets = array.offsets
            return pa.LargeListArray.from_arrays(offsets, values, mask=array.is_null())
        if pa.types.is_struct(array.type):
            children = [
                self._rebuild(array.field(field.name), change)
                if field.name in self._fields or not _is_text(field.type)
                else array.field(field.name)
                for field in array.type
            ]
            names = [field.name for field in array.type]
            return pa.StructArray.from_arrays(children, names, mask=array.is_null())
        return array


def _plain(column: pl.Series) -> pa.Array:
    """One unsliced Arrow array with 64-bit offsets, whose null lists are empty."""
    import pyarrow as pa

    whole = column.cast(pl.String) if column.dtype == pl.Null else column
    array: Any = whole.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    # A copy has no offsets of a slice, and nothing behind its null lists.
    return array if _is_text(array.type) else array.take(pa.array(np.arange(len(array))))


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_large_string(kind) or pa.types.is_string(kind))
