"""Rows searched for the items of an exam: what each holds, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.dedup.folding_table import folding_table
from databuild.dedup.tokenizing import as_bytes, fold_slowly, in_slices, token_hashes
from databuild.errors import SchemaError
from databuild.text.lookalikes import masking, unmasked, visible_places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from databuild.dedup.exam import Exam

    Ints = NDArray[np.int64]
    Masking = NDArray[np.uint8]

_NOTHING = np.empty(0, dtype=np.uint8)
_BATCH_ROWS = 65_536
_BATCH_BYTES = 64 << 20
_FOUND = {
    "text": pl.Int64, "number": pl.Int64, "n": pl.Int64, "run": pl.Int64, "first": pl.Int64,
    "last": pl.Int64,
}  # fmt: skip
_HELD = {
    "row_id": pl.String, "number": pl.Int64, "share": pl.Float64, "run": pl.Int64,
    "first": pl.Int64, "last": pl.Int64, "place": pl.Int64, "turn": pl.Int64, "string": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Hit:
    """A row and the item of which it holds most."""

    row_id: str
    number: int
    n_items: int
    """How many items it holds."""
    column: str
    turn: int | None
    run: int
    share: float
    start: int
    end: int
    """Characters of the text."""
    text: str
    """What stands there."""


def search(
    parts: Iterable[pl.DataFrame], columns: Sequence[str], exam: Exam, threads: int | None = None
) -> tuple[pl.DataFrame, list[Hit]]:
    """Find all rows that hold items.

    Args:
        parts: Rows with `row_id` and those of `columns` that they have, of texts, lists of texts,
            or conversations; one part at a time is held.
        columns: Where to search.
        exam: What for.
        threads: How many threads; by default as many as Polars has. The result is the same.

    Returns:
        `row_id` and `number` of all that was found, each pair once; and a hit for each row in the
        order of their ids: of the item with the largest share, then the longest run, the first
        column and turn, the first item.

    Raises:
        SchemaError: A column holds something else.
    """
    held = pl.concat(
        [pl.DataFrame(schema=_HELD)]
        + [
            _held(batch.select("row_id", column), place, exam, threads)
            for part in parts
            for batch in _batches(part)
            for place, column in enumerate(columns)
            if column in batch.columns
        ]
    ).sort(
        "row_id", "share", "run", "place", "turn", "number",
        descending=[False, True, True, False, False, False],
    )  # fmt: skip
    pairs = held.select("row_id", "number").unique(maintain_order=True)
    n_items = dict(pairs.group_by("row_id").len().iter_rows())
    best = held.unique("row_id", keep="first", maintain_order=True)
    spans = _spans(best)
    hits = [
        Hit(
            row["row_id"], row["number"], n_items[row["row_id"]], columns[row["place"]],
            row["turn"], row["run"], row["share"], *span, row["string"][span[0] : span[1]],
        )
        for row, span in zip(best.iter_rows(named=True), spans, strict=True)
    ]  # fmt: skip
    return pairs, hits


def _batches(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    size = max(1, int(rows.estimated_size()) // max(rows.height, 1))
    yield from rows.iter_slices(max(1, min(_BATCH_ROWS, _BATCH_BYTES // size)))


def _held(rows: pl.DataFrame, place: int, exam: Exam, threads: int | None) -> pl.DataFrame:
    """What the texts of one column hold."""
    texts = _texts(rows)
    found = _scanned(texts["string"], exam, threads)
    n_own = pl.Series(exam.n_own_I).gather(found["number"])
    return pl.concat(
        [texts[found["text"]], found.with_columns(share=pl.col("n") / n_own)], how="horizontal"
    ).select(
        "row_id", "number", "share", "run", "first", "last",
        pl.lit(place, dtype=pl.Int64).alias("place"), "turn", "string",
    )  # fmt: skip


def _scanned(texts: pl.Series, exam: Exam, threads: int | None) -> pl.DataFrame:
    """What texts hold, by their places: the columns of `_FOUND`."""
    from databuild.dedup.kernels.folding import IS_SLOW
    from databuild.dedup.kernels.overlap import scan_texts

    def scan(part: pl.Series, masking: Masking, *, is_folded: bool) -> tuple[NDArray[Any], Ints]:
        state = np.empty(len(part), np.uint8)
        found = scan_texts(*as_bytes(part), is_folded, folding_table(), masking, exam.index, state)
        return found, np.flatnonzero(state == IS_SLOW)

    def work(part: pl.Series) -> tuple[int, NDArray[Any], Ints]:
        return len(part), *scan(part, masking(), is_folded=False)

    found, slow, begin = [], [], 0
    for n, part, left in in_slices(work, texts, threads):
        part[:, 0] += begin
        found.append(part)
        slow.append(left + begin)
        begin += n
    # All at once: what unmasking prepares takes longer than the few texts that need it.
    rest = np.concatenate([np.empty(0, np.int64), *slow])
    clean = unmasked(texts.gather(rest))
    more, still = scan(clean, _NOTHING, is_folded=False)
    last, _ = scan(fold_slowly(clean.gather(still)), _NOTHING, is_folded=True)
    last[:, 0] = still[last[:, 0]]
    for part in (more, last):
        part[:, 0] = rest[part[:, 0]]
    return pl.DataFrame(np.concatenate([*found, more, last]), schema=_FOUND)


def _texts(rows: pl.DataFrame) -> pl.DataFrame:
    """The texts of one column: `row_id`, `turn`, `string`."""
    (column,) = (name for name in rows.columns if name != "row_id")
    dtype, value = rows.schema[column], pl.col(column)
    if dtype in {pl.String, pl.Null}:
        string = value.cast(pl.String).alias("string")
        return rows.select("row_id", pl.lit(None, dtype=pl.Int64).alias("turn"), string)
    inner = dtype.inner if isinstance(dtype, pl.List) else None
    if isinstance(inner, pl.Struct) and pl.Field("content", pl.String) in inner.fields:
        value = value.list.eval(pl.element().struct.field("content"))
    elif inner != pl.String:
        what = f"the column {column!r} holds {dtype}, not text"
        raise SchemaError("dedup.contamination", what, fix="name columns of text in `columns`")
    return (
        rows.select("row_id", string=value)
        .with_columns(turn=pl.int_ranges(pl.col("string").list.len(), dtype=pl.Int64))
        .filter(pl.col("string").list.len() > 0)
        .explode("turn", "string")
    )


def _spans(held: pl.DataFrame) -> Iterator[tuple[int, int]]:
    """From the numbers of the first and last token to the characters of the texts as they are."""
    plain = unmasked(held["string"])
    tokens = token_hashes(plain, spans=True)
    for row, text, begin in zip(held.iter_rows(named=True), plain, tokens.offsets, strict=False):
        first, last = tokens.spans[begin + row["first"], 0], tokens.spans[begin + row["last"], 1]
        encoded = text.encode()
        start = len(encoded[:first].decode())
        end = start + len(encoded[first:last].decode())
        if len(text) != len(row["string"]):
            places = visible_places(row["string"])
            start, end = places[start], places[end - 1] + 1
        yield start, end
