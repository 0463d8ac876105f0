"""GSM8K's test questions against a corpus in which 300 of them are planted in three ways.

    python tests/bench/dedup_contaminated.py ROWS.parquet FOLDER_OF_DATA [TIMES]

100 questions in capitals, 100 inside a row of the corpus, 100 with a tenth of their words replaced.
Prints CPU seconds of the step in the process (the first loads compiled code), what was found of
each kind, and what else was hit, for runs of 8 and of 13 tokens and for both with edits.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

KINDS = ("capitals", "embedded", "edited")
SETTINGS: dict[str, dict[str, Any]] = {
    "n=8": {"ngrams": (8,), "edited": False},
    "n=13": {"ngrams": (13,), "edited": False},
    "default": {},
}


def planted(texts: pl.Series, questions: list[str]) -> tuple[pl.Series, dict[int, str]]:
    """The texts with 300 questions put in place of some, and the kind of plant by row."""
    rng = np.random.default_rng(3)
    places = np.sort(rng.choice(len(texts), 300, replace=False)).tolist()
    chosen = rng.choice(len(questions), 300, replace=False).tolist()
    own = texts.gather(places).to_list()
    made = []
    for i, (question, text) in enumerate(zip((questions[c] for c in chosen), own, strict=True)):
        kind = KINDS[i % 3]
        words = question.split()
        if kind == "embedded":
            half = len(text) // 2
            made.append(f"{text[:half]} {question} {text[half:]}")
        elif kind == "edited":
            for place in rng.choice(len(words), max(1, len(words) // 10), replace=False).tolist():
                words[place] = f"other{place}"
            made.append(" ".join(words))
        else:
            made.append(question.upper())
    kinds = {place: KINDS[i % 3] for i, place in enumerate(places)}
    return texts.scatter(places, made), kinds


def main(path: Path, folder: Path, times: int) -> None:
    from databuild.dedup.contamination import ContaminationConfig, drop_contaminated

    items = pl.read_parquet(folder / "bench_testsets.parquet").filter(benchmark="gsm8k")
    exam = items.select(row_id=pl.format("e{}", "id"), question="text")
    texts, kinds = planted(pl.read_parquet(path, columns=["text"])["text"], items["text"].to_list())
    ids = pl.int_range(len(texts), eager=True).cast(pl.String)
    rows = pl.DataFrame({"row_id": ids, "text": texts})
    told: dict[str, Any] = {"rows": rows.height, "items": exam.height}
    for name, options in SETTINGS.items():
        config = ContaminationConfig(columns=("text",), in_columns=("question",), **options)
        cpu = []
        for _ in range(times):
            started = time.process_time()
            out = drop_contaminated(rows, config, gsm8k=exam)
            cpu.append(round(time.process_time() - started, 2))
        hits = out.table.filter(part="dropped")["row_id"].cast(pl.Int64).to_list()
        found = [kinds.get(hit, "other") for hit in hits]
        told[name] = {
            "cpu_s": min(cpu), "cpu_s_first": cpu[0],
            "planted": {kind: sum(k == kind for k in kinds.values()) for kind in KINDS},
            "found": {kind: found.count(kind) for kind in (*KINDS, "other")},
        }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int((*sys.argv[3:], "2")[0]))
