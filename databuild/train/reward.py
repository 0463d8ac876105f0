"""`train.reward`: a reward model from pairs, with TRL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from databuild.engine.step import step
from databuild.errors import StepError
from databuild.models.fake_training import fake_options_of
from databuild.recipe.options import ModelRef
from databuild.train.quantizing import check_installed
from databuild.train.reward_options import RewardOptions
from databuild.train.table import train_on

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from databuild.engine.resources import Progress


class RewardConfig(RewardOptions):
    """Options of `train.reward`, with the names of Hugging Face and TRL."""

    model: ModelRef
    """The model to start from: a language model, which gets a reward head, or a reward model."""


@step(
    "train.reward",
    kind="train",
    sees="table",
    version=2,
    reads=("prompt", "chosen", "rejected", "*"),
    checks=lambda config, _files: check_installed(config.quantization, "train.reward"),
)
def train_reward(
    rows: pl.DataFrame,
    config: RewardConfig,
    dev: pl.DataFrame | None = None,
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
        dev: Pairs of other prompts to choose `best/` and to stop early by, instead of
            `eval_fraction` of the prompts.
        model: Folder of the model to start from.
        scratch: Where checkpoints lie until the step is complete.
        out: Gets `best/`, `final/`, `adapter/`, `metrics.json`, `curves.svg` and the log.
        device: Where to train.
        progress: Told of every optimiser step.

    Returns:
        `held_out` and `trained`: accuracy, AUC and what length alone would give, on the held-back
        prompts and on a sample of the training pairs; `overfit`, which says so or is None;
        `rows_used`, `rows_evaluated`, `rows_skipped` (row_id and reason); losses, seconds.

    Raises:
        StepError: There is no pair to train on, none to stop early by, or the model is a classifier
            of several labels.
        ServiceError: The training diverged, ran out of memory, or its process died.
    """
    if fake_options_of(model) is None:
        _check_start(model, "train.reward")
    options = RewardOptions.model_validate(config.model_dump(exclude={"model"}))
    return train_on(
        rows, options, dev, model=model, scratch=scratch, out=out, device=device, progress=progress,
        where="train.reward",
    )  # fmt: skip


def _check_start(model: Path, where: str) -> None:
    told = json.loads((model / "config.json").read_text("utf-8"))
    is_classifier = any("Classification" in str(name) for name in told.get("architectures") or ())
    n_labels = len(told.get("id2label") or {}) or int(told.get("num_labels", 2))
    if is_classifier and n_labels != 1:
        what = f"the model to start from is a classifier with {n_labels} labels"
        fix = "start from a language model, or from a reward model with one label"
        raise StepError(where, what, fix=fix)
