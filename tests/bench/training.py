"""Training tokens per CPU second: `train.sft` and `train.dpo` beside a plain TRL script.

    python tests/bench/training.py <model folder> <out.json> [rows] [runs] [sft,dpo,graded]

Both train the same LoRA of the same model on the same rows with the same settings (batch, learning rate, length, epochs, dtype,
threads, no gradient checkpointing), each in a process of its own with the same environment variables, in turns, `runs` times;
the best figure of each is kept. A run's figure is the tokens of its training rows (of a pair: prompt once, chosen, rejected)
over the CPU seconds of its whole process between the start of `trainer.train()` and its end; set-up and saving are given apart.
The kinds that are not asked for keep their figures in the file.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

SETTINGS: dict[str, Any] = {
    "learning_rate": 2e-4, "per_device_train_batch_size": 4, "num_train_epochs": 1.0,
    "gradient_accumulation_steps": 1, "warmup_steps": 0.1, "seed": 0,
}  # fmt: skip
WORDS = [
    *(
        "garden",
        "river",
        "music",
        "winter",
        "paper",
        "stone",
        "bread",
        "window",
        "answer",
        "little",
    ),
    *("quiet", "green", "seven", "open", "carry", "explain", "because", "often", "under", "bright"),
]


def table(kind: str, n: int) -> pl.DataFrame:
    """Made-up rows: prompts of 10 to 40 words, answers of 10 to 60."""
    draw = np.random.default_rng(0)

    def text(low: int, high: int) -> str:
        return " ".join(draw.choice(WORDS, size=int(draw.integers(low, high)))) + "."

    answers = ("response",) if kind == "sft" else ("chosen", "rejected")
    return pl.DataFrame(
        [
            {"row_id": f"{i:04d}", "prompt": text(10, 40), **{a: text(10, 60) for a in answers}}
            for i in range(n)
        ]
    )


def tokens_of(kind: str, model: Path, rows: pl.DataFrame) -> int:
    """The tokens of all rows, as they are trained on."""
    from databuild.train.examples import tokenise
    from databuild.train.trainers import load_tokenizer

    made = tokenise(rows, "sft" if kind == "sft" else "dpo", load_tokenizer(model), 512)
    return sum(made.lengths())


def ours(kind: str, model: Path, rows: Path, out: Path) -> dict[str, float]:
    """Train as databuild's child process does."""
    from databuild.train import trainers
    from databuild.train.options import DpoOptions, SftOptions
    from databuild.train.work import Work
    from databuild.train.worker import _examples

    graded = {"weight": "w", "margin": "m"} if kind == "graded" else {}
    options = (SftOptions if kind == "sft" else DpoOptions).model_validate(
        {**SETTINGS, "max_length": 512, "dtype": "float32", **graded}
    )
    work = Work(
        kind="sft" if kind == "sft" else "dpo", options=options, model=model, rows=rows, eval_rows=None,
        out=out, device="cpu", tell=lambda _: None, started=time.monotonic(),
    )  # fmt: skip
    tokenizer = trainers.load_tokenizer(model)
    trainer = trainers.build(work, tokenizer, *_examples(work, tokenizer))
    return timed(trainer)


def theirs(kind: str, model: Path, rows: Path, out: Path) -> dict[str, float]:
    """Train as TRL's documentation does."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    found = pl.read_parquet(rows)
    talks: list[dict[str, Any]] = []
    for row in found.iter_rows(named=True):
        told: dict[str, Any] = {"prompt": [{"role": "user", "content": row["prompt"]}]}
        names = (
            {"response": "completion"}
            if kind == "sft"
            else {"chosen": "chosen", "rejected": "rejected"}
        )
        for name, column in names.items():
            told[column] = [{"role": "assistant", "content": row[name]}]
        talks.append(told)
    settings = {
        **SETTINGS, "output_dir": str(out), "max_length": 512, "bf16": False, "use_cpu": True,
        "gradient_checkpointing": False, "report_to": "none", "save_strategy": "no",
        "logging_steps": 1, "disable_tqdm": True,
    }  # fmt: skip
    config: Any = SFTConfig(**settings) if kind == "sft" else DPOConfig(**settings)
    trainer: Any = (SFTTrainer if kind == "sft" else DPOTrainer)(
        str(model), args=config, train_dataset=Dataset.from_list(talks),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )  # fmt: skip
    return timed(trainer)


def timed(trainer: Any) -> dict[str, float]:
    """CPU seconds of this process, all threads, until now and while training."""
    before = time.process_time()
    trainer.train()
    return {"setup_cpu_s": before, "training_cpu_s": time.process_time() - before}


def one(side: str, kind: str, model: Path, rows: Path) -> dict[str, float]:
    """One run in a process of its own."""
    from databuild.train.job import environment

    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, __file__, "-", side, kind, str(model), str(rows), out]
        env = {**os.environ, **environment()}
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(kind: str, model: Path, n: int, times: int, folder: Path) -> dict[str, Any]:
    """Both sides in turns; graded DPO has no counterpart, and is set beside TRL's plain DPO."""
    rows = table(kind, n).with_columns(w=pl.int_range(n) % 4 + 1.0, m=pl.int_range(n) % 3 / 4)
    path = folder / f"{kind}.parquet"
    rows.write_parquet(path)
    tokens = tokens_of(kind, model, rows)
    runs: dict[str, list[dict[str, float]]] = {"databuild": [], "trl": []}
    for _ in range(times):
        for side, done in runs.items():
            done.append(one(side, kind, model, path))
    facts: dict[str, Any] = {"rows": n, "tokens": tokens, "runs": times}
    for side, found in runs.items():
        best = min(found, key=lambda run: run["training_cpu_s"])
        facts[side] = {name: round(value, 1) for name, value in best.items()}
        facts[side]["tokens_per_cpu_s"] = round(tokens / best["training_cpu_s"], 1)
    facts["ratio"] = round(
        facts["databuild"]["tokens_per_cpu_s"] / facts["trl"]["tokens_per_cpu_s"], 2
    )
    return facts


def main() -> None:
    """Measure and write the file, or be one of the runs."""
    if sys.argv[1] == "-":
        side, kind, *paths = sys.argv[2:]
        work = ours if side == "databuild" else theirs
        told = work(kind, *map(Path, paths))
        sys.stdout.write("\n" + json.dumps(told) + "\n")
        return
    model, out = Path(sys.argv[1]), Path(sys.argv[2])
    n, times = (*map(int, sys.argv[3:5]), *(16, 3)[len(sys.argv[3:5]) :])
    kinds = sys.argv[5].split(",") if len(sys.argv) > 5 else ["sft", "dpo", "graded"]
    known = json.loads(out.read_text("utf-8"))["figures"] if out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        figures = known | {kind: compare(kind, model, n, times, Path(folder)) for kind in kinds}
    facts = {
        "model": model.name.partition("@")[0],
        "settings": {**SETTINGS, "lora": "r 16, all linear layers", "dtype": "float32"},
        "figures": figures,
        "machine": {"cores": os.cpu_count(), "processor": platform.machine()},
        "versions": {name: version(name) for name in ("torch", "transformers", "trl", "peft")},
        "date": datetime.now(UTC).date().isoformat(),
    }
    out.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
