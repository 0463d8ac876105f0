"""Time, memory, and what is found, of checking 100,000 and 1 million rows against a benchmark.

    python tests/bench/contamination.py [OUT.json [FOLDER for the rows]]

The rows are sentences of the folder of real data put together anew; the exam is 1,319 questions of
GSM8K (651 of its test set, 668 of its training set), as many as its test set has. Among the rows
are copies of its questions, disguised in several ways. Beside it a plain Python script that looks
up n-grams of words in a set. The step reads its rows part by part, from files as the engine writes
them. CPU seconds on one thread; warm is the better of two.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("DATABUILD_TEST_DATA", ROOT.parent / "shared" / "data"))
KINDS = (
    "verbatim", "upper case", "white space", "punctuation", "embedded", "edited",
    "embedded and edited", "look-alikes", "zero-width", "full-width",
)  # fmt: skip
EACH = 100
PART_ROWS = 65_536
LIKE = str.maketrans("aeopcxyisjABEKMHOPCTX", "аеорсхуіѕјАВЕКМНОРСТХ")


def read(file: str, *columns: str) -> pl.Series:
    rows = pl.read_parquet(DATA / file)
    return pl.concat([rows[column].drop_nulls() for column in columns])


def edited(text: str, rng: np.random.Generator, words: Sequence[str]) -> str:
    """A text of which a tenth of the words is another."""
    split = text.split()
    for place in rng.permutation(len(split))[: len(split) // 10]:
        split[place] = str(rng.choice(words))
    return " ".join(split)


def embedded(text: str, rng: np.random.Generator, words: Sequence[str]) -> str:
    before, after = (" ".join(rng.choice(words, int(rng.integers(20, 300)))) for _ in range(2))
    return f"{before}. {text} {after}"


def half(text: str, change: Callable[[str], str]) -> str:
    """A text of which about half of the characters are changed."""
    some = np.random.default_rng(len(text)).random(len(text)) < 0.5
    return "".join(change(c) if s else c for c, s in zip(text, some, strict=True))


def plant(text: str, kind: str, rng: np.random.Generator, words: Sequence[str]) -> str:
    """A copy of a text in disguise."""
    made = {
        "verbatim": lambda: text,
        "upper case": text.upper,
        "white space": lambda: "\n\n " + " \t ".join(text.split()),
        "punctuation": lambda: "* " + text.replace(" ", " – ").replace(".", " !!"),
        "embedded": lambda: embedded(text, rng, words),
        "edited": lambda: edited(text, rng, words),
        "embedded and edited": lambda: embedded(edited(text, rng, words), rng, words),
        "look-alikes": lambda: half(text, lambda c: c.translate(LIKE)),
        "zero-width": lambda: half(text, lambda c: c + "\u200b"),
        "full-width": lambda: half(text, lambda c: chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c),
    }
    return made[kind]()


def make(folder: Path, n: int) -> None:
    """Write `rows-<n>/part-*.parquet` (row_id, prompt, kind) and `exam.parquet`."""
    rng = np.random.default_rng(11)
    test = pl.read_parquet(DATA / "bench_testsets.parquet").filter(benchmark="gsm8k")["text"]
    exam = pl.concat([test, read("gsm8k_train.parquet", "question").head(1319 - len(test))])
    exam.alias("question").to_frame().with_row_index("row_id").cast(
        {"row_id": pl.String}
    ).write_parquet(folder / "exam.parquet")
    texts = pl.concat([
        read("alpaca_en.parquet", "instruction", "output"), read("alpaca_gpt4_zh.parquet", "output"),
        read("dolly_3k.parquet", "instruction", "output"), read("code_alpaca.parquet", "output"),
    ])  # fmt: skip
    pool = np.array(
        texts.str.extract_all(r"[^.!?。！？]+[.!?。！？\n]+\s*")
        .explode()
        .drop_nulls()
        .unique(maintain_order=True)
        .to_list(),
        dtype=object,
    )
    words = sorted({w for t in texts.head(3000) for w in t.split() if w.isalpha()})
    sizes = rng.integers(1, 9, n)
    picked = np.split(pool[rng.integers(0, len(pool), int(sizes.sum()))], np.cumsum(sizes)[:-1])
    prompts = ["".join(one) for one in picked]
    kinds: list[str | None] = [None] * n
    places = rng.permutation(n)[: EACH * len(KINDS)]
    for place, kind in zip(places, np.repeat(KINDS, EACH), strict=True):
        prompts[place], kinds[place] = (
            plant(exam[int(rng.integers(len(exam)))], str(kind), rng, words),
            str(kind),
        )
    rows = pl.DataFrame(
        {"row_id": [f"{i:07d}" for i in range(n)], "prompt": prompts, "kind": kinds},
        schema_overrides={"kind": pl.String},
    )
    (folder / f"rows-{n}").mkdir()
    for number, part in enumerate(rows.iter_slices(PART_ROWS)):
        part.write_parquet(folder / f"rows-{n}" / f"part-{number:05d}.parquet")


class Files:
    """`engine.parts.Readable` over the files of a folder, a part each."""

    columns = ("row_id", "prompt")

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.parquet"))
        self.n_parts, self.layout = len(self.files), str(folder)
        self.rows = pl.scan_parquet(self.files).select(pl.len()).collect().item()

    def part(self, index: int, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
        named = list(dict.fromkeys(columns or self.columns))
        return pl.read_parquet(self.files[index], columns=named)


def check(folder: Path, n: int, ngram: int) -> dict[str, Any]:
    """databuild's step, twice in this process: the second time everything is loaded."""
    from databuild.dedup.contamination import ContaminationConfig, drop_contaminated
    from databuild.engine.parts import Parts

    spent, table, cold = [], pl.DataFrame(), 0.0
    for _ in range(3):
        before = time.process_time()
        rows = Parts(Files(folder / f"rows-{n}"))
        exam = Parts.of(pl.read_parquet(folder / "exam.parquet"))
        config = ContaminationConfig(in_columns="question", ngrams=(ngram,))
        found = drop_contaminated.run(rows, config, gsm8k=exam)
        table = pl.concat(list(found.frames))
        spent.append(time.process_time() - before)
        cold = cold or time.process_time()
    flagged = table.filter(part="dropped")["row_id"].to_list()
    return {"cold": cold, "warm": min(spent[1:]), "flagged": flagged}


