"""Made-up texts with near and equal copies, English and Chinese."""

from __future__ import annotations

import numpy as np
import polars as pl

WORDS = [
    "tea",
    "rain",
    "bread",
    "chess",
    "ship",
    "glass",
    "moth",
    "paper",
    "salt",
    "tide",
    "river",
    "hill",
    "lamp",
    "coat",
    "stone",
    "wheel",
    "cloud",
    "grape",
    "drum",
    "knot",
    "sand",
    "leaf",
    "crow",
    "frost",
    "ember",
    "quill",
    "broom",
    "latch",
    "thread",
    "mirror",
]
SIGNS = "山水火木石田日月雨雪风云花草鸟鱼马牛羊人口手足目耳心"


def rows(n: int, seed: int = 1) -> pl.DataFrame:
    """N rows: `row_id`, `prompt`, `quality`; about half have an equal or a near one before them."""
    rng = np.random.default_rng(seed)
    texts: list[str | None] = []
    while len(texts) < n:
        texts.append(_text(rng))
        while rng.random() < 0.5:
            texts.append(_copy(str(texts[-1]), rng))
        if rng.random() < 0.02:
            texts.append(None)
    return pl.DataFrame(
        {
            "row_id": [f"{i * 7919 % 104729:032x}" for i in range(n)],
            "prompt": texts[:n],
            "quality": rng.integers(0, 5, n).astype(float),
        }
    )


def _text(rng: np.random.Generator) -> str:
    if rng.random() < 0.3:
        return "".join(rng.choice(list(SIGNS), int(rng.integers(2, 40))))
    return " ".join(rng.choice(WORDS, int(rng.integers(2, 40))))


def _copy(text: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.4:
        return f"  {text.upper()}!"
    space = " " if " " in text else ""
    words = text.split() if space else list(text)
    words[int(rng.integers(0, len(words)))] = "mountain" if space else "王"
    return space.join(words)
