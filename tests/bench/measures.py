"""What each measure costs on one core, in CPU time, on instruction rows of about 390 characters.

    python tests/bench/measures.py [out.json] [rows]
    python tests/bench/measures.py --peers [out.json]     # first, in an environment with datatrove

The rows are made here: questions and answers from parts that vary by number, one in eight Chinese,
one in sixteen code, one in sixteen a calculation, one in sixteen with a fault. Every measure runs
with its default options on the column that it is made for, three times; the best time counts.
`peers` has the filters of datatrove that measure the same, where that package is installed: they
see the same texts as documents, one by one, as its pipelines do.
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"
os.environ["RAYON_NUM_THREADS"] = "1"

import functools
import json
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

HERE = Path(__file__).parent
THINGS = [
    "roses",
    "beans",
    "old pear trees",
    "tomatoes",
    "mint",
    "clover",
    "wild garlic",
    "thyme",
    "leeks",
]
PLACES = [
    "a narrow balcony",
    "the north wall",
    "heavy clay",
    "sandy soil",
    "a glass house",
    "deep shade",
]
WORK = ["water", "prune", "sow", "feed", "dig up", "cover", "thin out", "tie up"]
REASONS = [
    "because the roots take up little while the ground is cold",
    "so that the leaves dry before the evening and no mould can grow",
    "which keeps slugs away from the young shoots for a week or two",
    "although most books would tell you to wait until the last frost",
    "and in a dry year that alone decides how much you will harvest",
]


def text(i: int) -> tuple[str, str]:
    thing, place, work = THINGS[i % 9], PLACES[i // 9 % 6], WORK[i // 7 % 8]
    why = [REASONS[(i + k) % 5] for k in range(3)]
    if i % 8 == 3:
        return (
            f"请解释第{i}号花园里怎样照料{thing}，并说明原因。",
            f"在第{i}号花园里，春天应当每周浇水{i % 5 + 1}次，夏天则每天一次。土壤要保持疏松，施肥不宜过多。"
            "如果叶子发黄，先检查根部是否积水；如果花朵很少，就把植物移到阳光更充足的地方。" * 2,
        )
    if i % 16 == 5:
        lines = "\n".join(
            f"    bed_{k} = {work.replace(' ', '_')}(garden[{i + k}])" for k in range(8)
        )
        return (
            f"Write a function that will {work} bed {i}.",
            f"def tend(garden):\n{lines}\n    return bed_7",
        )
    if i % 16 == 9:
        a, b = i % 90 + 10, i % 7 + 2
        steps = f"Each row holds {a} plants and there are {b} rows. So {a} * {b} = {a * b}. "
        return (
            f"How many {thing} stand in {b} rows of {a}?",
            steps * 3 + f"The garden has {a * b} plants.",
        )
    cut = " and the" if i % 16 == 13 else "."
    return (
        f"When should I {work} {thing} on {place}, plot {i}? Explain why in a few sentences.",
        f"On plot {i} you should {work} {thing} in the {i % 4 + 1}. week of the month, {why[0]}. "
        f"On {place} it is best to begin early in the morning, {why[1]}. Later in the year you can do "
        f"it every {i % 9 + 2} days, {why[2]}. Keep an eye on the weather{cut}",
    )


def make_rows(n: int) -> pl.DataFrame:
    pairs = [text(i) for i in range(n)]
    worse = [f"{answer[: 2 * len(answer) // 3]} I think." for _, answer in pairs]
    return pl.DataFrame(
        {
            "row_id": [f"{i:08d}" for i in range(n)],
            "prompt": [prompt for prompt, _ in pairs],
            "response": [answer for _, answer in pairs],
            "chosen": [answer for _, answer in pairs],
            "rejected": worse,
        }
    ).with_columns(
        messages=pl.concat_list(
            pl.struct(role=pl.lit("user"), content=pl.col("prompt")),
            pl.struct(role=pl.lit("assistant"), content=pl.col("response")),
        )
    )


def measures(folder: Path) -> dict[str, tuple]:
    """Step and options; those of `DEFAULT` are what every instruction row gets."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from databuild.steps import all_steps

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [answer for _, answer in map(text, range(4000))]
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=2000, show_progress=False))
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    steps = all_steps()
    chosen = {
        "measure.basics": {"column": "response"},
        "measure.characters": {"column": "response"},
        "measure.language": {"column": "response"},
        "measure.markup": {},
        "measure.prompt": {},
        "measure.answer": {},
        "measure.arithmetic": {},
        "measure.reasoning": {},
        "measure.tokens": {"tokenizer": str(path)},
        "measure.pair": {},
        "measure.turns": {},
    }
    return {
        name: (
            steps[name].run,
            steps[name].config(**options),
            {"files": (path,)} if "files" in steps[name].needs else {},
        )
        for name, options in chosen.items()
    }


