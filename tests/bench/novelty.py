"""What the novelty filter of `generate.self_instruct` costs, beside comparing every pair.

    python tests/bench/novelty.py <folder of data> <out.json>

The folder holds tables with instructions (`SOURCES`). They are shuffled and judged 256 at a time, as
the step does. CPU seconds of one thread. Where `rouge_score` is installed (Google's package, with
which the paper's code filters), its loop over all pairs is measured on the first few hundred, and
the verdicts on texts of ASCII words are compared.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl

from databuild.text.rouge import Novelty

SOURCES = {
    "alpaca_en": "instruction",
    "code_alpaca": "instruction",
    "code_gpteacher": "instruction",
    "dolly_3k": "instruction",
    "alpaca_gpt4_zh": "instruction",
    "gsm8k_train": "question",
    "bench_testsets": "text",
    "langid_sentences": "text",
    "alpacaeval_best_of_k": "instruction",
    "near_dup_toolformer": "instruction",
    "mmlu_redux_errors": "question",
    "preference_pairs": "prompt",
}
SIZES = (2_000, 10_000, 50_000)
PAIRED = (250,)
ROUND = 256


def texts_of(folder: Path) -> list[str]:
    """The instructions and questions of all tables, shuffled; no longer than 600 characters."""
    found = [
        pl.read_parquet(folder / f"{name}.parquet")[column] for name, column in SOURCES.items()
    ]
    texts = pl.concat([column.cast(pl.String).alias("text") for column in found]).drop_nulls()
    return (
        texts.filter(texts.str.len_chars() < 600).sample(fraction=1, shuffle=True, seed=1).to_list()
    )


def judged(texts: list[str]) -> tuple[float, list[bool]]:
    """CPU seconds, and whether each text was new."""
    seen, new = Novelty(0.7), []
    start = time.process_time()
    for at in range(0, len(texts), ROUND):
        new += [near is None for near in seen.judge(texts[at : at + ROUND])]
    return time.process_time() - start, new


def paired(texts: list[str]) -> tuple[float, list[bool]]:
    """The same by rouge_score, each text with all before that were new."""
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-not-found]

    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    kept: list[str] = []
    new = []
    start = time.process_time()
    for text in texts:
        scores = (scorer.score(text, other)["rougeL"].fmeasure for other in kept)
        new.append(max(scores, default=0.0) < 0.7)
        if new[-1]:
            kept.append(text)
    return time.process_time() - start, new


def beside_all_pairs(texts: list[str]) -> list[dict[str, Any]]:
    """The first few hundred texts of ASCII words, judged both ways."""
    if not importlib.util.find_spec("rouge_score"):
        return []
    plain, found = [text for text in texts if text.isascii() and "_" not in text], []
    for size in PAIRED:
        slow, theirs = paired(plain[:size])
        quick, ours = judged(plain[:size])
        same = sum(a == b for a, b in zip(theirs, ours, strict=True))
        figures = {"texts": size, "rouge_score_cpu_s": round(slow, 2), "cpu_s": round(quick, 3)}
        found.append(figures | {"times": round(slow / quick), "same_verdict": same})
    return found


def main(folder: Path, out: Path) -> None:
    """Measure, and write the figures as they come."""
    texts = texts_of(folder)
    result: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, 1 thread",
        "versions": {name: version(name) for name in ("polars", "numpy", "rapidfuzz")},
        "mean_words": round(sum(len(text.split()) for text in texts) / len(texts), 1),
        "novelty": [],
    }
    for size in [size for size in SIZES if size <= len(texts)]:
        seconds, new = judged(texts[:size])
        figures = {"texts": size, "cpu_s": round(seconds, 2), "new": sum(new)}
        result["novelty"].append(figures)
        out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    result["beside_all_pairs"] = beside_all_pairs(texts)
    out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
