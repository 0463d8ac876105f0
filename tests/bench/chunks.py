"""What chunks, related passages and the check of quotes cost on one core, in CPU time.

    python tests/bench/chunks.py FOLDER [out.json]

FOLDER has long text files (*.txt, *.md), which are read whole, one document each. Every part runs
three times and the best time counts, but for related passages, which are looked for once in each
number of them that the folder has. Quotes are sentences of their chunk: one half word for word, one
half with every fifth word left out, which the inexact search must find or refuse.
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import json
import platform
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.generate.chunk import ChunkConfig, chunk_documents
from databuild.generate.from_documents_answers import Draft
from databuild.generate.from_documents_checks import ground
from databuild.generate.related import RelatedConfig, find_related
from databuild.text.borders import sentence_ends

if TYPE_CHECKING:
    from collections.abc import Callable


SIZES = (5_000, 20_000, 50_000)


def best_of_three(work: Callable[[], Any]) -> tuple[float, Any]:
    best, made = float("inf"), None
    for _ in range(3):
        begun = time.process_time()
        made = work()
        best = min(best, time.process_time() - begun)
    return best, made


def drafts(texts: list[str]) -> list[tuple[Draft, str]]:
    made = []
    for number, text in enumerate(texts):
        end = next(iter(sentence_ends(text, 0, len(text))), len(text))
        words = text[:end].split(" ")
        quote = " ".join(w for n, w in enumerate(words) if number % 2 == 0 or n % 5 != 4)
        made.append((Draft(f"What of {number}?", text[:end], quote), text))
    return made


def related(passages: pl.DataFrame, n: int) -> dict[str, Any]:
    """What related passages cost among n, once each: by words, and by random vectors."""
    some = passages.sample(n, shuffle=True, seed=1)
    vectors = np.random.default_rng(7).normal(size=(n, 256)).astype(np.float32)
    placed = some.with_columns(
        vector=pl.Series(vectors, dtype=pl.Array(pl.Float32, 256)).cast(pl.List(pl.Float32))
    )
    costs = []
    for rows, config in ((some, RelatedConfig()), (placed, RelatedConfig(embedding="vector"))):
        begun = time.process_time()
        find_related(rows, config)
        costs.append(round(time.process_time() - begun, 2))
    return {
        "passages": n,
        "characters_in_mean": round(some["text"].str.len_chars().mean() or 0),
        "by_words_cpu_s": costs[0],
        "by_vectors_of_256_cpu_s": costs[1],
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    folder = Path(sys.argv[1])
    files = sorted(path for path in folder.iterdir() if path.suffix in {".txt", ".md"})
    rows = pl.DataFrame(
        {"row_id": [f.name for f in files], "text": [f.read_text("utf-8") for f in files]}
    )
    chars = int(rows["text"].str.len_chars().sum())
    seconds, made = best_of_three(lambda: chunk_documents(rows, ChunkConfig()))
    chunks = made.rows["text"].to_list()
    found: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, "
        f"polars {pl.__version__}",
        "documents": rows.height,
        "characters": chars,
        "chunk": {
            "target_words": 200,
            "chunks": len(chunks),
            "cpu_s": round(seconds, 3),
            "chunks_per_cpu_s": round(len(chunks) / seconds),
            "characters_per_cpu_s": round(chars / seconds),
        },
    }
    small = chunk_documents(rows, ChunkConfig(target_words=20)).rows
    passages = small.select(text="text").unique(maintain_order=True)
    passages = passages.with_row_index("row_id").with_columns(pl.col("row_id").cast(pl.String))
    found["related"] = [related(passages, n) for n in SIZES if n <= passages.height]
    asked = drafts(chunks)
    checked, results = best_of_three(
        lambda: [ground(draft, text, (), least_match=0.9, least_support=0.6)
                 for draft, text in asked]
    )  # fmt: skip
    found["ground"] = {
        "answers": len(asked),
        "grounded": sum(not isinstance(one, str) for one in results),
        "answers_per_cpu_s": round(len(asked) / checked),
    }
    told = json.dumps(found, indent=1)
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(told + "\n", "utf-8")
    print(told)


if __name__ == "__main__":
    main()
