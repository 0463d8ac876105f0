"""JSON lines to committed Parquet, beside polars' own reader and writer; and memory as files grow.

    python tests/bench/ingest.py [out.json]

Speed: a million rows of about 390 characters, one thread (`POLARS_MAX_THREADS=1`), CPU seconds of a
fresh process each, in turn; what a process costs that reads ten rows is taken off. The same file,
the same compression (zstd, level 1). Polars checks no row, gives no ids and takes no digests.

Memory: the peak of one process (`ru_maxrss`) that reads 100,000 and 2 million rows, as JSON lines and
packed with gzip, one worker.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

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
WORDS = [
    "the",
    "answer",
    "depends",
    "on",
    "how",
    "warm",
    "water",
    "moves",
    "through",
    "narrow",
    "pipes",
    "and",
    "what",
    "a",
    "careful",
    "reader",
    "notices",
    "when",
    "old",
    "maps",
    "disagree",
    "about",
    "rivers",
    "天气",
    "很",
    "好",
    "naïve",
    "café",
]


def record_of(i: int, *, nested: bool) -> dict[str, object]:
    """Row `i`, about 390 characters: flat (instruction, input, output), or a conversation with facts."""
    words = [WORDS[(i * 7 + k * (1 + i % 11)) % len(WORDS)] for k in range(52)]
    asked, answered = f"Question {i}: " + " ".join(words[:14]) + "?", " ".join(words[14:])
    if not nested:
        return {
            "id": i, "instruction": asked, "input": " ".join(words[3:6]), "output": answered,
            "source": f"set {i % 7}",
        }  # fmt: skip
    answered = " ".join(words[14:38])
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return {"id": i, "messages": turns, "tags": words[:2], "score": (i % 100) / 7, "lang": "en"}


def write_rows(file: IO[bytes], n: int, *, nested: bool) -> None:
    """Rows as JSON lines."""
    for i in range(n):
        line = json.dumps(record_of(i, nested=nested), ensure_ascii=False)
        file.write(line.encode() + b"\n")


def measure(code: str, *arguments: str) -> tuple[float, float]:
    """CPU seconds and peak MiB of a fresh Python process."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def ours(folder: Path, name: str) -> tuple[float, float]:
    """Run the recipe over a file in a runs folder of its own."""
    recipe = folder / f"{name}.yaml"
    recipe.write_text(RECIPE % name)
    return measure(OURS, str(recipe), tempfile.mkdtemp(dir=folder))


def speed(folder: Path, n: int, *, nested: bool) -> dict[str, object]:
    """Both readers over the same file, three times in turn; the best of each counts."""
    for name, rows in (("few.jsonl", 10), ("many.jsonl", n)):
        with (folder / name).open("wb") as file:
            write_rows(file, rows, nested=nested)
    seconds: dict[str, float] = {}
    for _ in range(3):
        for name in ("few.jsonl", "many.jsonl"):
            out = str(folder / "out.parquet")
            taken = {
                "databuild": ours(folder, name)[0],
                "polars": measure(POLARS, str(folder / name), out)[0],
            }
            for who, cpu_s in taken.items():
                key = f"{who} {name}"
                seconds[key] = min(cpu_s, seconds.get(key, cpu_s))
    net = {
        w: seconds[f"{w} many.jsonl"] - seconds[f"{w} few.jsonl"] for w in ("databuild", "polars")
    }
    return {
        "rows": n,
        "kind": "nested" if nested else "flat",
        "bytes": (folder / "many.jsonl").stat().st_size,
        "databuild_cpu_s": round(net["databuild"], 2),
        "polars_cpu_s": round(net["polars"], 2),
        "databuild_rows_per_cpu_s": round(n / net["databuild"]),
        "polars_rows_per_cpu_s": round(n / net["polars"]),
        "databuild_to_polars_ratio": round(net["polars"] / net["databuild"], 2),
    }


def memory(folder: Path, n: int, *, packed: bool) -> dict[str, object]:
    """The peak of a process that reads `n` rows."""
    name = "rows.jsonl.gz" if packed else "rows.jsonl"
    with gzip.open(folder / name, "wb", 1) if packed else (folder / name).open("wb") as file:
        write_rows(file, n, nested=False)  # type: ignore[arg-type]
    return {"rows": n, "file": name, "peak_mib": round(ours(folder, name)[1])}


def main() -> None:
    n = int(os.environ.get("BENCH_ROWS", "1000000"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fast = [speed(folder, n, nested=nested) for nested in (False, True)]
        peaks = [memory(folder, size, packed=p) for p in (False, True) for size in (n // 10, 2 * n)]
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