def plain(folder: Path, n: int, ngram: int) -> dict[str, Any]:
    """What scripts do: lower-case words, n-grams in a set, any shared one flags the row."""
    import re

    def grams(text: str) -> set[str]:
        words = re.sub(r"[^\w\s]", " ", text.lower()).split()
        return {" ".join(words[i : i + ngram]) for i in range(len(words) - ngram + 1)}

    known: set[str] = set()
    for text in pl.read_parquet(folder / "exam.parquet")["question"]:
        known |= grams(text)
    rows = pl.read_parquet(folder / f"rows-{n}", columns=["row_id", "prompt"])
    flagged = [row_id for row_id, text in rows.iter_rows() if not known.isdisjoint(grams(text))]
    return {"cold": time.process_time(), "flagged": flagged}


def measure(folder: Path, n: int, what: str, ngram: int) -> dict[str, Any]:
    """Run one of them in a process of its own, on one thread."""
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, "--one", str(folder), str(n), what, str(ngram)]
    told = json.loads(
        subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    )
    rows = pl.read_parquet(folder / f"rows-{n}", columns=["row_id", "kind"])
    hit = rows.filter(pl.col("row_id").is_in(told.pop("flagged")))
    found = dict(hit.drop_nulls().group_by("kind").len().iter_rows())
    return {
        "what": what, "rows": n, "n": ngram,
        **{name: round(value, 2) for name, value in told.items()},
        "found": {kind: f"{found.get(kind, 0)} of {EACH}" for kind in KINDS},
        "other_rows_flagged": hit["kind"].null_count(),
    }  # fmt: skip


def one(folder: str, n: str, what: str, ngram: str) -> None:
    told = {"databuild": check, "plain": plain}[what](Path(folder), int(n), int(ngram))
    told["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(told))


def main(out: str | None = None, kept: str | None = None) -> None:
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(kept or name)
        for n in (100_000, 1_000_000):
            if not (folder / f"rows-{n}").is_dir():
                make(folder, n)
            for what, ngram in (("databuild", 8), ("databuild", 13), ("plain", 8), ("plain", 13)):
                if what == "databuild" or n == 100_000:
                    results.append(measure(folder, n, what, ngram))
                    print(json.dumps(results[-1]), flush=True)
        files = list((folder / "rows-1000000").glob("*.parquet"))
        size = sum(path.stat().st_size for path in files)
        lengths = pl.scan_parquet(files).select(pl.col("prompt").str.len_bytes().sum())
        text = lengths.collect().item()
    told = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {"cpu": platform.machine(), "python": platform.python_version(), "polars": pl.__version__},
        "text_mb_of_1m": int(text) // 1_000_000, "parquet_mb_of_1m": round(size / 1e6),
        "cpu_seconds": "cold: the whole process with imports; warm: reading and checking, loaded",
        "results": results,
    }  # fmt: skip
    if out:
        Path(out).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(*sys.argv[2:])
    else:
        main(*sys.argv[1:3])
