"""`train.sft`: supervised fine-tuning on answers, with TRL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from databuild.engine.step import step
from databuild.recipe.options import ModelRef
from databuild.train.options import SftOptions
from databuild.train.quantizing import check_installed
from databuild.train.table import train_on

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from databuild.engine.resources import Progress


class SftConfig(SftOptions):
    """Options of `train.sft`, with the names of Hugging Face and TRL."""

    model: ModelRef
    """The model to start from: one of the recipe's, `best`, or a train step."""


@step(
    "train.sft",
    kind="train",
    sees="table",
    version=4,
    reads=("prompt", "response", "*"),
    checks=lambda config, _files: check_installed(config.quantization, "train.sft"),
)
def train_sft(
    rows: pl.DataFrame,
    config: SftConfig,
    dev: pl.DataFrame | None = None,
    *,
    model: Path,
    scratch: Path,
    out: Path,
    device: Literal["cpu", "cuda"],
    progress: Progress,
) -> dict[str, Any]:
    """Fine-tune a model on answers; the loss is over the answers' tokens only.

    Args:
        rows: `prompt` and `response`, as text or lists of turns. Where there is `messages` and it
            is not null, it is the conversation, and its last turn the answer.
        config: See `SftConfig`.
        dev: Rows of the same kind to choose `best/` and to stop early by, as in
            `from: {rows: few, dev: split.dev}`; it stands for `eval_fraction`.
        model: Folder of the model to start from.
        scratch: Where checkpoints lie until the step is complete.
        out: Gets `best/`, `final/`, `adapter/`, `metrics.json`, `curves.svg` and the log.
        device: Where to train.
        progress: Told of every optimiser step.

    Returns:
        Losses, seconds, rows used and skipped; see `databuild.train.job.train`.

    Raises:
        StepError: There is no row to train on, or none to stop early by.
        ServiceError: The training diverged, ran out of memory, or its process died.
    """
    options = SftOptions.model_validate(config.model_dump(exclude={"model"}))
    return train_on(
        rows, options, dev, model=model, scratch=scratch, out=out, device=device, progress=progress,
        where="train.sft",
    )  # fmt: skip
