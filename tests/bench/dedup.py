"""Near-dedup against other tools, in one table: CPU seconds on one core, memory, recall, precision.

    python -m tests.bench.dedup --rows 100000,1000000 --data FOLDER --cache DIR [--out JSON]
    python -m tests.bench.dedup --only table --rows 10000        # no data: sentences of the grammar

Corpora and the truth by an exact join (dedup_corpus, dedup_oracle) are made once in the cache, and
so are the environments of the other tools (`ENVIRONMENTS`, with pip). CPU seconds are user and
system time of the whole child process, from its start, by wait4; all pools have one thread and the
process one core. The peak of a child is at least what this process has when it starts it: those of
small inputs are bounds. Other tools run once per size and are remembered in the cache (`--again`
measures them anew); databuild always runs again, its command in a new process (`cold`), and its
step three times in one process, of which the best counts (`warm`). Sections: table, cores,
incremental, adversarial, large.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.bench.dedup_adversarial import write as write_adversarial
from tests.bench.dedup_corpus import write_corpus
from tests.bench.dedup_oracle import Truth, read_truth
from tests.bench.dedup_scores import places, score

HERE = Path(__file__).parent
THRESHOLD = 0.7
ENVIRONMENTS = {
    "peers": (
        "datasketch==2.0.0", "rensa==0.5.0", "text-dedup==0.4.1", "datatrove[processing]==0.10.1",
        "spacy==3.8.18", "polars==2.1.0", "pyarrow==26.0.1",
    ),
    "juicer": ("py-data-juicer==1.6.1", "aiohttp", "ray", "msgpack"),
}  # fmt: skip
PYTHON_OF_PEERS = "python3.12"  # text-dedup 0.4.1 has no release for 3.11
TOOLS = {
    "rensa": 1_000_000, "datasketch_bulk": 300_000, "datasketch_verified": 100_000,
    "datasketch_loop": 100_000, "text_dedup": 100_000, "datatrove": 100_000,
    "data_juicer": 100_000,
}  # fmt: skip
"""Other tools, and the most rows that one is given: above, ten gigabytes or a quarter of an hour."""
ONE = {
    f"{name}_THREADS": "1"
    for name in ("POLARS_MAX", "RAYON_NUM", "OMP_NUM", "OPENBLAS_NUM", "NUMBA_NUM")
}


def measured(command: list[str], cores: str = "1", **environment: str) -> dict[str, Any]:
    """Run a command on some cores; its CPU and wall seconds, its peak of memory, its stdout."""
    started = time.monotonic()
    child = subprocess.Popen(
        ["taskset", "-c", cores, *command],
        env={**os.environ, "HF_HUB_OFFLINE": "1", **ONE, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    told, complaint = _read(child)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command[:4]} failed:\n{complaint[-2000:]}")
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "wall_s": round(time.monotonic() - started, 2),
        "peak_mb": round(used.ru_maxrss / 1024),
        "stdout": told,
    }


def _read(child: subprocess.Popen[str]) -> tuple[str, str]:
    """Both streams to their ends, without waiting for the child (wait4 does)."""
    lines: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda name=name, pipe=pipe: lines.update({name: pipe.read()}))
        for name, pipe in (("out", child.stdout), ("error", child.stderr))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return lines["out"], lines["error"]


# ------------------------------------------------------------------------------------------ one size


class Bench:
    """Where corpora, truths, environments and remembered runs lie."""

    def __init__(self, cache: Path, data: Path | None, tools: list[str], *, again: bool) -> None:
        self.cache, self.data, self.tools, self.again = cache, data, tools, again
        self.scratch = cache / f"scratch-{os.getpid()}"

    def corpus(self, n: int, seed: int = 0) -> Path:
        name = f"c{'data' if self.data else ''}-{n}"
        folder = self.cache / (f"{name}-{seed}" if seed else name)
        write_corpus(folder, n, self.data, seed)
        return folder

    def python(self, environment: str) -> Path:
        folder = self.cache / environment
        if not (folder / "bin" / "python").exists():
            subprocess.run([PYTHON_OF_PEERS, "-m", "venv", folder], check=True)
            pip = [folder / "bin" / "pip", "install", "-q", *ENVIRONMENTS[environment]]
            subprocess.run(pip, check=True)
        return folder / "bin" / "python"

    def peer(self, tool: str, n: int) -> dict[str, Any]:
        """What a tool used, remembered in the cache, and its score; the file order is its order."""
        folder = self.corpus(n)
        kept, remembered = (
            self.cache / f"kept-{tool}-{folder.name}.{suffix}" for suffix in ("parquet", "json")
        )
        if self.again or not remembered.exists():
            shutil.rmtree(self.scratch, ignore_errors=True)
            (self.scratch / "home").mkdir(parents=True)
            python = self.python("juicer" if tool == "data_juicer" else "peers")
            script = str(HERE / "dedup_peers.py")
            command = [str(python), script, tool, str(folder / "rows.parquet"), str(kept)]
            used = measured([*command, str(self.scratch)], HF_HOME=str(self.scratch / "home"))
            used.pop("stdout")
            remembered.write_text(json.dumps({**used, "date": today()}), encoding="utf-8")
        ids = pl.read_parquet(kept)["id"]
        used = json.loads(remembered.read_text(encoding="utf-8"))
        return {**used, **score(read_truth(folder), ids, np.arange(n), THRESHOLD)}

    def cold(self, n: int) -> dict[str, Any]:
        """`databuild dedup` in a new process, from the file to kept rows, dropped rows, clusters."""
        folder = self.corpus(n)
        shutil.rmtree(self.scratch, ignore_errors=True)
        used = measured(self.command(folder / "rows.parquet", "--prefer", "quality"))
        told = json.loads(used.pop("stdout"))
        ids = pl.read_parquet(self.scratch / "kept-*.parquet", columns=["id"])["id"]
        truth = read_truth(folder)
        return {
            **used, "cpu_s_to_verdicts": told["seconds"]["cpu_to_verdicts"],
            "candidates": told["candidates"], "skipped_pairs": told["skipped_pairs"],
            **score(truth, ids, best_first(folder), THRESHOLD),
        }  # fmt: skip

    def command(self, rows: Path, *options: str, workers: int = 1) -> list[str]:
        first = [sys.executable, "-m", "databuild", "dedup", str(rows), str(self.scratch)]
        fixed = ["--column", "text", "--threshold", str(THRESHOLD), "--workers", str(workers)]
        return [*first, *fixed, "--json", *options]

    def warm(
        self, path: Path, times: int = 3, workers: int = 1, cores: str = "1"
    ) -> dict[str, Any]:
        """The step in one process: the first run, and the best of the others."""
        out = self.cache / f"verdicts-{os.getpid()}.parquet"
        script = [sys.executable, str(HERE / "dedup_warm.py"), str(path), str(out), str(times)]
        threads = {name: str(workers) for name in ONE}
        used = measured([*script, f"workers={workers}"], cores, **threads)
        runs = [json.loads(line) for line in used["stdout"].splitlines()]
        best = min(runs[1:], key=lambda run: run["cpu_s"])
        return {**best, "cpu_s_first": runs[0]["cpu_s"], "cpu_s_all": [r["cpu_s"] for r in runs]}

    def warm_scored(self, n: int) -> dict[str, Any]:
        folder = self.corpus(n)
        told = self.warm(folder / "rows.parquet")
        verdicts = pl.read_parquet(self.cache / f"verdicts-{os.getpid()}.parquet").filter(
            part="kept"
        )
        ids = verdicts["row_id"].str.slice(1).cast(pl.Int64)
        return {**told, **score(read_truth(folder), ids, best_first(folder), THRESHOLD)}


def best_first(folder: Path) -> np.ndarray:
    rows = pl.read_parquet(folder / "rows.parquet", columns=["id", "quality"])
    return places(rows.sort("quality", "id", descending=[True, False], nulls_last=True)["id"])


def table(bench: Bench, sizes: list[int]) -> dict[str, Any]:
    """Every tool at every size that it is given, databuild between them."""
    told: dict[str, Any] = {}
    for n in sizes:
        folder = bench.corpus(n)
        truth = read_truth(folder)
        at = told[str(n)] = {"corpus": facts(folder, truth)}
        for tool in (tool for tool in bench.tools if n <= TOOLS[tool]):
            at[tool] = bench.peer(tool, n)
            show(n, tool, at[tool])
            if tool == "rensa":
                at["databuild_warm"] = bench.warm_scored(n)
                show(n, "databuild_warm", at["databuild_warm"])
        at["databuild_cold"] = bench.cold(n)
        show(n, "databuild_cold", at["databuild_cold"])
    return told


def facts(folder: Path, truth: Truth) -> dict[str, Any]:
    rows = pl.read_parquet(folder / "rows.parquet", columns=["text"])["text"]
    return {
        "rows": len(rows),
        "text_mb": round(int(rows.str.len_bytes().sum()) / 1e6, 1),
        "tokens": int(truth.rows["tokens"].sum()),
        "sets": truth.rows["group"].n_unique(),
        "pairs_of_sets": truth.pairs.height,
    }


def show(n: int, tool: str, told: dict[str, Any]) -> None:
    names = ("cpu_s", "peak_mb", "recall", "p_strict", "harmful")
    print(f"{n:>9,} {tool:20}", {name: told.get(name) for name in names}, flush=True)


# ------------------------------------------------------------------------------- the other sections


def cores(bench: Bench, sizes: list[int]) -> dict[str, Any]:
    """One core and two: CPU and wall seconds of `databuild dedup` at the largest size.

    The shortest wall time of three turns each, and beside them how much more two threads of plain
    hashing do than one: what the machine has to give at that time.
    """
    path = bench.corpus(sizes[-1]) / "rows.parquet"
    runs: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    machine = []
    for workers in (1, 2) * 3:
        shutil.rmtree(bench.scratch, ignore_errors=True)
        threads = {name: str(workers) for name in ONE}
        command = bench.command(path, workers=workers)
        runs[workers].append(measured(command, "1" if workers == 1 else "0,1", **threads))
        machine.append(_machine_speedup())
    best = {str(n): min(some, key=lambda run: run["wall_s"]) for n, some in runs.items()}
    told = {n: {k: run[k] for k in ("cpu_s", "wall_s", "peak_mb")} for n, run in best.items()}
    speedup = round(best["1"]["wall_s"] / best["2"]["wall_s"], 2)
    walls = {str(n): [run["wall_s"] for run in some] for n, some in runs.items()}
    return {**told, "wall_s_all": walls, "speedup": speedup, "machine_speedup_all": machine}


def _machine_speedup() -> float:
    """How much sooner two threads are done with hashing than one."""
    data = bytes(64 << 20)

    def wall(threads: int) -> float:
        started = time.monotonic()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _: hashlib.sha256(data).digest(), range(8)))
        return time.monotonic() - started

    return round(wall(1) / wall(2), 2)


def incremental(bench: Bench, sizes: list[int]) -> dict[str, Any]:
    """The last tenth of the rows against an index of the others, by the command."""
    folder = bench.corpus(sizes[-1])
    rows = pl.read_parquet(folder / "rows.parquet")
    truth = read_truth(folder)
    first = rows.height * 9 // 10
    old, new, index = (bench.cache / f"batch-{name}" for name in ("old", "new", "index"))
    shutil.rmtree(index, ignore_errors=True)
    told: dict[str, Any] = {"old_rows": first, "new_rows": rows.height - first}
    for name, path, part in (("old", old, rows[:first]), ("new", new, rows[first:])):
        part.write_parquet(path.with_suffix(".parquet"), row_group_size=65_536)
        shutil.rmtree(bench.scratch, ignore_errors=True)
        used = measured(bench.command(path.with_suffix(".parquet"), "--index", str(index)))
        told[name] = {key: used[key] for key in ("cpu_s", "wall_s", "peak_mb")}
        told[name] |= json.loads(used["stdout"])["rows"]
        told[name]["kept_ids"] = pl.read_parquet(bench.scratch / "kept-*.parquet")["id"]
    kept = pl.concat([told["old"].pop("kept_ids"), told["new"].pop("kept_ids")])
    told["score"] = score(truth, kept, np.arange(rows.height), THRESHOLD)
    told["index_mb"] = round(sum(p.stat().st_size for p in index.rglob("*") if p.is_file()) / 1e6)
    return told


def adversarial(bench: Bench, sizes: list[int]) -> dict[str, Any]:
    """CPU seconds per million rows at a tenth and at the whole of the largest size, second run."""
    told: dict[str, Any] = {}
    most = sizes[-1]
    for kind in ("template", "close_template", "equal", "empty", "huge"):
        told[kind] = {}
        for n in (4, 20) if kind == "huge" else (most // 10, most):
            path = bench.cache / "adversarial" / f"{kind}-{n}.parquet"
            write_adversarial(path, kind, n)
            run = bench.warm(path, times=2)
            told[kind][str(n)] = {
                "cpu_s": run["cpu_s"], "peak_mb": run["peak_mb"], "kept": run["kept"],
                "cpu_s_per_million_rows": round(run["cpu_s"] / n * 1e6, 2),
                **{name: run["facts"][name] for name in ("candidates", "skipped_pairs")},
            }  # fmt: skip
            print(kind, n, told[kind][str(n)], flush=True)
    return told


def large(bench: Bench, sizes: list[int]) -> dict[str, Any]:
    """Several corpora of the largest size together, 3 and 10, by the command on one core.

    There is no truth of so many: the exact join would take hours. Told are cost and memory, beside
    the peak that the command states before it starts, and how much each row costs against the first.
    """
    told: dict[str, Any] = {}
    for times in (1, 3, 10):
        folders = [bench.corpus(sizes[-1], seed) for seed in range(times)]
        first, *others = (str(folder / "rows.parquet") for folder in folders)
        shutil.rmtree(bench.scratch, ignore_errors=True)
        command = bench.command(Path(first))
        place = command.index(first) + 1
        used = measured([*command[:place], *others, *command[place:]])
        made = json.loads(used.pop("stdout"))
        shutil.rmtree(bench.scratch, ignore_errors=True)
        n = made["rows"]["in"]
        told[str(n)] = {
            **used, "cpu_s_to_verdicts": made["seconds"]["cpu_to_verdicts"],
            "memory_mib": made["memory_mib"], "rows": made["rows"],
            "candidates": made["candidates"], "skipped_pairs": made["skipped_pairs"],
            "cpu_s_per_million_rows": round(used["cpu_s"] / n * 1e6, 2),
        }  # fmt: skip
        print(n, told[str(n)], flush=True)
    return told


SECTIONS: dict[str, Any] = {
    section.__name__: section for section in (table, cores, incremental, adversarial, large)
}


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def machine() -> dict[str, Any]:
    model = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": model[0] if model else platform.processor(), "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("polars", "numpy", "numba", "pyarrow")},
        "peers": [one for some in ENVIRONMENTS.values() for one in some],
        "noise": "shared with other work: CPU seconds carry about 15 %",
    }  # fmt: skip


def main(given: argparse.Namespace) -> None:
    bench = Bench(given.cache, given.data, given.tools.split(","), again=given.again)
    sizes = sorted(int(n) for n in given.rows.split(","))
    out: Path = given.out
    told = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    told["machine"] = machine()
    for name in given.only.split(","):
        found = SECTIONS[name](bench, sizes)
        if name == "table":
            found = {**told.get("table", {}), **found}
        told[name] = {**found, "date": today()}
        out.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", default="100000")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "databuild-bench")
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--again", action="store_true", help="measure the other tools again")
    parser.add_argument("--out", type=Path, default=HERE / "dedup.json")
    main(parser.parse_args())
