"""A corpus with planted duplicates whose source rows and exact similarities are known.

    python -m tests.bench.dedup_corpus OUT --rows 100000 [--data FOLDER] [--seed 0]

60 of 100 rows are texts of their own, 20 the same text as another row but for case, white space,
punctuation or character width, 20 an edited copy of another row (words or characters replaced,
words inserted, deleted, a block cut out; one in five of these an edit of an edit). One row in six is
Chinese, one in eight short (5 to 15 words), one in a hundred long. `OUT/rows.parquet` has `id`,
`text` and `quality` (with ties, one in a hundred null), `OUT/labels.parquet` apart from it `id`,
`kind`, `base` (the row that it was made from), `lang`, `is_short`. The same seed, rows and source
make the same file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from tests.bench.dedup_sentences import Sentences, Source, from_data, from_grammar

FULL_WIDTH = {c: c + 0xFEE0 for c in range(0x21, 0x7F)}
STOPS = str.maketrans({",": ";", ".": "!", "!": "...", "?": "?!", "。": "！", "，": "；"})
SAME = ("equal", "case", "space", "punctuation")
NEAR = ("words", "characters", "insert", "delete", "cut")


class Corpus(NamedTuple):
    """The rows, and apart from them what is known of each."""

    rows: pl.DataFrame
    labels: pl.DataFrame


def make_corpus(n: int, source: Source, seed: int = 0) -> Corpus:
    """Make `n` rows and their labels."""
    rng = np.random.default_rng((seed, n))
    n_same, n_near = n // 5, n // 5
    n_base = n - n_same - n_near
    is_zh = rng.random(n_base) < 1 / 6
    is_short = rng.random(n_base) < 1 / 8
    texts = [""] * n_base
    for sentences, mask in ((source.english, ~is_zh), (source.chinese, is_zh)):
        places = np.flatnonzero(mask)
        made = _texts(rng, sentences, is_short[places])
        for place, text in zip(places.tolist(), made, strict=True):
            texts[place] = text
    kinds = ["base"] * n_base
    base = np.arange(n, dtype=np.int64)
    base[n_base : n_base + n_same] = rng.integers(0, n_base, n_same)
    for place in base[n_base : n_base + n_same].tolist():
        turn = len(texts)
        kinds.append("width" if turn % 41 == 0 else SAME[turn % len(SAME)])
        texts.append(_same(texts[place], kinds[-1], turn))
    _add_near(rng, source, texts, kinds, base, is_zh)
    root = base.copy()
    while (root >= n_base).any():  # edits of edits, back to the row they began with
        root = np.where(root >= n_base, base[root], root)
    return _shuffled(rng, texts, kinds, base, is_zh[root], is_short[root])


def _texts(rng: np.random.Generator, of: Sentences, short: np.ndarray) -> list[str]:
    """One text per entry of `short`: a few sentences, or part of one."""
    n = len(short)
    counts = np.minimum(1 + rng.poisson(1.35, n) + rng.geometric(0.45, n), 12)
    counts = np.where(rng.random(n) < 0.01, counts * 12, counts)
    counts = np.where(short, 1, counts)
    total = int(counts.sum())
    heads = rng.integers(0, len(of.heads), total)
    # Every second sentence is joined from two: else all rows would share theirs with many.
    own = (rng.random(total) < 0.5) & ~np.repeat(short, counts)
    tails = np.where(own, heads, rng.integers(0, len(of.heads), total)).tolist()
    heads, ends = heads.tolist(), np.cumsum(counts).tolist()
    texts, start = [], 0
    for end, is_short in zip(ends, short.tolist(), strict=True):
        parts = [
            of.heads[h] + of.joint + of.tails[t]
            for h, t in zip(heads[start:end], tails[start:end], strict=True)
        ]
        text = of.joint.join(parts)
        texts.append(_shortened(text, of.joint, heads[start]) if is_short else text)
        start = end
    return texts


def _shortened(text: str, joint: str, turn: int) -> str:
    """At most 5 to 15 words or, in a script without spaces, 8 to 20 characters."""
    if joint:
        return joint.join(text.split(joint)[: 5 + turn % 11])
    return text[: 8 + turn % 13]


def _same(text: str, kind: str, turn: int) -> str:
    """The same words, written otherwise."""
    if kind == "case":
        return (text.upper, text.lower, text.swapcase)[turn % 3]()
    if kind == "space":
        return (f"  {text.replace(' ', '  ')}\n", text.replace(" ", "\n"), f"\t{text} ")[turn % 3]
    if kind == "punctuation":
        return f"«{text.translate(STOPS)}»"
    if kind == "width":
        return text.translate(FULL_WIDTH)
    return text


def _add_near(
    rng: np.random.Generator,
    source: Source,
    texts: list[str],
    kinds: list[str],
    base: np.ndarray,
    is_zh: np.ndarray,
) -> None:
    """Append edited copies until there is a text for every entry of `base`."""
    n_base, first = len(is_zh), len(texts)
    n = len(base) - first
    again = (rng.random(n) < 0.2) & (np.arange(n) > 0)
    earlier = first + (rng.random(n) * np.arange(n)).astype(np.int64)
    base[first:] = np.where(again, earlier, rng.integers(0, n_base, n))
    targets = rng.uniform(0.3, 0.97, n).tolist()
    for i, target in enumerate(targets):
        place = base[first + i]
        root = place
        while root >= n_base:
            root = base[root]
        of = source.chinese if is_zh[root] else source.english
        kinds.append(NEAR[i % len(NEAR)])
        texts.append(_near(rng, texts[place], of, kinds[-1], target))


def _near(rng: np.random.Generator, text: str, of: Sentences, kind: str, target: float) -> str:
    """An edit that leaves a Jaccard similarity of 3-grams somewhere near `target`."""
    units = text.split(of.joint) if of.joint else list(text)
    n = len(units)
    gone = (1 - target) / (1 + target)  # of 3-grams, where as many new ones come in
    if kind == "cut":
        size = min(max(1, round(n * (1 - target))), n - 1)
        start = int(rng.integers(0, n - size + 1))
        return of.joint.join(units[:start] + units[start + size :])
    touched = 3 if kind in ("words", "characters") else 2
    k = min(max(1, round(n * (1 - (1 - gone) ** (1 / touched)))), n)
    places = rng.choice(n, k, replace=False).tolist()
    others = rng.integers(0, len(of.heads), k).tolist()
    for place, other in zip(sorted(places, reverse=True), others, strict=True):
        if kind == "delete":
            if len(units) > 1:
                del units[place]
        elif kind == "insert":
            units.insert(place, _unit(of, other, place))
        elif kind == "characters" and of.joint:
            units[place] = _mistyped(units[place], other)
        else:
            units[place] = _unit(of, other, place)
    return of.joint.join(units)


def _unit(of: Sentences, sentence: int, turn: int) -> str:
    """A word of a sentence, or a character where words are not told apart."""
    head = of.heads[sentence]
    units = head.split(of.joint) if of.joint else head
    return units[turn % len(units)]


def _mistyped(word: str, turn: int) -> str:
    """A word with one letter after another in the alphabet, or one more."""
    place = turn % (len(word) + 1)
    return word[:place] + "abcdefghijklmnopqrstuvwxyz"[turn % 26] + word[place + turn % 2 :]


def _shuffled(
    rng: np.random.Generator,
    texts: list[str],
    kinds: list[str],
    base: np.ndarray,
    is_zh: np.ndarray,
    is_short: np.ndarray,
) -> Corpus:
    n = len(texts)
    order = rng.permutation(n)
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    quality = pl.Series(rng.integers(0, 1000, n) / 1000).set(pl.Series(rng.random(n) < 0.01), None)
    ids = pl.int_range(n, eager=True)
    rows = pl.DataFrame({"id": ids, "text": pl.Series(texts)[order], "quality": quality})
    labels = pl.DataFrame(
        {
            "id": ids,
            "kind": pl.Series(kinds)[order],
            "base": place[base[order]],
            "lang": pl.Series(np.where(is_zh[order], "zh", "en")),
            "is_short": is_short[order],
        }
    ).with_columns(base=pl.when(pl.col("kind") != "base").then("base"))
    return Corpus(rows, labels)


def write_corpus(folder: Path, n: int, data: Path | None, seed: int = 0) -> None:
    """Write `rows.parquet` and `labels.parquet` into a folder, unless they are there."""
    if (folder / "labels.parquet").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    corpus = make_corpus(n, from_data(data) if data else from_grammar(seed), seed)
    corpus.rows.write_parquet(folder / "rows.parquet", row_group_size=65_536)
    corpus.labels.write_parquet(folder / "labels.parquet")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    write_corpus(given.out, given.rows, given.data, given.seed)
