"""What pairing a million scored answers costs: `pairs.graded` and `pairs.best`, in CPU seconds.

    python tests/bench/pairs.py <out.json> [answers] [runs]

A table of made-up answers, ten to a prompt, with prompts of about 60 characters, answers of 30 to 230, row ids as the engine
makes them, a third of the answers edited. Each way of pairing is run `runs` times and the best time is kept. The figures of one
thread come from a second process with `POLARS_MAX_THREADS=1`. For scale: the same pairs, the best over the worst of each
prompt, by Polars' own group-by with the texts sorted along.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.pairs.best import BestConfig, select_best_answers
from databuild.pairs.graded import GradedConfig, make_graded_pairs

if TYPE_CHECKING:
    from collections.abc import Callable

K = 10
WAYS: dict[str, dict[str, Any]] = {
    "graded, best over worst": {},
    "graded, three rejected per prompt, quantiles": {
        "rejected_per_chosen": 3, "max_pairs_per_prompt": 3, "thresholds": "quantiles",
    },
    "graded, nearest length": {
        "match_length": True, "max_length_ratio": 1.3, "max_pairs_per_prompt": 4,
    },
    "graded, across two models": {"across": "model_name", "max_pairs_per_prompt": 4},
}  # fmt: skip


def table(n: int) -> pl.DataFrame:
    """Made-up scored answers."""
    rng = np.random.default_rng(0)
    numbers = np.arange(n)
    more = rng.integers(0, 13, n)
    return pl.DataFrame(
        {
            "row_id": [f"{number:032x}" for number in rng.permutation(n)],
            "prompt": [f"Tell me about subject number {i // K}, in {i // K % 7} sentences." for i in numbers],
            "response": [
                f"This is answer number {i}" + " and some more words" * int(k)
                for i, k in zip(numbers, more, strict=True)
            ],
            "verify_score": rng.random(n).round(2),
            "origin": rng.choice(["sampled", "sampled", "edited"], n),
            "model_name": rng.choice(["one", "other"], n),
            "capability": rng.choice(["chat", "maths", "code"], n),
            "strict_pass": rng.random(n) < 0.3,
        }
    )  # fmt: skip


def cost(work: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """The least CPU seconds of some runs, and what the last one made."""
    best, made = float("inf"), None
    for _ in range(runs):
        begun = time.process_time()
        made = work()
        best = min(best, time.process_time() - begun)
    return round(best, 2), made


def grouped(rows: pl.DataFrame) -> pl.DataFrame:
    """Best and worst answer of each prompt, the plain way."""
    ordered = rows.sort("prompt", "verify_score", "row_id", descending=[False, True, False])
    return ordered.group_by("prompt").agg(
        chosen=pl.col("response").first(), rejected=pl.col("response").last()
    )


def measured(n: int, runs: int) -> dict[str, Any]:
    """Every way of pairing."""
    rows = table(n)
    facts: dict[str, Any] = {}
    for name, options in WAYS.items():
        pairing = partial(make_graded_pairs, rows, GradedConfig.model_validate(options))
        seconds, made = cost(pairing, runs)
        facts[name] = {"cpu_s": seconds, "pairs": made.rows.height, "dropped": made.dropped.height}
    best = BestConfig(top=2, per="capability", quota=n // 30)
    seconds, made = cost(lambda: select_best_answers(rows, best), runs)
    facts["best, top 2, with quotas"] = {
        "cpu_s": seconds, "kept": made.table.filter(part="kept").height,
    }  # fmt: skip
    seconds, made = cost(lambda: grouped(rows), runs)
    facts["for scale: sort and group_by of Polars"] = {"cpu_s": seconds, "pairs": made.height}
    return facts


def main() -> None:
    """Measure, with all threads and with one, and write the file."""
    given = [int(number) for number in sys.argv[2:]]
    n, runs = (*given, *(1_000_000, 3)[len(given) :])
    if sys.argv[1] == "-":
        sys.stdout.write(json.dumps(measured(n, runs)))
        return
    found = {}
    for name, threads in (("all threads", None), ("one thread", "1")):
        env = {**os.environ, **({"POLARS_MAX_THREADS": threads} if threads else {})}
        command = [sys.executable, __file__, "-", str(n), str(runs)]
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
        found[name] = json.loads(done.stdout)
    facts = {
        "answers": n,
        "runs": runs,
        "answers_per_prompt": K,
        "figures": found,
        "machine": {"cores": os.cpu_count(), "processor": platform.machine()},
        "versions": {"python": platform.python_version(), "polars": version("polars")},
        "date": datetime.now(UTC).date().isoformat(),
    }
    Path(sys.argv[1]).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
