"""What a linear head on frozen features finds: the sanity check beside reward_model.json.

    python -m tests.bench.reward_probe --work DIR --start FOLDER [--train 150] [--ranked 110]

The halves and the measures are those of `reward_model`. Every solution is read once by
the first 16 of SmolLM2-135M-Instruct's 30 layers (the question as the user's turn, the solution as the answer); its
features are the states of a layer at the last token of the solution, or their mean over its tokens.
A Bradley-Terry head without bias is fitted on the pairs of a right and a wrong solution of one
question: it minimises mean softplus(-w(x - y)) + penalty |w|^2 on standardised features. Layer,
pooling and penalty are chosen by five-fold cross-validation over questions of the training half,
ranked by the share of pairs in the right order; the other half is looked at once, with the one that
was chosen. Writes reward_probe.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl

from tests.bench.reward_model import halves, with_intervals

LAYERS = (4, 8, 12, 16)
POOLED = ("last", "mean")
PENALTIES = (0.01, 0.1, 1.0)
FOLDS, BATCH = 5, 8
Matrix = np.ndarray[Any, Any]


def read(rows: pl.DataFrame, start: Path) -> dict[tuple[int, str], Matrix]:
    """The features of all solutions, by layer and pooling."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(start)
    model = AutoModel.from_pretrained(start, dtype=torch.float32).eval()
    asked, whole = [], []
    for question, solution in rows.select("question", "solution").iter_rows():
        turns = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        asked.append(len(tokenizer(text)["input_ids"]))
        whole.append(tokenizer(text + solution)["input_ids"])
    width = model.config.hidden_size
    model.layers = model.layers[: max(LAYERS)]
    found = {
        (layer, how): np.zeros((rows.height, width), np.float32)
        for layer in LAYERS
        for how in POOLED
    }
    order = sorted(range(rows.height), key=lambda i: len(whole[i]))
    for first in range(0, len(order), BATCH):
        some = order[first : first + BATCH]
        given = tokenizer.pad({"input_ids": [whole[i] for i in some]}, return_tensors="pt")
        with torch.inference_mode():
            states = model(**given, output_hidden_states=True).hidden_states
        for layer in LAYERS:
            for row, i in enumerate(some):
                own = states[layer][row, asked[i] : len(whole[i])]
                found[layer, "last"][i] = own[-1].numpy()
                found[layer, "mean"][i] = own.mean(0).numpy()
    return found


def couples(rows: pl.DataFrame) -> tuple[Matrix, Matrix, Matrix]:
    """Places of the right and the wrong solution of every pair of one question, and its number."""
    placed = rows.with_row_index("place").with_columns(q=pl.col("question").rank("dense"))
    both = placed.filter("is_correct").join(
        placed.filter(~pl.col("is_correct")), on="question", suffix="_w"
    )
    both = both.sort("place", "place_w")
    return both["place"].to_numpy(), both["place_w"].to_numpy(), both["q"].to_numpy()


def fitted(gaps: Matrix, penalty: float) -> Matrix:
    """The head: Newton's method, as the loss is convex and the features are few."""
    weights = np.zeros(gaps.shape[1])
    for _ in range(12):
        chance = 1 / (1 + np.exp(np.clip(gaps @ weights, -30, 30)))
        slope = -gaps.T @ chance / len(gaps) + 2 * penalty * weights
        bend = (gaps * (chance * (1 - chance))[:, None]).T @ gaps / len(gaps)
        step = np.linalg.solve(bend + 2 * penalty * np.eye(len(weights)), slope)
        weights -= step
        if np.abs(step).max() < 1e-4:
            break
    return weights


def chosen(features: dict[tuple[int, str], Matrix], rows: pl.DataFrame) -> dict[str, Any]:
    """Every choice of layer, pooling and penalty, by cross-validation, the best first."""
    right, wrong, questions = couples(rows)
    numbers = np.unique(questions)
    fold_of = dict(
        zip(
            np.random.default_rng(0).permutation(numbers),
            np.arange(len(numbers)) % FOLDS,
            strict=True,
        )
    )
    folds = np.array([fold_of[q] for q in questions])
    tried = []
    for (layer, how), raw in features.items():
        scaled = raw / raw.std(0).clip(1e-6)
        gaps = scaled[right] - scaled[wrong]
        for penalty in PENALTIES:
            wins = [
                gaps[folds == fold] @ fitted(gaps[folds != fold], penalty) > 0
                for fold in range(FOLDS)
            ]
            share = float(np.concatenate(wins).mean())
            tried.append(
                {"layer": layer, "pooled": how, "penalty": penalty, "right": round(share, 4)}
            )
    tried.sort(key=lambda one: -one["right"])
    return {"pairs": len(right), "best": tried[0], "tried": tried}


def main() -> None:
    """Read, choose, fit, rank the other half."""
    told = argparse.ArgumentParser()
    told.add_argument("--work", type=Path, required=True)
    told.add_argument("--start", type=Path, required=True)
    told.add_argument("--train", type=int, default=150, help="questions to fit on")
    told.add_argument("--ranked", type=int, default=110, help="questions of the second half")
    asked = told.parse_args()
    parts = []
    for rows, n in zip(halves(0), (asked.train, asked.ranked), strict=True):
        drawn = rows["question"].unique().sort().sample(n, shuffle=True, seed=0)
        parts.append(rows.filter(pl.col("question").is_in(drawn.implode())))
    begun = time.process_time()
    asked.work.mkdir(parents=True, exist_ok=True)
    kept = asked.work / f"features-{asked.train}-{asked.ranked}.npz"
    if kept.exists():
        with np.load(kept) as file:
            made = {(layer, how): file[f"{layer}{how}"] for layer in LAYERS for how in POOLED}
    else:
        made = read(pl.concat(parts), asked.start)
        np.savez(kept, **{f"{layer}{how}": values for (layer, how), values in made.items()})
    first, test = parts
    reading = time.process_time() - begun
    own = {name: values[: first.height] for name, values in made.items()}
    choice = chosen(own, first)
    best = choice["best"]
    raw = made[best["layer"], best["pooled"]]
    scaled = raw / raw[: first.height].std(0).clip(1e-6)
    right, wrong, _ = couples(first)
    weights = fitted(scaled[right] - scaled[wrong], best["penalty"])
    ranked = test.with_columns(
        reward=pl.Series(scaled[first.height :] @ weights),
        length=-pl.col("solution").str.len_chars().cast(pl.Int64),
    )
    facts = {
        "what": __doc__.splitlines()[0] if __doc__ else "",
        "reading_cpu_s": round(reading, 1),
        "questions": {"train": asked.train, "test": asked.ranked},
        "solutions": {"train": first.height, "test": test.height},
        "chosen_by_cross_validation": choice,
        "auc": with_intervals(ranked),
    }
    text = json.dumps(facts, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
