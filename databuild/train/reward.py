"""`train.reward`: a reward model from pairs, with TRL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from databuild import errors
from databuild.engine.child import Json, run_job
from databuild.engine.step import step
from databuild.errors import ServiceError, StepError
from databuild.models.fake_training import fake_options_of, train_fake
from databuild.recipe.options import ModelRef
from databuild.train.examples import TALKS
from databuild.train.job import LOG, METRICS, environment
from databuild.train.reward_options import RewardOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

    from databuild.engine.resources import Progress

WORKER = "databuild.train.reward_worker"
_RESULTS = ("best", "final", "adapter", METRICS, LOG)


class RewardConfig(RewardOptions):
    """Options of `train.reward`, with the names of Hugging Face and TRL."""

    model: ModelRef
    """The model to start from: a language model, which gets a reward head, or a reward model."""


@step(
    "train.reward",
    kind="train",
    sees="table",
    version=1,
    reads=("prompt", "chosen", "rejected", "*"),
)
def train_reward(
    rows: pl.DataFrame,
    config: RewardConfig,
    *,
    model: Path,
    scratch: Path,
    out: Path,
    device: Literal["cpu", "cuda"],
    progress: Progress,
) -> dict[str, Any]:
    """Teach a model to give chosen answers more reward than rejected ones; `reward.model` reads it.

    Args:
        rows: `prompt`, `chosen` and `rejected`, as text or lists of turns. `messages`,
            `chosen_messages` and `rejected_messages` stand for them where they are not null.
        config: See `RewardConfig`.
        model: Folder of the model to start from.
        scratch: Where checkpoints lie until the step is complete.
        out: Gets `best/`, `final/`, `adapter/`, `metrics.json` and the log.
        device: Where to train.
        progress: Told of every optimiser step.

    Returns:
        `held_out` and `trained`: accuracy, AUC and what length alone would give, on the held-back
        prompts and on a sample of the training pairs; `overfit`, which says so or is None;
        `rows_used`, `rows_evaluated`, `rows_skipped` (row_id and reason); losses, seconds.

    Raises:
        StepError: There is no pair to train on, or the model is a classifier of several labels.
        ServiceError: The training diverged, or its process died.
    """
    where = "train.reward"
    if rows.is_empty():
        fix = "look with `databuild status` at what the steps before dropped"
        raise StepError(where, "there are no rows to train on", fix=fix)
    fake = fake_options_of(model)
    if fake is not None:
        return train_fake(fake, rows.height, config.seed, out)
    _check_start(model, where)
    table, folder = scratch / "rows.parquet", scratch / "training"
    named = ("row_id", "prompt", "chosen", "rejected", *TALKS, config.margin, config.weight)
    kept = [name for name in dict.fromkeys(named) if name in rows.columns]
    rows.select(kept).sort("row_id").write_parquet(table)
    options = RewardOptions.model_validate(config.model_dump(exclude={"model"}))
    metrics = fit_reward_model(
        table, model, folder, options, device=device, where=where, on_progress=_teller(progress)
    )
    for name in _RESULTS:
        if (folder / name).exists():
            (folder / name).replace(out / name)
    return metrics


def _check_start(model: Path, where: str) -> None:
    told = json.loads((model / "config.json").read_text("utf-8"))
    is_classifier = any("Classification" in str(name) for name in told.get("architectures") or ())
    n_labels = len(told.get("id2label") or {}) or int(told.get("num_labels", 2))
    if is_classifier and n_labels != 1:
        what = f"the model to start from is a classifier with {n_labels} labels"
        fix = "start from a language model, or from a reward model with one label"
        raise StepError(where, what, fix=fix)


def fit_reward_model(
    rows: Path,
    model: Path,
    out: Path,
    options: RewardOptions,
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    where: str = "train.reward",
    on_progress: Callable[[Json], None] | None = None,
) -> Json:
    """Train in a child process; the same job in the same folder goes on, or is returned at once.

    Args:
        rows: Parquet or JSONL file of pairs.
        model: Folder of the model to start from.
        out: Gets what `train_reward` describes.
        options: See `RewardOptions`.
        device: Where to train; `auto` takes a GPU where there is one.
        where: The step that errors name.
        on_progress: Gets phases, and after every optimiser step its number, loss and accuracy.

    Raises:
        StepError: There is no pair to train on.
        SchemaError: A column is missing.
        ServiceError: The training diverged, or the child died.
    """
    job = {
        "model": str(model.resolve()), "rows": str(rows.resolve()), "out": str(out.resolve()),
        "options": options.model_dump(mode="json"), "device": device,
    }  # fmt: skip
    result = run_job(
        WORKER, job, where=where, log=out / LOG, env=environment(), on_message=on_progress
    )
    trouble = result.get("error")
    if trouble is not None:
        kind: type[errors.DatabuildError] = getattr(errors, trouble["class"], ServiceError)
        raise kind(where, trouble["what"], fix=trouble["fix"])
    return dict(result)


def _teller(progress: Progress) -> Callable[[Json], None]:
    told = 0

    def tell(message: Json) -> None:
        nonlocal told
        if "step" in message and "total" in message:
            if not told:
                progress.total(int(message["total"]), "steps")
            progress.tick(int(message["step"]) - told, _note(message))
            told = int(message["step"])

    return tell


def _note(message: Json) -> str:
    if "eval_accuracy" in message:
        return f"held-out accuracy {message['eval_accuracy']:.3f}"
    return f"loss {message.get('loss', float('nan')):.3f}"
