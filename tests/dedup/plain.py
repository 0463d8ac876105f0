"""Near-dedup's definitions in plain Python and Polars, which the compiled loops must equal."""

from __future__ import annotations

import polars as pl
from hypothesis import strategies as st

from databuild.text.tokens import folded, tokens

# Characters that NFKC, lower-casing or tokens treat in their own way, among ordinary ones.
ODD = "\u0301\u0327\u0345ΣσςİıßﬁＡ½①㍿ﷺ…·\u200d\ufe0f世界あア한각\u1100\u1161\u11a8ไทยำ่ক\u09be\u09c7ຫຼमात्रा\u094dשלום\u05bc\U0001f9d1\U0001d6ba\U0001fae8\x00\x1f_-9"
CHARACTERS = st.one_of(
    st.sampled_from("abcXYZ  .,'\n"),
    st.sampled_from(ODD),
    st.characters(exclude_categories=["Cs"]),
)
TEXTS = st.lists(st.none() | st.text(CHARACTERS, max_size=40), max_size=8)
WORDS = st.sampled_from(["a", "b", "c", "rain", "bow", "世", "internationalisation", "é", "?"])
SENTENCES = st.lists(
    st.none() | st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=12
)


def series(texts: list[str | None]) -> pl.Series:
    return pl.Series("text", texts, dtype=pl.String)


def token_lists(texts: list[str | None]) -> list[list[str] | None]:
    found = series(texts).to_frame().select(tokens(folded(pl.col("text"))))
    return found.to_series().to_list()


def sets(texts: list[str | None], ngram: int = 3) -> list[set[tuple[str, ...]]]:
    """The shingles of every text; of one without a token its folded text, white space collapsed."""
    bare = series(texts).to_frame().select(folded(pl.col("text"))).to_series().to_list()
    found: list[set[tuple[str, ...]]] = []
    for cut, text in zip(token_lists(texts), bare, strict=True):
        if cut is None:
            found.append(set())
        elif not cut:
            found.append({("\x1f", " ".join(text.split()))})
        else:
            starts = range(max(len(cut) - ngram + 1, 1))
            found.append({tuple(cut[i : i + ngram]) for i in starts})
    return found


def jaccard(one: set[tuple[str, ...]], two: set[tuple[str, ...]]) -> float:
    return len(one & two) / len(one | two) if one and two else 0.0
