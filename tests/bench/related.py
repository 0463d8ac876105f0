"""What `generate.related` costs by vectors, each text with all others and through its index.

    python -m tests.bench.related FOLDER [out.json]

CPU seconds of one thread, one run each, with the share of nearest texts that the index misses, which
the step itself estimates from 256 texts. Vectors of 256 numbers of two kinds:

- `hashed n-grams`: of real instructions and questions of FOLDER (as in tests/bench/novelty.py) by
  the packaged `hashed-ngrams`; equal texts count once;
- `topics`: 200 centres plus noise of the same length, made up.
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
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from databuild.generate.related import RelatedConfig, find_related
from databuild.models.embedder import HashedNgrams
from tests.bench.novelty import texts_of

WIDTH, N_TOPICS = 256, 200
RUNS = (
    ("hashed n-grams", 20_000, None),
    ("hashed n-grams", 20_000, 0),
    ("hashed n-grams", 50_000, None),
    ("hashed n-grams", 50_000, 0),
    ("topics", 50_000, 0),
)
"""The vectors, at most how many, and `exact_up_to` where it is not the step's own."""


def made(kind: str, texts: list[str]) -> np.ndarray[Any, Any]:
    """Vectors for texts."""
    draw = np.random.default_rng(7)
    if kind == "hashed n-grams":
        return HashedNgrams().embed(texts)
    noise = draw.normal(size=(len(texts), WIDTH)).astype(np.float32)
    centres = draw.normal(size=(N_TOPICS, WIDTH)).astype(np.float32)
    return centres[draw.integers(N_TOPICS, size=len(texts))] + noise


def measured(kind: str, texts: list[str], exact_up_to: int | None) -> dict[str, Any]:
    """One run of the step."""
    vectors = pl.Series(made(kind, texts), dtype=pl.Array(pl.Float32, WIDTH))
    rows = pl.DataFrame({"text": texts}).with_row_index("row_id")
    rows = rows.with_columns(pl.col("row_id").cast(pl.String), vector=vectors.arr.to_list())
    config = RelatedConfig(embedding="vector")
    if exact_up_to is not None:
        config = config.model_copy(update={"exact_up_to": exact_up_to})
    begun = time.process_time()
    found = find_related(rows, config)
    return {
        "vectors": kind,
        "texts": len(texts),
        "exact_up_to": config.exact_up_to,
        "cpu_s": round(time.process_time() - begun, 2),
        "missed_ratio": getattr(found, "facts", {}).get("missed_ratio", 0.0),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main(folder: Path, out: Path) -> None:
    """Measure, and write the figures as they come."""
    texts = list(dict.fromkeys(texts_of(folder)))
    told: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, 1 thread",
        "versions": {name: version(name) for name in ("polars", "numpy", "faiss-cpu")},
        "n": RelatedConfig().n,
        "runs": [],
    }
    for kind, n, exact_up_to in RUNS:
        told["runs"].append(measured(kind, texts[:n], exact_up_to))
        out.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    place = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_suffix(".json")
    main(Path(sys.argv[1]), place)
