"""Cost and peak memory of `databuild.profile` as the number of rows grows.

    python tests/bench/profiling.py [out.json]

Rows of about 400 characters in four columns (a text of which every tenth stands twice and every
eighth has Chinese in it, a topic, a number, a flag), as Parquet and as JSON lines; and the difference
of two Parquet files. Every profile runs in a process of its own.
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

import polars as pl

SIZES = (100_000, 1_000_000, 2_000_000)
FILLER = "A sentence that stands in every row makes it as long as real ones are. " * 5
PROFILE = """
import json, sys, time
from pathlib import Path
import databuild
began, wall = time.process_time(), time.perf_counter()
databuild.profile(*sys.argv[1:])
told = {
    "cpu_seconds": round(time.process_time() - began, 1),
    "seconds": round(time.perf_counter() - wall, 1),
    "peak_mib": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10,
}
print(json.dumps(told))
"""


def write(n: int, path: Path) -> None:
    """Write `n` rows in groups of 65,536."""
    number = pl.int_range(n, eager=True)
    zh = pl.when(number % 8 == 0).then(pl.lit("这是一句中文。" * 20)).otherwise(pl.lit(FILLER))
    pl.DataFrame(
        {
            "text": pl.select(
                pl.concat_str(zh, (number - number % 10 // 9).cast(pl.String))
            ).to_series(),
            "topic": (number % 17).cast(pl.String),
            "score": number.hash() / 2**64,
            "text_is_odd": number % 31 == 0,
        }
    ).write_parquet(path, row_group_size=65_536)


def cost(*tables: Path) -> dict[str, float]:
    """Profile in a fresh process."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-c", PROFILE, *map(str, tables)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Measure, and write the figures."""
    results = []
    with tempfile.TemporaryDirectory() as name:
        for n in SIZES:
            parquet, lines = Path(name) / f"{n}.parquet", Path(name) / f"{n}.jsonl"
            write(n, parquet)
            results.append({"rows": n, "of": "parquet", **cost(parquet)})
            if n <= 1_000_000:
                pl.read_parquet(parquet).write_ndjson(lines)
                results.append({"rows": n, "of": "jsonl", **cost(lines)})
                results.append({"rows": n, "of": "difference", **cost(parquet, parquet)})
                lines.unlink()
            print(*results[-3:], sep="\n")
    told = {
        "what": "databuild.profile, one thread of Polars",
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "polars": pl.__version__,
        "results": results,
    }
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".json")
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
