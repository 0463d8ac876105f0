"""Peak memory and speed of row steps as the number of rows grows tenfold.

    python tests/bench/rows.py [out.json]

Source, measure and select over 1 and 10 million rows with two workers. The peak is the largest sum
of resident memory over databuild's process and its workers, looked at every 0.1 s.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

HERE = Path(__file__).parent
RECIPE = """
name: rows
plugins: [synthetic.py]
steps:
  raw:   {use: synthetic.rows, n: 1000}
  facts: {use: measure.basics, from: raw, column: text}
  clean: {use: sample.where, from: facts, keep: "text_words >= 5 and topic != '13'"}
"""
RUN = """
import sys
from databuild import api
api.run(sys.argv[1], sys.argv[2:3], runs=sys.argv[3], workers=2)
"""


def watch(process: subprocess.Popen[bytes], peaks: list[int]) -> None:
    """Note the largest resident memory of a process and all its children."""
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            family = [root, *root.children(recursive=True)]
            peaks[0] = max(peaks[0], sum(p.memory_info().rss for p in family))
            peaks[1] = max(peaks[1], root.memory_info().rss)
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.1)


def measure(n: int, folder: Path) -> dict[str, float]:
    """Run the recipe over `n` rows in a fresh process."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    command = [
        sys.executable,
        "-c",
        RUN,
        str(folder / "rows.yaml"),
        f"raw.n={n}",
        str(folder / f"runs-{n}"),
    ]
    process = subprocess.Popen(command)
    peaks = [0, 0]
    thread = threading.Thread(target=watch, args=(process, peaks))
    thread.start()
    assert process.wait() == 0
    thread.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "rows": n,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mib_all": round(peaks[0] / 2**20),
        "peak_mib_parent": round(peaks[1] / 2**20),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows.yaml").write_text(RECIPE)
        (folder / "synthetic.py").write_text((HERE / "synthetic.py").read_text())
        results = [measure(n, folder) for n in (1_000_000, 10_000_000)]
    report = {
        "what": "source -> measure.basics -> sample.where, 2 workers, shards of 65,536 rows",
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": psutil.cpu_count()},
        "python": platform.python_version(),
        "results": results,
    }
    text = json.dumps(report, indent=1) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text)
    print(text)


if __name__ == "__main__":
    main()
