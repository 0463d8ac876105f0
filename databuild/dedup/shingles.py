"""Texts as sets of hashed n-grams of tokens: what near-duplicates are compared by."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import xxhash

from databuild.dedup.folding_table import folding_table
from databuild.dedup.tokenizing import (
    as_bytes,
    chosen,
    fold_slowly,
    in_slices,
    offsets_of,
    room,
    spliced,
)
from databuild.text.tokens import folded
from databuild.text.whitespace import collapsed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from databuild.dedup.tokenizing import Bytes, Texts


_NOTHING = np.empty((0, 2), np.uint64)


class Shingles(NamedTuple):
    """The sets of N texts. Any of the arrays may be memory-mapped."""

    hashes: NDArray[np.uint64]
    """The distinct shingles of every text in ascending order, one text after the other."""
    offsets: NDArray[np.int64]
    """N + 1 numbers: the set of text r is `hashes[offsets[r]:offsets[r + 1]]`. Only a null text
    has an empty set."""
    form: NDArray[np.uint64]
    """N rows of two numbers, a 128-bit hash of the sequence of tokens: equal for texts that are
    the same in normal form. (0, 0) for a null text, which is equal to nothing."""


def shingle(texts: Texts, ngram: int = 3, *, threads: int | None = None) -> Shingles:
    """Hash every run of `ngram` tokens of every text; the distinct ones, sorted, are its set.

    Tokens are those of `text.tokens(text.folded(text))`. A text of fewer tokens is one shingle of
    them all. A text without a token is one shingle of its folded text with white space collapsed,
    so that it equals only what reads the same. A null text has none and is similar to nothing.

    Two different shingles share a hash with a probability of about 2**-61 (of token runs up to 16
    long): of 70 million distinct shingles (1M instructions), about 0.001 pairs; of 10**10, about
    20, in pairs of texts that are hardly ever compared.

    Args:
        texts: N texts. Slices of a column give the same sets as the whole: see `joined`.
        ngram: Tokens of a shingle, at least 1.
        threads: How many threads; by default as many as Polars has. The result is the same.

    Returns:
        See `Shingles`. 8 bytes per shingle and 24 per text.

    Example:
        >>> found = shingle(pl.Series(["a b c d", "A, b: c. D!", "a b", None]))
        >>> np.diff(found.offsets).tolist()
        [2, 2, 1, 0]
        >>> bool((found.form[0] == found.form[1]).all())
        True
    """
    return shingle_batches([texts], ngram, threads=threads)


def shingle_batches(
    batches: Iterable[Texts], ngram: int = 3, *, threads: int | None = None
) -> Shingles:
    """The same for texts that come in batches, of which only one is in memory at a time.

    The sets are written once, into memory that grows in place; the peak is that of the result and
    one batch.
    """
    assert ngram >= 1, ngram
    return joined(
        made
        for batch in batches
        for made in in_slices(lambda part: _shingled(part, ngram), batch, threads)
    )


def joined(parts: Iterable[Shingles]) -> Shingles:
    """The sets of several tables as those of one; each part may go once the next is asked for."""
    flat = _Growing()
    counts, forms = [np.empty(0, np.int64)], [np.empty((0, 2), np.uint64)]
    for part in parts:
        flat.append(part.hashes)
        counts.append(np.diff(part.offsets))
        forms.append(part.form)
    return Shingles(flat.numbers(), offsets_of(np.concatenate(counts)), np.concatenate(forms))


class _Growing:
    """Numbers in memory that grows in place: the system moves its pages instead of copying."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._size = 0

    def append(self, numbers: NDArray[np.uint64]) -> None:
        if not len(numbers):
            return
        end = self._size + numbers.nbytes
        if end > len(self._memory):
            self._memory.resize(max(end, len(self._memory) * 3 // 2))
        self._memory[self._size : end] = numbers.data.cast("B")
        self._size = end

    def numbers(self) -> NDArray[np.uint64]:
        return np.frombuffer(self._memory, np.uint64, self._size // 8)


def _shingled(texts: Texts, ngram: int) -> Shingles:
    from databuild.dedup.kernels.folding import IS_BARE, IS_SLOW

    hashes, counts, form, state = shingle_slice(as_bytes(texts), ngram)
    hashes = hashes.copy()
    slow = np.flatnonzero(state == IS_SLOW)
    if len(slow):
        by_polars = as_bytes(fold_slowly(chosen(texts, slow)))
        more, sizes, form[slow], state[slow] = shingle_slice(by_polars, ngram, is_folded=True)
        hashes = spliced(hashes, counts, slow, more, sizes)
        counts[slow] = sizes
    bare = np.flatnonzero(state == IS_BARE)
    if len(bare):
        form[bare] = _bare_forms(chosen(texts, bare))
        one = np.ones(len(bare), np.int64)
        hashes = spliced(hashes, counts, bare, form[bare, 0], one)
        counts[bare] = 1
    return Shingles(hashes, offsets_of(counts), form)


def shingle_slice(
    part: Bytes, ngram: int, *, is_folded: bool = False, known: NDArray[np.uint64] = _NOTHING
) -> tuple[NDArray[Any], ...]:
    """The sets of some texts, whose forms are not known, in memory that the next call writes to.

    Returns:
        The shingles, how many each text has, the forms, and the states of `kernels.folding`.
    """
    from databuild.dedup.kernels.folding import shingle_texts

    n = len(part.offsets) - 1
    hashes = room(int(part.offsets[-1] - part.offsets[0]) + n)  # none has more shingles than bytes
    counts, state = np.empty(n, np.int64), np.empty(n, np.uint8)
    form = np.empty((n, 2), np.uint64)
    made = hashes, counts, form, state
    total = shingle_texts(*part, is_folded, ngram, folding_table(), known, *made)
    return hashes[:total], counts, form, state


def bare_texts(texts: pl.Series) -> pl.Series:
    """What stands for a text without a token: U+001F and the folded, collapsed text."""
    column = texts.alias("text").to_frame()
    bare = pl.concat_str(pl.lit("\x1f"), collapsed(folded(pl.col("text"))))
    return column.select(bare).to_series()


def _bare_forms(texts: pl.Series) -> NDArray[np.uint64]:
    """128-bit hashes of texts without a token, one call of xxhash per distinct text."""
    distinct = bare_texts(texts).rank("dense").to_numpy().astype(np.int64) - 1
    known = bare_texts(texts).unique().sort().to_list()
    digests = [xxhash.xxh3_128_digest(text.encode(), seed=1) for text in known]
    forms: NDArray[np.uint64] = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
    return np.ascontiguousarray(forms[distinct])
