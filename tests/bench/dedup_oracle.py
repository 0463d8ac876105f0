"""All pairs of rows with a Jaccard similarity of at least one half, exactly, and scores by them.

A text is lower-cased after Unicode NFKC and cut into runs of word characters, in scripts without
spaces into characters; its set holds the runs of three tokens, of a shorter text the one run of all.
A text without a word stands for itself. Pairs are found by a prefix filter (Chaudhuri, Ganti and
Kaushik 2006, with the bound on what is left of Xiao et al. 2008): the rarest half of a set and one
more must meet that of any set that shares half with it. No MinHash, no code of databuild: NumPy
sorts and SciPy's sparse products. Exact but for a collision of two 64-bit hashes.

    python -m tests.bench.dedup_oracle FOLDER      # of dedup_corpus: writes FOLDER/truth/
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy import sparse  # type: ignore[import-untyped]

FLOOR = 0.5
"""Pairs are listed from this similarity on."""

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_TOKEN = rf"[{_UNSPACED}]|[\w--[{_UNSPACED}]]+"
_CHUNK_ROWS = 50_000


class Sets(NamedTuple):
    """The sets of n rows: `values[starts[i]:starts[i + 1]]`, ascending; rarest first."""

    starts: np.ndarray
    values: np.ndarray
    n_values: int


class Truth(NamedTuple):
    """What is known of a corpus, by row and by pair of groups of rows with equal sets."""

    rows: pl.DataFrame
    """`group: u32`, `tokens: u32`, `han_ratio: f64` of every row, in order."""
    pairs: pl.DataFrame
    """`a: u32 < b: u32` and `jaccard: f64 >= FLOOR` of different groups."""


def _mixed(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele et al. 2014): every bit counts for every bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _shingles(texts: pl.Series) -> tuple[np.ndarray, np.ndarray, pl.DataFrame]:
    """The row and the hash of every 3-gram of some texts (none null), with repeats; row facts."""
    rows = pl.DataFrame({"form": texts.str.normalize("NFKC").str.to_lowercase()}).select(
        "form",
        tokens=pl.col("form").str.extract_all(_TOKEN),
        chars=pl.col("form").str.len_chars(),
        han=pl.col("form").str.count_matches(r"\p{Han}"),
    )
    n_tokens = rows["tokens"].list.len()
    words = rows.select(
        pl.when(n_tokens > 0)
        .then("tokens")
        .otherwise(pl.concat_list(pl.concat_str(pl.lit("\0"), _spaced("form"))))
    ).to_series()
    flat = words.explode().hash(seed=1).to_numpy()
    lengths = np.maximum(n_tokens.to_numpy(), 1).astype(np.int64)
    row = np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)
    ends = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(flat))  # tokens from here on
    grams = _mixed(flat + np.uint64(1))
    for step in (1, 2):
        following = np.where(ends > step, np.roll(flat, -step), np.uint64(step))
        grams = _mixed(grams ^ following)
    starts = (ends >= 3) | (np.repeat(lengths, lengths) == ends)  # a short text: from its first
    facts = pl.DataFrame(
        {"tokens": n_tokens, "han_ratio": rows["han"] / rows["chars"].clip(lower_bound=1)}
    )
    return row[starts], grams[starts], facts


def _spaced(column: str) -> pl.Expr:
    return pl.col(column).str.replace_all(r"\s+", " ").str.strip_chars()


def read_sets(texts: pl.Series) -> tuple[Sets, pl.DataFrame]:
    """The 3-gram sets of texts, values numbered from the rarest to the commonest."""
    row_parts, gram_parts, facts = [], [], []
    for start in range(0, len(texts), _CHUNK_ROWS):
        row, gram, some = _shingles(texts.slice(start, _CHUNK_ROWS))
        row_parts.append(row + np.uint32(start))
        gram_parts.append(gram)
        facts.append(some)
    grams = np.concatenate(gram_parts) if gram_parts else np.empty(0, np.uint64)
    key = np.concatenate(row_parts or [np.empty(0, np.uint32)]).astype(np.uint64) << np.uint64(32)
    del row_parts, gram_parts
    numbers, n_values = _numbered(grams)
    key |= numbers
    key.sort()
    key = key[np.concatenate([[True], key[1:] != key[:-1]])] if len(key) else key
    sizes = np.bincount((key >> np.uint64(32)).astype(np.int64), minlength=len(texts))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    sets = Sets(starts, (key & np.uint64(0xFFFFFFFF)).astype(np.int32), n_values)
    return sets, pl.concat(facts) if facts else _shingles(texts)[2]


def _numbered(grams: np.ndarray) -> tuple[np.ndarray, int]:
    """A number for every value, by how often it occurs, the rarest first."""
    order = np.argsort(grams)
    ordered = grams[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(grams) else order > 0
    del ordered
    starts = np.flatnonzero(is_first)
    counts = np.diff(np.append(starts, len(grams)))
    rank = np.empty(len(starts), np.uint32)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(starts), dtype=np.uint32)
    numbers = np.empty(len(grams), np.uint32)
    numbers[order] = np.repeat(rank, counts)
    return numbers, len(starts)


def find_truth(texts: pl.Series) -> Truth:
    """Groups of rows with equal sets, and all pairs of groups with similarity >= `FLOOR`."""
    sets, facts = read_sets(texts)
    sizes = np.diff(sets.starts)
    mixed = _mixed(sets.values.astype(np.uint64) + np.uint64(1))
    sums = np.add.reduceat(mixed, sets.starts[:-1]) if len(texts) else mixed
    groups = (
        pl.DataFrame({"n": sizes, "sum": sums})
        .with_row_index("row")
        .select(pl.col("row").first().over("n", "sum"))
        .to_series()
        .to_numpy()
    )
    firsts, group = np.unique(groups, return_inverse=True)
    pairs = _pairs(_picked(sets, firsts))
    return Truth(facts.with_columns(group=pl.Series(group, dtype=pl.UInt32)), pairs)


def _picked(sets: Sets, rows: np.ndarray) -> Sets:
    sizes = np.diff(sets.starts)[rows]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    places = np.repeat(sets.starts[rows] - starts[:-1], sizes) + np.arange(starts[-1])
    return Sets(starts, sets.values[places], sets.n_values)


def _matrix(sets: Sets, entries: np.ndarray) -> sparse.csr_array:
    """Sets as a sparse matrix of ones, of the entries that a mask says."""
    kept = np.concatenate([[0], np.cumsum(entries)])[sets.starts]
    values = sets.values[entries]
    ones = np.ones(len(values), np.int32)
    return sparse.csr_array((ones, values, kept), shape=(len(sets.starts) - 1, sets.n_values))


def _pairs(sets: Sets, chunk: int = 4_000) -> pl.DataFrame:
    """All pairs of sets, none equal, with a Jaccard similarity of at least `FLOOR`."""
    sizes = np.diff(sets.starts)
    shared = np.bincount(sets.values, minlength=sets.n_values)[sets.values] > 1
    nth = np.arange(len(sets.values)) - np.repeat(sets.starts[:-1], sizes)
    prefix = sizes - np.ceil(FLOOR * sizes).astype(np.int64) + 1
    whole = _matrix(sets, shared)
    half = _matrix(sets, shared & (nth < np.repeat(prefix, sizes)))
    last = sets.values[sets.starts[:-1] + prefix - 1] if len(sizes) else sizes
    turned = half.T.tocsr()
    found = []
    for start in range(0, len(sizes), chunk):
        met = (half[start : start + chunk] @ turned).tocoo()
        keep = met.coords[0] + start < met.coords[1]
        a = met.coords[0][keep].astype(np.int64) + start
        b = met.coords[1][keep].astype(np.int64)
        # Beyond the smaller of the two last values of the prefixes, a set has only what is left.
        first = np.where(last[a] <= last[b], a, b)
        most = met.data[keep] + sizes[first] - prefix[first]
        needed = np.ceil((sizes[a] + sizes[b]) * FLOOR / (1 + FLOOR))
        likely = (most >= needed) & (np.minimum(sizes[a], sizes[b]) >= needed)
        found.append(_verified(whole, sizes, a[likely], b[likely]))
    return pl.concat(found) if found else _verified(whole, sizes, sizes, sizes)


def _verified(
    sets: sparse.csr_array, sizes: np.ndarray, a: np.ndarray, b: np.ndarray
) -> pl.DataFrame:
    common = np.zeros(len(a), np.int64)
    for start in range(0, len(a), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        common[part] = sets[a[part]].multiply(sets[b[part]]).sum(axis=1)
    jaccard = common / np.maximum(sizes[a] + sizes[b] - common, 1)
    pairs = pl.DataFrame({"a": a, "b": b, "jaccard": jaccard})
    return pairs.cast({"a": pl.UInt32, "b": pl.UInt32}).filter(pl.col("jaccard") >= FLOOR)


def jaccards(texts: pl.Series, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The exact Jaccard similarity of pairs of rows."""
    sets, _ = read_sets(texts)
    whole = _matrix(sets, np.ones(len(sets.values), bool))
    sizes = np.diff(sets.starts)
    common = np.zeros(len(a), np.int64)
    for start in range(0, len(a), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        common[part] = whole[a[part]].multiply(whole[b[part]]).sum(axis=1)
    return common / np.maximum(sizes[a] + sizes[b] - common, 1)


def read_truth(folder: Path) -> Truth:
    """The truth of a corpus, found once and kept beside it; `labels` get their exact Jaccard."""
    kept = folder / "truth"
    if not (kept / "pairs.parquet").exists():
        kept.mkdir(exist_ok=True)
        texts = pl.read_parquet(folder / "rows.parquet", columns=["text"])["text"]
        truth = find_truth(texts)
        truth.rows.write_parquet(kept / "rows.parquet")
        truth.pairs.write_parquet(kept / "pairs.parquet")
    return Truth(pl.read_parquet(kept / "rows.parquet"), pl.read_parquet(kept / "pairs.parquet"))


if __name__ == "__main__":
    found = read_truth(Path(sys.argv[1]))
    print(f"{found.pairs.height} pairs of {found.rows['group'].n_unique()} groups")
