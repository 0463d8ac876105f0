"""Cost and peak memory of `databuild diff` between two versions of a million rows.

    python tests/bench/diff.py [out.json] [rows]

Rows have a question and an answer of some 400 characters each, made of words of a vocabulary of
20,000 so that they compress like text, eight measures, a topic, and a list. Four versions after the
first: `appended` (1 % more rows), `scattered` (1 % of the rows with another answer, anywhere: no
file is shared), `rescored` (another score in every row), `replaced` (other rows altogether). Every
difference runs in a process of its own, on one thread of Polars; CPU seconds are the process's.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from tests.release.made import release

ROWS, SLAB = 1_000_000, 50_000
REPEATS = 2
DIFF = """
import json, sys, time
from pathlib import Path
from databuild import api
began = time.process_time()
[found] = api.difference(sys.argv[2], sys.argv[3], by="topic", store=Path(sys.argv[1]))
told = {
    "cpu_seconds": round(time.process_time() - began, 2),
    "peak_mib": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10,
    "counts": {kind: n for kind, n in found.counts.items() if n},
}
print(json.dumps(told))
"""


def rows(first: int, n: int, words: pl.Series) -> pl.DataFrame:
    """Rows with numbers from `first` on: the same number, the same row."""
    number = pl.int_range(first, first + n, eager=True).alias("n")
    drawn = np.random.default_rng(first)
    texts = {}
    for name in ("prompt", "response"):
        picks = words.gather(pl.Series(drawn.zipf(1.3, n * 60) % words.len())).reshape((n, 60))
        texts[name] = picks.cast(pl.List(pl.String)).list.join(" ")
    ids = pl.select(
        pl.concat_str(*(number.hash(seed).cast(pl.String).str.zfill(20).str.slice(-16)
                        for seed in (1, 2)))
    ).to_series()  # fmt: skip
    return pl.DataFrame(
        {
            "row_id": ids, "content_id": ids.str.reverse(), "parent_ids": ids.reshape((n, 1)).cast(
                pl.List(pl.String)
            ),
            **texts, "topic": "topic " + (number % 17).cast(pl.String),
            "verify_score": drawn.random(n).round(3), "is_odd": number % 2 == 1,
            **{f"measure_{m}": drawn.integers(0, 500, n) for m in range(6)},
        }
    )  # fmt: skip


def versions(store: Path, n: int) -> None:
    """Write the five versions."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    drawn = np.random.default_rng(0)
    words = pl.Series(["".join(drawn.choice(letters, k)) for k in drawn.integers(2, 9, 20_000)])
    slabs = [rows(first, min(SLAB, n - first), words) for first in range(0, n, SLAB)]
    base = pl.concat(slabs)
    put = {"1.0.0": base, "1.1.0": pl.concat([base, rows(10 * n, n // 100, words)])}
    every = pl.int_range(pl.len()) % 100 == 37
    other = {
        "response": pl.lit("Another answer. ") + pl.col("response"),
        "row_id": pl.lit("f") + pl.col("row_id").str.slice(1),
        "content_id": pl.lit("f") + pl.col("content_id").str.slice(1),
    }
    changed = [pl.when(every).then(new).otherwise(pl.col(c)).alias(c) for c, new in other.items()]
    put["1.2.0"] = base.with_columns(changed)
    put["1.3.0"] = base.with_columns(verify_score=1 - pl.col("verify_score"))
    for version, table in put.items():
        release(store, version, {"sft": {"train": table}}, strata=["topic"])
    del put, base, slabs
    slabs = [rows(20 * n + first, min(SLAB, n - first), words) for first in range(0, n, SLAB)]
    release(store, "1.4.0", {"sft": {"train": pl.concat(slabs)}}, strata=["topic"])


def cost(store: Path, after: str) -> dict[str, object]:
    """The best of several differences, each in a fresh process."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-c", DIFF, str(store), "made@1.0.0", f"made@{after}"]
    told = [
        json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)
        for _ in range(REPEATS)
    ]
    return min(told, key=lambda one: one["cpu_seconds"])


def main() -> None:
    """Measure, and write the figures."""
    n = int(sys.argv[2]) if len(sys.argv) > 2 else ROWS
    with tempfile.TemporaryDirectory() as name:
        store = Path(name)
        versions(store, n)
        size = sum(one.stat().st_size for one in (store / "made/1.0.0/data").rglob("*.parquet"))
        results = [
            {"rows": n, "of": of, **cost(store, after)}
            for of, after in (("appended", "1.1.0"), ("scattered", "1.2.0"), ("rescored", "1.3.0"),
                              ("replaced", "1.4.0"))
        ]  # fmt: skip
    told = {
        "what": "databuild diff of two versions, one thread of Polars, best of two",
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "polars": pl.__version__,
        "mib_of_a_version": size >> 20,
        "results": results,
    }
    text = json.dumps(told, indent=1)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
