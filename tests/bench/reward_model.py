"""A reward model trained on half of real graded solutions: does it rank the other half?

    python -m tests.bench.reward_model --work DIR [--layers 4] [--pairs 320] [--ranked 160]
    python -m tests.bench.reward_model --work DIR --layers 30 --lora-from 20 --within

`gsm8k_best_of_4.parquet` (four models' solutions of each question, each right or wrong) is split
by question. Of the first half pairs are made: a right over a wrong solution of the same question,
and a right over a wrong solution of one model to two questions, so that rewards can be compared
across questions. With `--within` only the former are made, every one, and as many of them where the
right solution is the longer one as where it is the shorter one, so that length teaches nothing.
`train.reward` learns from them, from the first layers of SmolLM2-135M-Instruct; `reward.model`
reads the second half. Reported, with 95 % intervals from resampling questions:

- AUC of right over wrong among the solutions of one model, beside that of length alone (the shorter
  is taken for right);
- the share of couples of a right and a wrong solution of one question that are ranked right;
- AUC within one model among couples of about the same length, where length alone says little.

Killed, it goes on where it was. Adds a run to reward_model.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from databuild.engine.journal import Journal
from databuild.models.packaged import packaged_folder
from databuild.models.scorer import Reading, Scoring
from databuild.models.scorer_process import RewardModel
from databuild.train.job import Training, train
from databuild.train.options import LoraOptions
from databuild.train.reward_options import RewardOptions

DATA = Path(os.environ.get("DATABUILD_TEST_DATA", "../shared/data")) / "gsm8k_best_of_4.parquet"
START = "smollm2-135m-instruct"
RESAMPLES = 1000
SAME_LENGTH = 0.1
"""Two solutions are of about the same length where theirs differ by at most this share."""


def halves(seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The solutions of the questions to train on, and of those to rank."""
    rows = pl.read_parquet(DATA).with_row_index("number")
    questions = rows["question"].unique().sort()
    drawn = np.random.default_rng(seed).permutation(len(questions))[: len(questions) // 2]
    is_train = pl.col("question").is_in(questions[drawn].implode())
    return rows.filter(is_train), rows.filter(~is_train)


def pairs_within(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Every pair of one question, but as many with a longer as with a shorter right solution."""
    right, wrong = rows.filter("is_correct"), rows.filter(~pl.col("is_correct"))
    both = right.join(wrong, on="question", suffix="_w").sort("number", "number_w")
    gap = pl.col("solution").str.len_chars().cast(pl.Int64) - pl.col("solution_w").str.len_chars()
    signs = [both.filter(gap > 0), both.filter(gap < 0)]
    n = min(part.height for part in signs)
    return pl.concat([part.sample(n, shuffle=True, seed=seed) for part in signs]).select(
        row_id=pl.format("{}-{}", "number", "number_w"),
        prompt="question",
        chosen="solution",
        rejected="solution_w",
    )


def pairs_of(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """A pair of each question that has both, and for each model pairs across questions."""
    right, wrong = rows.filter("is_correct"), rows.filter(~pl.col("is_correct"))
    both = right.join(wrong, on="question", suffix="_w").sample(
        fraction=1.0, shuffle=True, seed=seed
    )
    within = both.unique("question", keep="first", maintain_order=True).select(
        row_id=pl.format("{}-{}", "number", "number_w"),
        prompt="question",
        chosen="solution",
        rejected="solution_w",
    )
    across = []
    for name in rows["model"].unique().sort():
        one, other = (part.filter(model=name) for part in (right, wrong))
        n = min(one.height, other.height)
        one, other = (part.sample(n, shuffle=True, seed=seed) for part in (one, other))
        across.append(
            pl.DataFrame(
                {
                    "row_id": [
                        f"{a}x{b}" for a, b in zip(one["number"], other["number"], strict=True)
                    ],
                    "chosen_messages": _talks(one),
                    "rejected_messages": _talks(other),
                }
            )
        )
    return pl.concat([within, *across], how="diagonal").sort("row_id")


def _talks(rows: pl.DataFrame) -> list[list[dict[str, str]]]:
    return [
        [{"role": "user", "content": question}, {"role": "assistant", "content": solution}]
        for question, solution in rows.select("question", "solution").iter_rows()
    ]


def scored(rows: pl.DataFrame, model: Path, work: Path, length: int) -> pl.DataFrame:
    """The rows with their `reward`, read through the journal."""
    journal = Journal(work / "journal")
    reader = RewardModel(model, log=work / "scorer.log", where="bench")
    talks = [json.dumps({"turns": turns, "tools": None}) for turns in _talks(rows)]
    asked = Scoring(lambda: reader, journal, str((model / "model.safetensors").stat().st_mtime_ns))
    rewards: list[float | None] = []
    for first in range(0, len(talks), 128):
        part = asked(talks[first : first + 128], Reading(max_length=length, batch_tokens=4096))
        rewards += [one.score for one in part]
    reader.close()
    journal.close()
    return rows.with_columns(
        reward=pl.Series(rewards, dtype=pl.Float64),
        length=-pl.col("solution").str.len_chars().cast(pl.Int64),
    )


def couples(rows: pl.DataFrame, by: str) -> dict[str, tuple[Any, Any, Any]]:
    """Of each measure its couples of a right and a wrong solution: win, and both questions."""
    numbers = rows.with_columns(q=pl.col("question").rank("dense") - 1)
    right, wrong = numbers.filter("is_correct"), numbers.filter(~pl.col("is_correct"))
    made = {}
    for name in sorted(rows["model"].unique()):
        both = right.filter(model=name).join(wrong.filter(model=name), how="cross", suffix="_w")
        made[name] = both
    every = pl.concat(made.values())
    near = (pl.col("length") / pl.col("length_w")).log().abs() <= np.log1p(SAME_LENGTH)
    made["all models, each within"] = every
    made["each within, same length"] = every.filter(near)
    made["one question"] = right.join(wrong, on="question", suffix="_w")
    gap = pl.col(by) - pl.col(f"{by}_w")
    win = (gap > 0).cast(pl.Float64) + 0.5 * (gap == 0)
    return {
        name: tuple(both.select(win.alias("win"), "q", "q_w").to_numpy().T)
        for name, both in made.items()
    }


def resampled(rows: pl.DataFrame, by: str, seed: int) -> dict[str, tuple[float, Any, int]]:
    """Every measure, its values over resampled questions, and its number of couples."""
    n = rows["question"].n_unique()
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
    found = {}
    for name, (win, one, other) in couples(rows, by).items():
        same = name == "one question"
        first, second = one.astype(int), other.astype(int)
        values = []
        for times in draws:
            weight = times[first] if same else times[first] * times[second]
            values.append(float((weight * win).sum() / weight.sum()))
        found[name] = (float(win.mean()), np.array(values), len(win))
    return found


def with_intervals(rows: pl.DataFrame) -> dict[str, Any]:
    """Reward, length alone and their difference, with 95 % percentile intervals."""
    reward, length = resampled(rows, "reward", 0), resampled(rows, "length", 0)
    found: dict[str, Any] = {}
    for name, (value, values, n) in reward.items():
        other, others, _ = length[name]
        found[name] = {
            "couples": n,
            "reward": _interval(value, values),
            "length_alone": _interval(other, others),
            "difference": _interval(value - other, values - others),
        }
    return found


def _interval(value: float, values: Any) -> list[float]:
    low, high = np.nanquantile(values, [0.025, 0.975])  # a draw of questions may have no couple
    return [round(float(one), 4) for one in (value, low, high)]


def main() -> None:
    """Train, score, measure, write."""
    told = argparse.ArgumentParser()
    told.add_argument("--work", type=Path, required=True)
    told.add_argument("--layers", type=int, default=4)
    told.add_argument("--pairs", type=int, default=320)
    told.add_argument("--ranked", type=int, default=160, help="questions of the second half")
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--epochs", type=float, default=1.0)
    told.add_argument("--rate", type=float, default=1e-3)
    told.add_argument("--lora-from", type=int, default=0, help="first layer with an adapter")
    told.add_argument("--within", action="store_true", help="only pairs of one question")
    told.add_argument("--start", type=Path)
    told.add_argument("--trained", type=Path, help="rank with this reward model, train none")
    asked = told.parse_args()
    work = asked.work
    work.mkdir(parents=True, exist_ok=True)
    first, test = halves(0)
    drawn = test["question"].unique().sort().sample(asked.ranked, shuffle=True, seed=0)
    test = test.filter(pl.col("question").is_in(drawn.implode()))
    pairs = (pairs_within if asked.within else pairs_of)(first, 0)
    pairs = pairs.sample(min(asked.pairs, pairs.height), shuffle=True, seed=0)
    pairs.write_parquet(work / "pairs.parquet")
    start = asked.start or packaged_folder(START, work / "start", log=work / "start.log")
    options = RewardOptions(
        first_layers=asked.layers, learning_rate=asked.rate, num_train_epochs=asked.epochs,
        lora=LoraOptions(layers_to_transform=tuple(range(asked.lora_from, asked.layers)) or None),
        max_length=400, eval_fraction=0.0, save_steps=0.1, seed=asked.seed,
        per_device_train_batch_size=8,
    )  # fmt: skip
    metrics: dict[str, Any] = {"options": options.model_dump(mode="json")}
    if asked.trained is None:
        training = Training(
            "reward", model=start, rows=work / "pairs.parquet", out=work / "rm", options=options,
            device="cpu",
        )  # fmt: skip
        metrics = train(training, on_progress=_tell)
    model = asked.trained or work / "rm" / "best"
    rows = scored(test, model, work, 400)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {
        "what": __doc__.splitlines()[0] if __doc__ else "",
        "start": START,
        "layers": asked.layers,
        "adapters_from_layer": asked.lora_from,
        "pairs_are": "of one question, balanced in length" if asked.within else "of both kinds",
        "seed": asked.seed,
        "pairs": pairs.height,
        "training": {
            name: metrics[name]
            for name in ("options", "rows_used", "seconds", "resumed_from_step", "trained")
            if name in metrics
        },
        "cpu_seconds_of_this_runs_children": round(usage.ru_utime + usage.ru_stime, 1),
        "questions": {"train": first["question"].n_unique(), "test": test["question"].n_unique()},
        "solutions_ranked": rows.height,
        "unscored": rows["reward"].null_count(),
        "auc": with_intervals(rows.drop_nulls("reward")),
    }
    text = json.dumps(facts, indent=1)
    place = Path(__file__).with_suffix(".json")
    runs = json.loads(place.read_text("utf-8"))["runs"] if place.exists() else []
    place.write_text(json.dumps({"runs": [*runs, facts]}, indent=1) + "\n", "utf-8")
    rows.write_parquet(work / "scored.parquet")
    print(text)


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
