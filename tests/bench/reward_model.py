"""A reward model trained on half of real graded solutions: does it rank the other half?

    python -m tests.bench.reward_model --work DIR [--layers 4] [--pairs 320] [--ranked 160]

`gsm8k_best_of_4.parquet` (four models' solutions of each question, each right or wrong) is split
by question. Of the first half pairs are made: a right over a wrong solution of the same question,
and a right over a wrong solution of one model to two questions, so that rewards can be compared
across questions. `train.reward` learns from them, from the first layers of SmolLM2-135M-Instruct;
`reward.model` reads the second half. Reported, with 95 % intervals from resampling questions:

- AUC of right over wrong among the solutions of one model, beside that of length alone (the shorter
  is taken for right);
- the share of couples of a right and a wrong solution of one question that are ranked right;
- AUC within one model among couples of about the same length, where length alone says nothing.

Killed, it goes on where it was. Writes reward_model.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.engine.journal import Journal
from databuild.models.packaged import packaged_folder
from databuild.models.scorer import Reading, Scoring
from databuild.models.scorer_process import RewardModel
from databuild.train.reward import fit_reward_model
from databuild.train.reward_judging import auc
from databuild.train.reward_options import RewardOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        reward=pl.Series(rewards, dtype=pl.Float64), length=-pl.col("solution").str.len_chars()
    )


def measures(rows: pl.DataFrame, by: str) -> dict[str, float]:
    """AUC within each model, their mean, and the share of couples of one question ranked right."""
    found: dict[str, float] = {}
    for name in sorted(rows["model"].unique()):
        one = rows.filter(model=name)
        score, right = one[by].to_numpy().astype(float), one["is_correct"].to_numpy()
        found[name] = auc(score[right], score[~right])
    found["mean"] = float(np.mean(list(found.values())))
    couples = rows.filter("is_correct").join(
        rows.filter(~pl.col("is_correct")), on="question", suffix="_w"
    )
    gap = (couples[by] - couples[f"{by}_w"]).to_numpy()
    found["one question"] = float(np.mean((gap > 0) + 0.5 * (gap == 0)))
    return found


def alike(rows: pl.DataFrame, by: str) -> float:
    """AUC among couples of one model whose lengths are about the same, mean of the models."""
    shares = []
    for name in rows["model"].unique().sort():
        one = rows.filter(model=name)
        right, length = one["is_correct"].to_numpy(), -one["length"].to_numpy().astype(float)
        score = one[by].to_numpy().astype(float)
        ratio = length[right][:, None] / length[~right][None, :]
        near = np.abs(np.log(ratio)) <= np.log1p(SAME_LENGTH)
        gap: NDArray[Any] = score[right][:, None] - score[~right][None, :]
        shares.append(float(np.mean(((gap > 0) + 0.5 * (gap == 0))[near])))
    return float(np.mean(shares))


def with_intervals(rows: pl.DataFrame, by: str, seed: int) -> dict[str, Any]:
    """Every measure with its 95 % percentile interval over resampled questions."""
    groups = rows.partition_by("question", maintain_order=True)
    rng = np.random.default_rng(seed)
    point = {**measures(rows, by), "one model, same length": alike(rows, by)}
    drawn: dict[str, list[float]] = {name: [] for name in point}
    for _ in range(RESAMPLES):
        picked = rng.integers(len(groups), size=len(groups))
        # A question drawn twice is two questions: couples are made within each.
        again = pl.concat(
            groups[g].with_columns(question=pl.lit(str(n))) for n, g in enumerate(picked)
        )
        for name, value in measures(again, by).items():
            drawn[name].append(value)
    return {
        name: {
            "value": round(value, 4),
            **(
                {"interval": [round(float(v), 4) for v in np.quantile(drawn[name], [0.025, 0.975])]}
                if drawn[name]
                else {}
            ),
        }
        for name, value in point.items()
    }


def main() -> None:
    """Train, score, measure, write."""
    told = argparse.ArgumentParser()
    told.add_argument("--work", type=Path, required=True)
    told.add_argument("--layers", type=int, default=4)
    told.add_argument("--pairs", type=int, default=320)
    told.add_argument("--ranked", type=int, default=160, help="questions of the second half")
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--epochs", type=float, default=1.0)
    told.add_argument("--start", type=Path)
    asked = told.parse_args()
    work = asked.work
    work.mkdir(parents=True, exist_ok=True)
    train, test = halves(0)
    drawn = test["question"].unique().sort().sample(asked.ranked, shuffle=True, seed=0)
    test = test.filter(pl.col("question").is_in(drawn.implode()))
    pairs = pairs_of(train, 0)
    pairs = pairs.sample(min(asked.pairs, pairs.height), shuffle=True, seed=0)
    pairs.write_parquet(work / "pairs.parquet")
    start = asked.start or packaged_folder(START, work / "start", log=work / "start.log")
    options = RewardOptions(
        first_layers=asked.layers, learning_rate=1e-3, num_train_epochs=asked.epochs,
        max_length=400, eval_fraction=0.0, save_steps=0.1, seed=asked.seed,
        per_device_train_batch_size=8,
    )  # fmt: skip
    metrics = fit_reward_model(
        work / "pairs.parquet", start, work / "rm", options, device="cpu", on_progress=_tell
    )
    rows = scored(test, work / "rm" / "best", work, 400)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {
        "what": __doc__.splitlines()[0] if __doc__ else "",
        "start": START,
        "layers": asked.layers,
        "seed": asked.seed,
        "options": options.model_dump(mode="json"),
        "pairs": metrics["rows_used"],
        "pairs_left_out": len(metrics["rows_skipped"]),
        "cpu_seconds": {
            "training": metrics["seconds"]["cpu"],
            "resumed_from_step": metrics["resumed_from_step"],
            "all_children_of_this_run": round(usage.ru_utime + usage.ru_stime, 1),
        },
        "trained": metrics["trained"],
        "questions": {"train": train["question"].n_unique(), "test": test["question"].n_unique()},
        "solutions_ranked": rows.height,
        "unscored": rows["reward"].null_count(),
        "reward": with_intervals(rows.drop_nulls("reward"), "reward", 0),
        "length_alone": with_intervals(rows, "length", 0),
    }
    text = json.dumps(facts, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n", "utf-8")
    rows.write_parquet(work / "scored.parquet")
    print(text)


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
