"""Reward scoring: `reward.model`'s batches beside a plain transformers loop in input order.

    python -m tests.bench.scoring --work DIR [--texts 96] [--layers 10] [--sources alpaca_en]

Both sides run in this process with two threads, on the same model (the first layers of
SmolLM2-135M-Instruct with a random reward head) and the same real answers (`preference_pairs` and
`alpaca_en` of the folder of real data, as they come), alternating, best of three, in CPU seconds of
all threads. The plain loop is the one of most model cards: batches of 16 in input order, padded to
the longest of the batch, the mask always given. Both tokenise. The rewards are compared. Writes the sources that are asked
for into scoring.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl

from databuild.models.packaged import packaged_folder
from databuild.models.scorer import Reading
from databuild.models.scorer_network import Network
from databuild.models.scorer_texts import batches

DATA = Path(os.environ.get("DATABUILD_TEST_DATA", "../shared/data"))
SOURCES = {
    "preference_pairs": ("prompt", "response_a"),
    "alpaca_en": ("instruction", "output"),
}
BATCH, LONGEST = 16, 1024
Talk = dict[str, Any]


def talks_of(name: str, n: int) -> list[Talk]:
    """Some of a table's prompts and answers, in a random order."""
    prompt, response = SOURCES[name]
    rows = pl.read_parquet(DATA / f"{name}.parquet").select(prompt, response).drop_nulls()
    drawn = rows.filter(pl.col(response).str.contains(r"\S")).sample(n, shuffle=True, seed=1)
    return [
        {
            "turns": [{"role": "user", "content": one}, {"role": "assistant", "content": other}],
            "tools": None,
        }
        for one, other in drawn.iter_rows()
    ]


def reward_folder(start: Path, layers: int, out: Path) -> Path:
    """The first layers of a language model with a random reward head."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(start, num_labels=1)
    config.num_hidden_layers = layers
    model = AutoModelForSequenceClassification.from_pretrained(
        start, config=config, dtype=torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(start)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def plain(network: Network, talks: list[Talk]) -> list[float]:
    """A plain transformers loop."""
    import torch

    tokenizer, model = network.tokenizer, network.network
    found: list[float] = []
    for first in range(0, len(talks), BATCH):
        texts = [
            tokenizer.apply_chat_template(talk["turns"], tokenize=False)
            for talk in talks[first : first + BATCH]
        ]
        given = tokenizer(
            texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt",
            add_special_tokens=False,
        )  # fmt: skip
        with torch.no_grad():
            found += model(**given).logits[:, 0].tolist()
    return found


def ours(network: Network, talks: list[Talk]) -> list[float]:
    """What the child process of `reward.model` does."""
    return [reward.score or 0.0 for reward in network.read(talks, Reading(max_length=LONGEST))]


def compared(network: Network, talks: list[Talk]) -> dict[str, Any]:
    """CPU seconds of both sides, alternating, best of three, and whether they agree."""
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    found: dict[str, list[float]] = {}
    for _ in range(3):
        for name, side in (("plain", plain), ("ours", ours)):
            begun = time.process_time()
            found[name] = side(network, talks)
            seconds[name].append(round(time.process_time() - begun, 2))
    rewards = network.read(talks, Reading(max_length=LONGEST))
    lengths = np.array([reward.n_tokens for reward in rewards])
    # Texts over the limit lose their end in the plain loop, their beginning here.
    whole = np.array([not reward.is_cut for reward in rewards])
    gap = np.abs(np.array(found["plain"]) - np.array(found["ours"]))[whole]
    best = {name: min(values) for name, values in seconds.items()}
    padded = sum(
        int(lengths[i : i + BATCH].max()) * len(lengths[i : i + BATCH])
        for i in range(0, len(lengths), BATCH)
    )
    return {
        "texts": len(talks),
        "tokens": int(lengths.sum()),
        "token_quantiles": [int(q) for q in np.quantile(lengths, [0.05, 0.5, 0.95, 1.0])],
        "padded_tokens_of_the_plain_loop": padded,
        "padded_tokens_of_ours": sum(
            len(batch) * int(lengths[batch].max())
            for batch in batches(lengths.tolist(), Reading(max_length=LONGEST).batch_tokens)
        ),
        "cpu_seconds": seconds,
        "tokens_per_cpu_second": {n: round(int(lengths.sum()) / s, 1) for n, s in best.items()},
        "times_faster": round(best["plain"] / best["ours"], 2),
        "largest_difference_of_rewards": float(f"{gap.max():.2g}"),
    }


def main() -> None:
    """Compare on each source, write."""
    told = argparse.ArgumentParser()
    told.add_argument("--work", type=Path, required=True)
    told.add_argument("--texts", type=int, default=96)
    told.add_argument("--layers", type=int, default=10)
    told.add_argument("--start", type=Path)
    told.add_argument("--sources", nargs="+", choices=SOURCES, default=[*SOURCES])
    asked = told.parse_args()
    import torch

    torch.set_num_threads(2)
    start = asked.start or packaged_folder(
        "smollm2-135m-instruct", asked.work / "start", log=asked.work / "log"
    )
    folder = reward_folder(start, asked.layers, asked.work / "scoring")
    network = Network(folder, "ForSequenceClassification", "cpu", "float32")
    results = Path(__file__).with_suffix(".json")
    known = json.loads(results.read_text("utf-8")) if results.exists() else {}
    facts = known | {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, 2 threads",
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "batch_of_the_plain_loop": BATCH,
        **{
            name: {"layers": asked.layers, **compared(network, talks_of(name, asked.texts))}
            for name in asked.sources
        },
    }
    text = json.dumps(facts, indent=1)
    results.write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
