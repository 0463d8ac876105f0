"""Tokens of texts as 64-bit hashes, in one pass over the bytes; equal to `text.tokens`."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import polars as pl

from databuild.dedup.folding_table import folding_table, opens
from databuild.text.tokens import UNSPACED, folded, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

Made = TypeVar("Made")

Texts: TypeAlias = "pl.Series | pa.Array | pa.ChunkedArray"
"""N texts: of Polars, or of Arrow (`string`, `large_string`), which are read in place."""

_SLICE_BYTES = 1 << 20
_KEPT_BYTES = 64 << 20


class Tokens(NamedTuple):
    """The tokens of N texts, one after the other."""

    hashes: NDArray[np.uint64]
    """A 64-bit hash of every token. Different tokens of up to 7 bytes never share one; two others
    do with a probability of about 2**-64."""
    offsets: NDArray[np.int64]
    """N + 1 numbers: the tokens of text r are `hashes[offsets[r]:offsets[r + 1]]`."""
    spans: NDArray[np.int64]
    """Where asked for, T rows: the first byte of every token and the byte after its last, in the
    UTF-8 of the text as it came; else 0 rows."""


class Bytes(NamedTuple):
    """Some texts as the buffers of an Arrow column, for the compiled loops."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    nulls: NDArray[np.uint8]


def token_hashes(texts: Texts, *, spans: bool = False, threads: int | None = None) -> Tokens:
    r"""Hash the tokens of every text, as `text.tokens(text.folded(text))` cuts them.

    Texts in which neighbouring characters change each other under NFKC or lower-casing (a letter
    and a combining mark that compose, a final sigma) are cut by Polars, all others by one compiled
    pass. A null text has no tokens.

    Args:
        texts: N texts.
        spans: Also tell where each token stands in the text as it came. A token that came of a
            part of a character ("1" of "½") has the whole character.
        threads: How many threads; by default as many as Polars has. The result is the same.

    Returns:
        See `Tokens`.

    Example:
        >>> found = token_hashes(pl.Series(["It's IT", None]), spans=True)
        >>> found.offsets.tolist(), found.spans.tolist()
        ([0, 3, 3], [[0, 2], [3, 4], [5, 7]])
        >>> bool(found.hashes[0] == found.hashes[2])
        True
    """
    made = list(in_slices(lambda part: _cut(part, spans=spans), texts, threads))
    counts = [np.diff(one.offsets) for one in made]
    return Tokens(
        np.concatenate([np.empty(0, np.uint64), *(one.hashes for one in made)]),
        offsets_of(np.concatenate([np.empty(0, np.int64), *counts])),
        np.concatenate([np.empty((0, 2), np.int64), *(one.spans for one in made)]),
    )


def _cut(texts: Texts, *, spans: bool) -> Tokens:
    from databuild.dedup.kernels.folding import IS_SLOW, token_texts

    def run(part: Bytes, *, is_folded: bool) -> tuple[Any, Any, Any, Any]:
        most = int(part.offsets[-1] - part.offsets[0]) + len(part.offsets)
        hashes, counts = np.empty(most, np.uint64), np.empty(len(part.offsets) - 1, np.int64)
        places = np.empty((most if spans and not is_folded else 0, 2), np.int64)
        state = np.empty(len(counts), np.uint8)
        total = token_texts(*part, is_folded, folding_table(), hashes, counts, state, places)
        return hashes[:total], counts, state, places[:total]

    hashes, counts, state, places = run(as_bytes(texts), is_folded=False)
    slow = np.flatnonzero(state == IS_SLOW)
    if len(slow):
        by_polars = chosen(texts, slow)
        more, more_counts, _, _ = run(as_bytes(fold_slowly(by_polars)), is_folded=True)
        if spans:
            found = [span for text in by_polars for span in _spans_slowly(text)]
            more_places = np.array(found, np.int64).reshape(-1, 2)
            places = spliced(places, counts, slow, more_places, more_counts)
        hashes = spliced(hashes, counts, slow, more, more_counts)
        counts[slow] = more_counts
    return Tokens(hashes.copy(), offsets_of(counts), places.copy())


def fold_slowly(texts: pl.Series) -> pl.Series:
    """The tokens of texts by Polars, folded, joined by zero characters: what the loops read."""
    return (
        texts.alias("text").to_frame()
        .select(tokens(folded(pl.col("text"))).list.join("\0"))
        .to_series()
    )  # fmt: skip


