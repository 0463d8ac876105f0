"""Inputs that make a careless search for near-duplicates quadratic.

    python -m tests.bench.dedup_adversarial OUT.parquet KIND ROWS

`template`: one text of 30 words with six words of 5,000 put in, so that most pairs of rows have a
similarity from .3 to .5 and share bands by the thousand; `close_template`: two words put in, one
of 50, so that most pairs lie around .7; `equal`: one text; `empty`: no word, in ten ways;
`huge`: texts of 5 MB, every second one a copy with a word more.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

from tests.bench.dedup_sentences import from_grammar

TEMPLATE = (
    "Write a short letter to {} in which you explain why the delivery of {} from {} will be late by"
    " {} days and offer {} as a small compensation for the trouble signed {}"
)
CLOSE = (
    "Write a short letter to the customer in which you explain why the delivery of {} will be late"
    " by some days and offer a small compensation for the trouble it caused signed by {}"
)
HUGE_BYTES = 5_000_000
EMPTY = ["", " ", "\n\n", "...", "?!", "—", "😀", "😀 😀", " . ", "\u200b"]


def make(kind: str, n: int) -> pl.DataFrame:
    """`n` rows of a kind, with `id`, `text` and `quality`."""
    rng = np.random.default_rng(7)
    if kind == "template":
        words = [[f"word{i}" for i in column] for column in rng.integers(0, 5_000, (6, n)).tolist()]
        texts = [TEMPLATE.format(*some) for some in zip(*words, strict=True)]
    elif kind == "close_template":
        first, second = rng.integers(0, 5_000, n).tolist(), rng.integers(0, 50, n).tolist()
        texts = [CLOSE.format(f"word{a}", f"name{b}") for a, b in zip(first, second, strict=True)]
    elif kind == "equal":
        texts = [TEMPLATE.format(*"abcdef")] * n
    elif kind == "empty":
        texts = [EMPTY[i] for i in rng.integers(0, len(EMPTY), n).tolist()]
    else:
        texts = _huge(rng, n)
    quality = rng.integers(0, 1000, n) / 1000
    return pl.DataFrame({"id": np.arange(n), "text": texts, "quality": quality})


def _huge(rng: np.random.Generator, n: int) -> list[str]:
    english = from_grammar(n=5_000).english
    pieces = [f"{head} {tail}" for head, tail in zip(english.heads, english.tails, strict=True)]
    mean = sum(map(len, pieces)) / len(pieces) + 1
    texts: list[str] = []
    while len(texts) < n:
        some = rng.integers(0, len(pieces), int(HUGE_BYTES / mean)).tolist()
        texts.append(" ".join(f"{pieces[i]} {k % 997}" for k, i in enumerate(some)))
        texts.append(f"{texts[-1]} indeed")
    return texts[:n]


def write(path: Path, kind: str, n: int) -> None:
    """Write rows of a kind, unless they are there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make(kind, n).write_parquet(path, row_group_size=65_536)


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
