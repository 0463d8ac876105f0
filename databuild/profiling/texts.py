"""Texts: how long they are, and how many say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from databuild.profiling.facts import Repeated, Spread, Text
from databuild.profiling.gather import Picked, contents, joined
from databuild.profiling.spread import spread_of
from databuild.text.tokens import TOKEN, folded
from databuild.text.whitespace import collapsed

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
        self._words.append(text.str.count_matches(TOKEN))
        self._hashes.append(text.hash())
        self._forms.append(normal_form(text).hash())
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


def normal_form(text: pl.Series) -> pl.Series:
    r"""Texts after Unicode NFKC, in lower case, with one space for any run of white space.

    What is ASCII needs no NFKC, and what has no run of white space no collapsing: most texts of
    most tables take the short way.

    Example:
        >>> normal_form(pl.Series(["Ａ  b\n", "a B", None])).to_list()
        ['a b', 'a b', None]
    """
    frame = text.alias("t").to_frame().with_row_index("i")
    is_ascii = pl.col("t").str.len_bytes() == pl.col("t").str.len_chars()
    frame = frame.with_columns(is_ascii=is_ascii.fill_null(value=True))
    plain = frame.filter("is_ascii").with_columns(pl.col("t").str.to_lowercase())
    other = frame.filter(~pl.col("is_ascii")).with_columns(folded(pl.col("t")))
    lower = pl.concat([plain, other]).select("i", "t")
    ragged = pl.col("t").str.contains(r"\s\s|[^\S ]|^\s|\s$").fill_null(value=False)
    lower = lower.with_columns(ragged=ragged)
    tidy = lower.filter(~pl.col("ragged"))
    rest = lower.filter("ragged").with_columns(collapsed(pl.col("t")))
    return pl.concat([tidy, rest]).sort("i")["t"]
