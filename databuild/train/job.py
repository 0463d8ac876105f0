"""A training as its caller sees it: a description, a child process, a folder with the result."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from databuild import errors
from databuild.engine.child import Json, run_job
from databuild.errors import ServiceError
from databuild.train.memory import out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from databuild.train.options import TrainOptions

WORKERS = {
    "sft": "databuild.train.worker",
    "dpo": "databuild.train.worker",
    "reward": "databuild.train.reward_worker",
}
LOG = "train.log"
METRICS = "metrics.json"


@dataclass(frozen=True)
class Training:
    """What is to be trained.

    Attributes:
        kind: `sft`, `dpo` or `reward`.
        model: Hugging Face folder of the model to start from.
        rows: Parquet or JSONL file; see `databuild.train.examples.tokenise` for its columns.
        out: Folder for the result. Started again after a kill, it goes on from its last checkpoint.
        options: `SftOptions`, `DpoOptions` or `RewardOptions`.
        device: Where to train; `auto` takes a GPU where there is one.
        eval_rows: Rows to choose the best checkpoint by, instead of `options.eval_fraction`.
    """

    kind: Literal["sft", "dpo", "reward"]
    model: Path
    rows: Path
    out: Path
    options: TrainOptions
    device: Literal["auto", "cpu", "cuda"] = "auto"
    eval_rows: Path | None = None


def train(
    training: Training,
    *,
    where: str = "train",
    on_progress: Callable[[Json], None] | None = None,
) -> Json:
    """Train in a child process and return its metrics, which also lie in `out/metrics.json`.

    `out` then has `best/` and `final/` (whole Hugging Face models with tokenizer and chat template;
    without evaluation rows both are the same files), `adapter/` where adapters were trained, and
    `train.log`. The child's memory is free again afterwards, and it never outlives this process.

    Args:
        training: What to train.
        where: The step that errors name.
        on_progress: Gets `{"phase": ...}` as phases begin and, after every optimiser step, `step`,
            `total`, `loss`, `learning_rate`, `grad_norm`, `elapsed_s`.

    Raises:
        StepError: No row is left to train on.
        SchemaError: The rows lack a column.
        ServiceError: The training diverged, or the child died.
    """
    out = training.out
    longest: int | None = None

    def listen(message: Json) -> None:
        nonlocal longest
        longest = message.get("longest", longest)
        if on_progress is not None:
            on_progress(message)

    try:
        result = run_job(
            WORKERS[training.kind],
            _description(training),
            where=where,
            log=out / LOG,
            env=environment(),
            on_message=listen,
        )
    except ServiceError as error:
        if "killed by SIGKILL" not in error.what:
            raise
        raise out_of_memory(where, training.options, longest, error.what) from error
    trouble = result.get("error")
    if trouble is not None:
        kind: type[errors.DatabuildError] = getattr(errors, trouble["class"], ServiceError)
        raise kind(where, trouble["what"], fix=trouble["fix"])
    metrics: Json = result
    return metrics


def environment() -> dict[str, str]:
    """Return the variables that must stand before torch is imported.

    Idle OpenMP threads sleep instead of spinning beside other processes; freed memory is kept,
    which saves a quarter of a million page faults per step; nothing is fetched.
    """
    cores = str(len(os.sched_getaffinity(0)))
    return {
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": cores,
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
        "MALLOC_TOP_PAD_": str(64 << 20),
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "WANDB_DISABLED": "true",
        "PYTHONUNBUFFERED": "1",
    }


def _description(training: Training) -> dict[str, Any]:
    return {
        "kind": training.kind,
        "model": str(training.model.resolve()),
        "rows": str(training.rows.resolve()),
        "eval_rows": str(training.eval_rows.resolve()) if training.eval_rows else None,
        "out": str(training.out.resolve()),
        "options": training.options.model_dump(mode="json"),
        "device": training.device,
    }
