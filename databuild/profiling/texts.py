"""Texts: how long they are, and how many say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.profiling.facts import Repeated, Spread, Text
from databuild.profiling.gather import Picked, contents, joined
from databuild.profiling.spread import spread_of
from databuild.text.normal import by_script, normal_forms
from databuild.text.tokens import TOKEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from databuild.profiling.table import Table


class Texts:
    """The lengths and hashes of one column of texts."""

    def __init__(self, table: Table, column: str) -> None:
        self.column = column
        self.reads = (column,)
        self.bytes_per_row = 24
        self._dtype = table.schema[column]
        self._chars: list[pl.Series] = []
        self._words: list[pl.Series] = []
        self._hashes: list[pl.Series] = []
        self._forms: list[pl.Series] = []
        self.n_blank = 0

    def add(self, part: pl.DataFrame) -> None:
        """Measure one part."""
        text = part.select(contents(self.column, self._dtype)).to_series().drop_nulls()
        if text.is_empty():
            return
        self._chars.append(text.str.len_chars())
        self._words.append(count_words(text))
        self._hashes.append(text.hash())
        self._forms.append(normal_forms(text).hash())
        self.n_blank += int((~text.str.contains(r"\S")).sum())

    @property
    def chars(self) -> pl.Series:
        """Code points of each text."""
        return joined(self._chars, pl.UInt32)

    @property
    def words(self) -> pl.Series:
        """Words of each text."""
        return joined(self._words, pl.UInt32)

    def repeated(self, most: int) -> list[tuple[int, int]]:
        """The hashes of the commonest texts that stand in several rows, and in how many."""
        hashes = joined(self._hashes, pl.UInt64).alias("hash")
        counts = hashes.value_counts(name="n").filter(pl.col("n") > 1)
        top = counts.sort(["n", "hash"], descending=[True, False]).head(most)
        return [(int(key), int(n)) for key, n in top.iter_rows()]

    def fact(
        self, repeated: Sequence[Repeated], chars: Spread | None = None, words: Spread | None = None
    ) -> Text:
        """What was found out."""
        hashes, forms = joined(self._hashes, pl.UInt64), joined(self._forms, pl.UInt64)
        return Text(
            column=self.column,
            n=hashes.len(),
            n_blank=self.n_blank,
            chars=chars or spread_of(self.chars),
            words=words or spread_of(self.words),
            n_duplicates=hashes.len() - hashes.n_unique(),
            n_normal_duplicates=forms.len() - forms.n_unique(),
            most_repeated=tuple(repeated),
        )


class Found:
    """Rows whose text has one of a few hashes: one example for each."""

    def __init__(self, table: Table, column: str, counts: Sequence[tuple[int, int]]) -> None:
        self.column, self.counts = column, counts
        self.bytes_per_row = 0
        self._dtype = table.schema[column]
        self._picked = {key: Picked(table, column, 1) for key, _ in counts}
        self.reads = (column,) if counts else ()

    def add(self, part: pl.DataFrame) -> None:
        """Look through one part."""
        if not self.counts:
            return
        text = part.select(contents(self.column, self._dtype)).to_series()
        # A null has a hash of its own, which is no text's: the commonest texts are never null.
        hashes = text.hash()
        for key, picked in self._picked.items():
            picked.add(part.filter((hashes == key) & text.is_not_null()))

    def repeated(self) -> tuple[Repeated, ...]:
        """The commonest texts."""
        return tuple(
            Repeated(n, example)
            for key, n in self.counts
            for example in self._picked[key].examples()
        )


def count_words(text: pl.Series) -> pl.Series:
    """How many words (`text.tokens`) each text has.

    Example:
        >>> count_words(pl.Series(["It's no. 12", "世界 ok", "", None])).to_list()
        [4, 3, 0, None]
    """
    return by_script(text, _ascii_words, lambda other: other.str.count_matches(TOKEN))


def _ascii_words(text: pl.Series) -> pl.Series:
    """Count runs of word characters in the bytes: three times as fast as a regular expression."""
    array = text.to_arrow()
    n = len(array)
    if not n:
        return pl.Series(dtype=pl.UInt32)
    wide = array.buffers()[1]
    ends_N = np.frombuffer(wide, dtype=np.int64)[array.offset : array.offset + n + 1]
    bytes_B = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)[ends_N[0] : ends_N[-1]]
    ends_N = ends_N - ends_N[0]
    is_word_B = _IS_WORD[bytes_B]
    starts_B = is_word_B.copy()
    starts_B[1:] &= ~is_word_B[:-1]
    first = ends_N[:-1][ends_N[1:] > ends_N[:-1]]
    starts_B[first] = is_word_B[first]
    before_N = np.searchsorted(np.flatnonzero(starts_B), ends_N)
    return pl.Series(np.diff(before_N).astype(np.uint32))


_IS_WORD = np.zeros(256, dtype=bool)
_IS_WORD[[i for i in range(128) if chr(i).isalnum() or chr(i) == "_"]] = True
