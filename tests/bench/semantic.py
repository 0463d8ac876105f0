"""What dedup.semantic costs: embedding and comparing, exact and through the index; CPU seconds.

    python tests/bench/semantic.py [out.json [sizes]]
    python tests/bench/semantic.py --indexes [out.json [sizes]]  # with voyager and usearch
    python tests/bench/semantic.py --peer [out.json [sizes]]     # in an environment with semhash
    python tests/bench/semantic.py --embed [out.json]            # with the extra `embed`

Comparing is measured on vectors that are made here: 384 numbers, in groups of about 100 of one
topic (cosine .1 to .8 within), a quarter of them copies of others at cosines from .8 to .999. At
threshold .9 about half of the copies are duplicates. Every cell runs in a process of its own, on
one thread; recall is the share of the rows dropped by exact comparison that are dropped too.
Embedding is measured on instructions of about 90 characters; CPU seconds of the model's process,
its start apart. The static model is the table of input vectors of all-MiniLM-L6-v2: its quality is
poor, its speed that of any model2vec folder of 384 dimensions.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["POLARS_MAX_THREADS"] = "1"

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

OUT = Path(__file__).with_suffix(".json")
SIZES = {
    "compare": [5_000, 20_000, 100_000],
    "indexes": [5_000, 20_000],
    "peer": [5_000, 20_000, 100_000],
    "embed": [],
}
THRESHOLD = 0.9


def corpus(n: int, width: int = 384) -> Any:
    """N unit vectors, as the module's text says."""
    rng = np.random.default_rng(n)

    def directions(rows: int) -> Any:
        made = rng.standard_normal((rows, width), dtype=np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    first = n * 3 // 4
    topics = directions(max(20, n // 100))
    share = rng.uniform(0.3, 0.9, (first, 1)).astype(np.float32)
    rows = share * topics[rng.integers(0, len(topics), first)]
    rows += np.sqrt(1 - share**2) * directions(first)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    source = rows[rng.integers(0, first, n - first)]
    aside = directions(n - first)
    aside -= (aside * source).sum(axis=1, keepdims=True) * source
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    cosine = rng.uniform(0.8, 0.999, (n - first, 1)).astype(np.float32)
    rows = np.concatenate([rows, cosine * source + np.sqrt(1 - cosine**2) * aside])
    rows = rows[rng.permutation(n)]
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


class Voyager:
    """HNSW of voyager: 16 links, 64 candidates when building and when asked."""

    def __init__(self, rows: Any) -> None:
        voyager: Any = import_module("voyager")
        space = voyager.Space.InnerProduct
        self._index = voyager.Index(space, rows.shape[1], M=16, ef_construction=64, random_seed=1)

    def add(self, rows: Any) -> None:
        self._index.add_items(rows, num_threads=1)

    def near(self, rows: Any) -> Any:
        k = min(8, len(self._index))
        return self._index.query(rows, k, num_threads=1, query_ef=64)[0].astype(np.int64)


class Usearch:
    """HNSW of usearch, with the same three numbers."""

    def __init__(self, rows: Any) -> None:
        usearch: Any = import_module("usearch.index")
        self._index = usearch.Index(
            ndim=rows.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_add=64,
            expansion_search=64,
        )  # fmt: skip

    def add(self, rows: Any) -> None:
        keys = np.arange(len(self._index), len(self._index) + len(rows))
        self._index.add(keys, rows, threads=1)

    def near(self, rows: Any) -> Any:
        found = self._index.search(rows, min(8, len(self._index)), threads=1)
        return found.keys.astype(np.int64).reshape(len(rows), -1)


def compare(way: str, n: int) -> dict[str, Any]:
    """One cell: what keeping apart costs, and which rows it drops."""
    from databuild.dedup.apart import keep_apart, missed_ratio
    from databuild.models.cells import Cells

    rows = corpus(n)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, cpu()
    makers: dict[str, Any] = {"cells": Cells, "voyager": Voyager, "usearch": Usearch}
    index = makers[way](rows) if way in makers else None
    found = keep_apart(rows, THRESHOLD, index=index)
    told = {"cpu_s": round(cpu() - start, 2)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told |= {"mib": peak >> 10, "mib_above_vectors": (peak - before) >> 10}
    told["dropped"] = np.flatnonzero(found.kept_N != np.arange(n)).tolist()
    if index is not None:
        told["missed_ratio_told"] = missed_ratio(rows, found, THRESHOLD)
    return told


def semhash(n: int) -> dict[str, Any]:
    """The same vectors through semhash, with its default index."""
    peer: Any = import_module("semhash")
    rows = corpus(n)
    records = [{"text": str(i)} for i in range(n)]

    class Model:
        def encode(self, texts: Any, **_: Any) -> Any:
            return rows[[int(text) for text in texts]]

    start = cpu()
    made: Any = peer.SemHash.from_embeddings(rows, records, columns=["text"], model=Model())
    kept = made.self_deduplicate(threshold=THRESHOLD).selected
    told: dict[str, Any] = {"cpu_s": round(cpu() - start, 2)}
    told["mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    is_kept = {int(record["text"]) for record in kept}
    return {**told, "dropped": [i for i in range(n) if i not in is_kept]}


def cell(way: str, n: int) -> dict[str, Any]:
    """Run a cell in a process of its own."""
    words = [sys.executable, str(Path(__file__)), "--cell", way, str(n)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2_000:])
    made: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return made


def table(ways: list[str], sizes: list[int], known: dict[str, Any]) -> dict[str, Any]:
    """All cells, with recall against exact comparison; those of other sizes stay as they are."""
    for n in sizes:
        exact = exact_cell(n)
        for way in ways:
            one = dict(exact) if way == "exact" else cell(way, n)
            dropped = set(one.pop("dropped"))
            both = len(dropped & set(exact["dropped"]))
            one |= {"dropped": len(dropped), "recall": round(both / len(exact["dropped"]), 5)}
            known.setdefault(way, {})[str(n)] = one
            print(way, n, one, flush=True)
    return known


def exact_cell(n: int) -> dict[str, Any]:
    """Exact comparison: run once, and kept between the modes of this file."""
    path = Path(tempfile.gettempdir()) / f"databuild-bench-semantic-exact-{n}.json"
    if not path.is_file():
        path.write_text(json.dumps(cell("exact", n)), "utf-8")
    made: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return made


def embedding(n: int = 2_000) -> dict[str, Any]:
    """Rows that each kind of model embeds in a CPU second, through the step itself."""
    import polars as pl

    from databuild.dedup.semantic import SemanticConfig, drop_similar
    from databuild.models.embedder import HashedNgrams, StaticEmbedder
    from databuild.models.encoder import Encoder
    from databuild.models.packaged import packaged_folder

    things = ["roses", "beans", "old pear trees", "wild garlic", "thyme", "leeks", "mint"]
    texts = [
        f"Explain how I should look after {things[i % 7]} in year {i}, and name {i % 9 + 2} things "
        f"that go wrong in {'a glass house' if i % 2 else 'heavy clay'}."
        for i in range(20_000)
    ]
    made: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as home:
        folder = packaged_folder("all-minilm-l6-v2", Path(home) / "m", log=Path(home) / "log")
        static = static_of(folder, Path(home) / "static")
        for name, rows in (("all-minilm-l6-v2", n), ("static, 384", 20_000), ("hashed", 20_000)):
            start = cpu()
            embedder: Any = {
                "all-minilm-l6-v2": lambda: Encoder(folder, log=Path(home) / "log"),
                "static, 384": lambda: StaticEmbedder(static),
                "hashed": HashedNgrams,
            }[name]()
            embedder.embed(texts[:1])
            ready_s = process_s(embedder)
            began = time.process_time()
            asked = pl.DataFrame(
                {"row_id": [f"{i:08d}" for i in range(rows)], "prompt": texts[:rows]}
            )
            drop_similar(asked, SemanticConfig(model="m", threshold=0.99), embedder=embedder)
            ours = time.process_time() - began
            theirs = process_s(embedder) - ready_s
            made[name] = {"rows": rows, "rows_per_cpu_s": round(rows / (ours + theirs))}
            embedder.close()
            made[name]["whole_cpu_s"] = round(cpu() - start, 1)
            print(name, made[name], flush=True)
    return made


def process_s(embedder: Any) -> float:
    """CPU seconds of an encoder's child so far; 0 where there is none."""
    import psutil

    child = getattr(embedder, "_child", None)
    if child is None:
        return 0.0
    used = psutil.Process(child.pid).cpu_times()
    return float(used.user + used.system)


def static_of(folder: Path, home: Path) -> Path:
    """A static model of an encoder's input vectors."""
    from safetensors.numpy import load_file, save_file

    home.mkdir()
    rows = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    save_file({"embeddings": rows}, home / "model.safetensors")
    (home / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (home / "config.json").write_text('{"model_type": "model2vec", "normalize": true}', "utf-8")
    return home


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["--cell"]:
        way, n = words[1], int(words[2])
        print(json.dumps(semhash(n) if way == "semhash" else compare(way, n)))
        return
    mode = words.pop(0).removeprefix("--") if words and words[0].startswith("--") else "compare"
    out = Path(words.pop(0)) if words else OUT
    sizes = [int(word) for word in words] or SIZES[mode]
    known = json.loads(out.read_text("utf-8")) if out.is_file() else {}
    if mode == "embed":
        made = embedding()
    else:
        ways = {"compare": ["exact", "cells"], "indexes": ["voyager", "usearch"]}
        made = table(ways.get(mode, ["semhash"]), sizes, known.get(mode, {}))
    known |= {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "threshold": THRESHOLD,
        mode: made,
    }
    out.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
