"""What a release costs, how fast `verify` is, and how much of a changed version is written anew.

    python -m tests.bench.release FOLDER [out.json] [--rows 1000000] [--only release verify upload]

The rows are a question and an answer of random words, about 330 characters, read from a Parquet
file and split into train and dev (9 to 1), each by its own draw (`exact: false`). Costs are CPU seconds of this process, all threads.

- release: without the time within the call that writes a Parquet file, which is told apart.
- verify: bytes per CPU second and per second, beside a plain SHA-256 of the same files in turn.
- upload: bytes of files that were not there yet, of a version with 1 % more rows at the end and of
  one with 1 % of rows changed in one place, of the bytes of the whole version; into a folder and, if
  there is one, to a real S3 server (SeaweedFS) on this machine, which counts what it receives.
  `exact parts`: the same where the parts have exact sizes, and some rows anywhere change parts.

Sections that are not asked for keep what the JSON file has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from databuild import api
from databuild.release import writing
from databuild.release.sending import Sent
from databuild.release.verifying import verify
from databuild.release.versions import Versions
from databuild.schema.parquet import write_parquet
from tests.release import weed

RECIPE = """
name: big
seed: 5
steps:
  raw: {{use: ingest.files, path: rows.parquet, key: ticket}}
  split: {{use: sample.split, from: raw, parts: {{train: 0.9, dev: 0.1}}, {split}}}
release:
  configs: {{sft: {{train: split.train, dev: split.dev}}}}
  licence: {{raw: CC0-1.0}}
"""
SPLITS = {"each": "together: ticket, exact: false", "exact": "exact: true"}
SECTIONS = ("release", "verify", "upload")


def rows(n: int, first: int = 0, seed: int = 1) -> pl.DataFrame:
    """Numbered rows of random words."""
    rng = np.random.default_rng((seed, first))
    words = np.array([f"{a}{b}{c}" for a in "bdfglmnprst" for b in "aeiou" for c in "bdklmnrstz"])
    columns = {}
    for name, length in (("prompt", 16), ("response", 64)):
        drawn = pl.Series(words[rng.integers(0, words.size, n * length)]).reshape((n, length))
        columns[name] = drawn.arr.join(" ")
    return pl.DataFrame(columns).select(
        ticket=pl.format("t{}", pl.int_range(first, first + n)),
        prompt=pl.format("{} {}", pl.int_range(first, first + n), "prompt"),
        response="response",
    )


def run(folder: Path, table: pl.DataFrame, split: str = "each") -> None:
    """Run the recipe over a table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "big.yaml").write_text(RECIPE.format(split=SPLITS[split]))
    table.write_parquet(folder / "rows.parquet")
    api.run(folder / "big.yaml", runs=folder / "runs", workers=1)


def release(folder: Path, store: Path | str) -> dict[str, Any]:
    """Release the last run once."""
    spent, real = [0.0], write_parquet

    def timed(*words: Any) -> None:
        begun = time.process_time()
        real(*words)
        spent[0] += time.process_time() - begun

    sent, begun = Sent(), time.process_time()
    vars(writing)["write_parquet"] = timed
    try:
        made, _ = api.release(folder / "big.yaml", "big@auto", store=store,
                              runs=folder / "runs", sent=sent)  # fmt: skip
    finally:
        vars(writing)["write_parquet"] = real
    cpu = time.process_time() - begun
    whole = sum(one.bytes for one in made.files)
    return {
        "rows": sum(s.rows for of in made.configs.values() for s in of.values()),
        "files": len(made.files), "bytes": whole,
        "cpu_s": round(cpu, 2), "writing_parquet_cpu_s": round(spent[0], 2),
        "beyond_writing_cpu_s": round(cpu - spent[0], 2),
        "new_files": sent.new_files, "new_bytes": sent.new_bytes,
        "new_ratio": round(sent.new_bytes / whole, 4),
    }  # fmt: skip


def verified(store: Path) -> dict[str, Any]:
    """`verify` and a plain SHA-256 of the same files, three times in turn; the best counts."""
    versions = Versions(store, "big")
    files = sorted(path for path in versions.folder("1.0.0").rglob("*") if path.is_file())
    n_bytes = sum(path.stat().st_size for path in files)
    best = {"verify": (9e9, 9e9), "sha256": (9e9, 9e9)}
    for _ in range(3):
        for name in best:
            cpu, wall = time.process_time(), time.perf_counter()
            if name == "verify":
                assert not verify(versions, "1.0.0").faults
            else:
                for path in files:
                    hashlib.sha256(path.read_bytes()).digest()
            took = (time.process_time() - cpu, time.perf_counter() - wall)
            best[name] = (min(best[name][0], took[0]), min(best[name][1], took[1]))
    found: dict[str, Any] = {"bytes": n_bytes, "files": len(files)}
    for name, (cpu, wall) in best.items():
        found[f"{name}_mb_per_cpu_s"] = round(n_bytes / 1e6 / cpu)
        found[f"{name}_mb_per_s"] = round(n_bytes / 1e6 / wall)
    return found


def changed(
    folder: Path, table: pl.DataFrame, stores: dict[str, Path | str], split: str = "each"
) -> dict[str, Any]:
    """The two changed versions in each store, which has the first version already."""
    n = table.height
    few = n // 100
    middle = table.with_columns(
        pl.when(pl.int_range(n).is_between(n // 2, n // 2 + few - 1))
        .then(pl.format("{} as we know now", "response"))
        .otherwise("response")
        .alias("response")
    )
    variants = {"appended": pl.concat([table, rows(few, n, seed=2)]), "one_cluster": middle}
    found: dict[str, Any] = {name: {} for name in stores}
    for variant, rows_of in variants.items():
        run(folder, rows_of, split)
        for name, store in stores.items():
            told = release(folder, store)
            found[name][variant] = {k: told[k] for k in told if k.startswith(("new", "bytes"))}
            print(name, variant, found[name][variant], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*", default=SECTIONS, choices=SECTIONS)
    asked = parser.parse_args()
    known = json.loads(asked.out.read_text()) if asked.out and asked.out.exists() else {}
    known |= {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python "
        f"{platform.python_version()}, polars {pl.__version__}",
    }
    folder = asked.folder
    for old in ("releases", "exact"):
        shutil.rmtree(folder / old, ignore_errors=True)
    table = rows(asked.rows)
    with ExitStack() as stack:
        stores: dict[str, Path | str] = {"folder": folder / "releases"}
        if "upload" in asked.only and weed.binary():
            server = stack.enter_context(weed.serving(folder / "s3"))
            os.environ |= {**server.environment, "XDG_CACHE_HOME": str(folder / "cache")}
            weed.make_bucket(server, "bench")
            stores["s3"] = "s3://bench/releases"
        run(folder, table)
        first = {name: release(folder, store) for name, store in stores.items()}
        print(first, flush=True)
        if "release" in asked.only:
            again = [release(folder, folder / f"again{n}") for n in range(2)]
            known["release"] = min([first["folder"], *again], key=lambda one: one["cpu_s"])
        if "verify" in asked.only:
            known["verify"] = verified(folder / "releases")
        if "upload" in asked.only:
            known["upload"] = changed(folder, table, stores)
            known["upload"]["s3_first"] = first.get("s3", {})
            exact = {"exact parts": folder / "exact"}
            run(folder, table, "exact")
            release(folder, exact["exact parts"])
            known["upload"] |= changed(folder, table, exact, "exact")
    told = json.dumps(known, indent=1)
    print(told)
    if asked.out:
        asked.out.write_text(told + "\n", "utf-8")


if __name__ == "__main__":
    main()