NOT_DEFAULT = {"measure.tokens", "measure.pair", "measure.turns"}


def seconds(work) -> float:
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def peers(rows: pl.DataFrame) -> dict[str, float | str]:
    """Microseconds a row of datatrove's filters for the same purposes."""
    try:
        from datatrove.data import Document
        from datatrove.pipeline.filters import GopherRepetitionFilter, LanguageFilter
        from datatrove.pipeline.filters.gopher_quality_filter import GopherQualityFilter
    except ImportError:
        return {}
    told: dict[str, float | str] = {}
    documents = [Document(text=text, id=str(i)) for i, text in enumerate(rows["response"])]
    for name, made in (
        ("datatrove GopherRepetitionFilter", GopherRepetitionFilter),
        ("datatrove GopherQualityFilter", GopherQualityFilter),
        ("datatrove LanguageFilter", LanguageFilter),
    ):
        try:
            one = made()
            one.filter(documents[0])
            used = seconds(lambda one=one: [one.filter(document) for document in documents])
            told[name] = round(1e6 * used / len(documents), 1)
        except (OSError, ImportError, ValueError, LookupError) as error:
            told[name] = f"not run: {type(error).__name__}: {str(error)[:80]}"
    return told


def known_peers(out: Path) -> dict[str, float | str]:
    """What an earlier run, in an environment with datatrove, wrote with `--peers`."""
    told = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    return dict(told.get("peers_cpu_microseconds_per_row", {}))


def write_peers(out: Path) -> None:
    """Renew the peers alone: databuild need not be installed."""
    told = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    told["peers_cpu_microseconds_per_row"] = peers(make_rows(2000))
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def main(out: Path, n: int) -> None:
    rows = make_rows(n)
    costs = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (run, config, given) in measures(Path(folder)).items():
            costs[name] = 1e6 * seconds(functools.partial(run, rows, config, **given)) / n
    default = sum(cost for name, cost in costs.items() if name not in NOT_DEFAULT)
    told = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, polars {pl.__version__}",
        "rows": n,
        "characters_per_row": round(
            rows.select(
                (pl.col("prompt").str.len_chars() + pl.col("response").str.len_chars()).mean()
            ).item()
        ),
        "cpu_microseconds_per_row": {name: round(cost, 1) for name, cost in costs.items()},
        "default_measures_rows_per_cpu_second": round(1e6 / default),
        "default_measures": sorted(costs.keys() - NOT_DEFAULT),
        "peers_cpu_microseconds_per_row": peers(rows.head(2000)) or known_peers(out),
    }
    if out.exists():  # tests/bench/juicer.py writes its part of this file
        known = json.loads(out.read_text(encoding="utf-8"))
        told |= {"data_juicer": known["data_juicer"]} if "data_juicer" in known else {}
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=1))


if __name__ == "__main__" and sys.argv[1:2] == ["--peers"]:
    write_peers(Path(*sys.argv[2:3] or [str(HERE / "measures.json")]))
elif __name__ == "__main__":
    main(
        Path(*sys.argv[1:2] or [str(HERE / "measures.json")]), int((sys.argv[2:3] or ["20000"])[0])
    )
