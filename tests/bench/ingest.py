"""JSON lines to committed Parquet, beside polars' own reader and writer; and memory as files grow.

    python tests/bench/ingest.py [out.json]

Speed: a million rows of about 390 characters, one thread (`POLARS_MAX_THREADS=1`), CPU seconds of a
fresh process each, the least of some runs in turn; what a process costs that reads ten rows is taken
off. The same file, the same compression (zstd, level 1). Polars checks no row, gives no ids and
takes no digests. Rows are flat (instruction, input, output), flat with escapes (half of the answers
have line breaks and quotes), or conversations with facts. The sizes are those of all files written.

Memory: the peak of one process (`ru_maxrss`) that reads 100,000 and 2 million rows, as JSON lines and
packed with gzip, one worker.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
import psutil

RECIPE = """
name: ingest
steps:
  raw: {use: ingest.files, path: %s}
"""
OURS = """
import sys
from databuild import api
result = api.run(sys.argv[1], [], runs=sys.argv[2], workers=1)
assert result["raw"].manifest.rows.failed == 0
"""
POLARS = """
import sys
import polars as pl
pl.scan_ndjson(sys.argv[1]).collect().write_parquet(
    sys.argv[2], compression="zstd", compression_level=1, row_group_size=16_384
)
"""
SYLLABLES = (
    "ka",
    "ro",
    "mi",
    "ten",
    "sol",
    "ver",
    "lu",
    "ish",
    "ba",
    "né",
    "天",
    "or",
    "pe",
    "dan",
    "gu",
)
DRAW = np.random.default_rng(7)
WORDS = [
    "".join(SYLLABLES[k] for k in DRAW.integers(0, len(SYLLABLES), 1 + i % 4)) for i in range(5000)
]
BLOCK = 10_000
KINDS = {"flat": 5, "escaped": 1, "nested": 1}
"""How often each is measured."""


def record_of(i: int, words: list[str], kind: str) -> dict[str, object]:
    """Row `i`, about 390 characters."""
    asked = f"Question {i}: " + " ".join(words[:14]) + "?"
    if kind != "nested":
        output = " ".join(words[18:54])
        if kind == "escaped" and i % 2:
            output = f'"{words[18]}":\n\n' + output.replace(f" {words[30]} ", "\n- ")
        return {
            "id": i, "instruction": asked, "input": " ".join(words[14:18]),
            "output": output, "source": f"set {i % 7}",
        }  # fmt: skip
    answered = " ".join(words[14:44])
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return {"id": i, "messages": turns, "tags": words[:2], "score": (i % 100) / 7, "lang": "en"}


def write_rows(file: IO[bytes], n: int, kind: str) -> None:
    """Rows as JSON lines; words are frequent as in text (Zipf's law)."""
    for start in range(0, n, BLOCK):
        drawn = np.minimum(np.random.default_rng(start).zipf(1.3, (BLOCK, 54)), len(WORDS)) - 1
        for i, numbers in zip(range(start, min(start + BLOCK, n)), drawn.tolist(), strict=False):
            record = record_of(i, [WORDS[k] for k in numbers], kind)
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def measure(code: str, *arguments: str) -> tuple[float, float]:
    """CPU seconds and peak MiB of a fresh Python process."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def ours(folder: Path, name: str) -> tuple[float, float, int]:
    """Run the recipe over a file in a runs folder of its own: CPU seconds, peak MiB, bytes written."""
    recipe = folder / f"{name}.yaml"
    recipe.write_text(RECIPE % name)
    runs = Path(tempfile.mkdtemp(dir=folder))
    seconds, peak = measure(OURS, str(recipe), str(runs))
    n_bytes = sum(path.stat().st_size for path in runs.rglob("*") if path.is_file())
    shutil.rmtree(runs)
    return seconds, peak, n_bytes


def speed(folder: Path, n: int, kind: str, times: int) -> dict[str, object]:
    """Both readers over the same file, in turn; the start of a process is taken off."""
    out = folder / "out.parquet"
    used: dict[str, list[float]] = {}
    n_bytes = 0
    for _ in range(times):
        for name in ("few", kind):
            seconds, _, n_bytes = ours(folder, f"{name}.jsonl")
            used.setdefault(f"databuild {name}", []).append(seconds)
            seconds, _ = measure(POLARS, str(folder / f"{name}.jsonl"), str(out))
            used.setdefault(f"polars {name}", []).append(seconds)
    net = {
        who: min(used[f"{who} {kind}"]) - min(used[f"{who} few"]) for who in ("databuild", "polars")
    }
    each = zip(*used.values(), strict=True)  # in the order of the first run
    return {
        "rows": n,
        "kind": kind,
        "bytes": (folder / f"{kind}.jsonl").stat().st_size,
        "databuild_bytes": n_bytes,
        "polars_bytes": out.stat().st_size,
        "databuild_cpu_s": round(net["databuild"], 2),
        "polars_cpu_s": round(net["polars"], 2),
        "databuild_rows_per_cpu_s": round(n / net["databuild"]),
        "polars_rows_per_cpu_s": round(n / net["polars"]),
        "databuild_to_polars_ratio": round(net["polars"] / net["databuild"], 2),
        "ratio_of_each_run": [round((c - d) / (a - b), 2) for b, d, a, c in each],
    }


def prepare(folder: Path, n: int) -> None:
    """Write the files: 10 rows, n of each kind, and for memory n / 10 and 2 n flat ones."""
    for name, rows in (
        ("few", 10),
        *((kind, n) for kind in KINDS),
        ("tenth", n // 10),
        ("double", 2 * n),
    ):
        with (folder / f"{name}.jsonl").open("wb") as file:
            write_rows(file, rows, name)
    for name in ("tenth", "double"):
        packed = folder / f"{name}.jsonl.gz"
        with (folder / f"{name}.jsonl").open("rb") as file, gzip.open(packed, "wb", 1) as into:
            shutil.copyfileobj(file, into, 1 << 20)


def main() -> None:
    n = int(os.environ.get("BENCH_ROWS", "1000000"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, n)
        fast = [speed(folder, n, kind, times) for kind, times in KINDS.items()]
        peaks = [
            {
                "rows": rows,
                "file": f"{kind}{suffix}",
                "peak_mib": round(ours(folder, kind + suffix)[1]),
            }
            for suffix in (".jsonl", ".jsonl.gz")
            for kind, rows in (("tenth", n // 10), ("double", 2 * n))
        ]
    report = {
        "what": "JSON lines -> committed Parquet, one thread, CPU seconds; start-up taken off",
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": psutil.cpu_count()},
        "python": platform.python_version(),
        "polars": pl.__version__,
        "speed": fast,
        "memory": peaks,
    }
    text = json.dumps(report, indent=1) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text)
    print(text)


if __name__ == "__main__":
    main()
