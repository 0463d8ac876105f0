"""What the verifiers cost, in CPU time on one core, children included.

    python tests/bench/verifiers.py [out.json] [rows]

The answers are made here: about 115 words each, in three lines, with two of the 25 instructions,
a final answer, and a keyword. The programs are of five lines with three tests. The best of three.
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"
os.environ["RAYON_NUM_THREADS"] = "1"

import functools
import json
import platform
import resource
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.step import run_whole
from databuild.reward.code import CodeConfig, measure_code
from databuild.reward.file import FileConfig, measure_with_file
from databuild.reward.ifeval import IfevalConfig, measure_instructions
from databuild.reward.match import MatchConfig, measure_match
from databuild.reward.maths import MathsConfig, measure_maths

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
SENTENCE = "The {n} loaves on shelf {m} are still warm and the baker counts them by hand. "
ASKED: list[list[tuple[str, dict[str, Any]]]] = [
    [("punctuation:no_comma", {}), ("keywords:existence", {"keywords": ["baker"]})],
    [
        ("length_constraints:number_words", {"num_words": 100, "relation": "at least"}),
        ("length_constraints:number_sentences", {"num_sentences": 7, "relation": "at least"}),
    ],
    [
        ("change_case:english_lowercase", {}),
        ("detectable_format:number_bullet_lists", {"num_bullets": 3}),
    ],
    [
        ("startend:quotation", {}),
        ("keywords:frequency", {"keyword": "warm", "frequency": 3, "relation": "less than"}),
    ],
]
PROGRAM = "def add(items):\n    total = {n}\n    for item in items:\n        total += item\n    return total\n"
TESTS = ["assert add([]) == 3", "assert add([1, 2]) == 6", "assert add([-3]) == 0"]
SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


def answers(n: int) -> pl.DataFrame:
    asked = [ASKED[k % len(ASKED)] for k in range(n)]
    texts = [
        "Well, here it is:\n"
        + "".join(SENTENCE.format(n=k + j, m=j) for j in range(7))
        + f"\nThe answer is {k % 50}."
        for k in range(n)
    ]
    return pl.DataFrame(
        {
            "row_id": [f"{k:06d}" for k in range(n)],
            "response": texts,
            "instruction_id_list": [[name for name, _ in one] for one in asked],
            "kwargs": [json.dumps([about for _, about in one]) for one in asked],
            "answer": [str(k % 40) for k in range(n)],
            "interval": [rf"So \boxed{{[{k % 9}, 10)}}." for k in range(n)],
            "right": ["[3,10)"] * n,
            "json": [json.dumps({"n": k if k % 2 else "no"}) for k in range(n)],
            "program": [PROGRAM.format(n=k % 5) for k in range(n)],
            "tests": [TESTS] * n,
        }
    )


def cpu() -> float:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def rows_per_second(run: Callable[[], object], n: int) -> int:
    best = float("inf")
    for _ in range(3):
        start = cpu()
        run()
        best = min(best, cpu() - start)
    return round(n / best)


def main(out: Path, n: int) -> None:
    rows = answers(n)
    few, programs = rows.head(n // 20), rows.head(n // 100)
    match = functools.partial(MatchConfig, against="answer")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "score.py")
        file.write_text("def score(response):\n    return len(response)\n", encoding="utf-8")
        own = FileConfig(path="score.py", columns=("response",))
        schema = MatchConfig(response="json", how="json_schema", json_schema=SCHEMA)
        algebra = MathsConfig(response="interval", answer="right")
        code = CodeConfig(response="program")
        told = {
            "reward.ifeval": (lambda: measure_instructions(rows, IfevalConfig()), n),
            "reward.match exact": (lambda: measure_match(rows, match(how="exact")), n),
            "reward.match normalised": (lambda: measure_match(rows, match()), n),
            "reward.match contains": (lambda: measure_match(rows, match(how="contains")), n),
            "reward.match regex": (
                lambda: measure_match(rows, MatchConfig(how="regex", value=r"answer is \d+")),
                n,
            ),
            "reward.match json_schema": (lambda: measure_match(rows, schema), n),
            "reward.file": (lambda: measure_with_file(rows, own, files=(file,)), n),
            "reward.maths numbers": (lambda: measure_maths(rows, MathsConfig()), n),
            "reward.maths intervals": (lambda: measure_maths(few, algebra), few.height),
            "reward.code": (lambda: run_whole(measure_code.run, programs, code), programs.height),
        }
        found = {name: rows_per_second(run, size) for name, (run, size) in told.items()}
    report = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, polars {pl.__version__}",
        "rows": n,
        "rows_of": {"reward.maths intervals": few.height, "reward.code": programs.height},
        "words_per_answer": round(rows["response"].str.count_matches(r"\w+").mean()),
        "rows_per_cpu_second": found,
    }
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(
        Path(*sys.argv[1:2] or [str(HERE / "verifiers.json")]),
        int((sys.argv[2:3] or ["10000"])[0]),
    )