def _spans_slowly(text: str) -> Iterator[tuple[int, int]]:
    """The bytes of every token of a text that must be normalised as a whole, one text at a time."""
    starts = [i for i, c in enumerate(text) if i == 0 or opens(c)]
    parts = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    character = pl.col("c")
    classed = (
        pl.DataFrame({"c": parts}, schema={"c": pl.String})
        .select(folded(character).str.split("")).with_row_index("part").explode("c")
        .filter(character != "")
        .select("part", character.str.contains(f"[{UNSPACED}]").alias("single"),
                word=character.str.contains(r"\w"))
    )  # fmt: skip
    edges = np.cumsum([0, *(len(part.encode()) for part in parts)]).tolist()
    begun: tuple[int, int] | None = None
    for part, single, word in classed.iter_rows():
        if begun is not None and (single or not word):
            yield begun
            begun = None
        here = edges[part], edges[part + 1]
        if single:
            yield here
        elif word:
            begun = (begun[0], here[1]) if begun else here
    if begun is not None:
        yield begun


def spliced(
    flat: NDArray[Any], counts: NDArray[Any], rows: NDArray[Any], more: NDArray[Any], sizes: Any
) -> NDArray[Any]:
    """`flat`, in which `rows` have nothing, with their items from `more` put in their places."""
    before = offsets_of(counts)[rows]
    edges = offsets_of(sizes)
    parts, done = [], 0
    for k, place in enumerate(before.tolist()):
        parts += [flat[done:place], more[edges[k] : edges[k + 1]]]
        done = place
    return np.concatenate([*parts, flat[done:]])


def offsets_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of the lists begins that are stored one after the other, and the end."""
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


def in_slices(
    work: Callable[[Texts], Made],
    texts: Texts,
    threads: int | None = None,
    slice_bytes: int = _SLICE_BYTES,
) -> Iterator[Made]:
    """Do the work on slices of the texts, of about a MiB each, on several threads; in order."""
    size = texts.estimated_size() if isinstance(texts, pl.Series) else texts.nbytes
    rows = max(int(slice_bytes / max(size / max(len(texts), 1), 1)), 1)
    parts = (texts.slice(at, rows) for at in range(0, len(texts), rows))
    threads = threads or pl.thread_pool_size()
    if threads == 1 or len(texts) <= rows:
        yield from map(work, parts)
        return
    folding_table()  # made once, before the threads ask for it
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for part in parts:
            waiting.append(pool.submit(work, part))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def as_bytes(texts: Texts) -> Bytes:
    """The texts as UTF-8 bytes, N + 1 places and whether each is null (empty: none is)."""
    if isinstance(texts, pl.Series):
        texts = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    import pyarrow as pa

    arrow = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    if pa.types.is_string_view(arrow.type):
        arrow = arrow.cast(pa.large_string())
    _, places, data = arrow.buffers()
    kind = np.int64 if pa.types.is_large_string(arrow.type) else np.int32
    ends = np.frombuffer(places, kind) if places else np.zeros(1, kind)
    ends = ends[arrow.offset : arrow.offset + len(arrow) + 1]
    is_null = arrow.is_null().to_numpy(zero_copy_only=False) if arrow.null_count else np.empty(0)
    return Bytes(
        np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8),
        ends.astype(np.int64, copy=False) if len(ends) else np.zeros(1, np.int64),
        is_null.astype(np.uint8),
    )


def chosen(texts: Texts, rows: NDArray[np.int64]) -> pl.Series:
    """Some of the texts, for Polars."""
    series = texts if isinstance(texts, pl.Series) else pl.from_arrow(texts)
    assert isinstance(series, pl.Series)
    return series.gather(rows)


_rooms = threading.local()


def room(items: int) -> NDArray[np.uint64]:
    """At least so many numbers to write to; the same place for every call from one thread.

    New memory costs more than what is written to it: the pages have to be taken from the system.
    """
    found: NDArray[np.uint64] | None = getattr(_rooms, "found", None)
    if found is None or len(found) < items:
        found = np.empty(max(items, 1 << 18), np.uint64)
        if found.nbytes <= _KEPT_BYTES:
            _rooms.found = found
    return found
