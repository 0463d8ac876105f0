"""`train.dpo`: direct preference optimisation on pairs, with TRL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from databuild.engine.step import step
from databuild.recipe.options import ModelRef
from databuild.train.options import DpoOptions
from databuild.train.quantizing import check_installed
from databuild.train.table import train_on

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from databuild.engine.resources import Progress


class DpoConfig(DpoOptions):
    """Options of `train.dpo`, with the names of Hugging Face and TRL."""

    model: ModelRef
    """The model to start from: one of the recipe's, `best`, or a train step."""


@step(
    "train.dpo",
    kind="train",
    sees="table",
    version=4,
    reads=("prompt", "chosen", "rejected", "*"),
    checks=lambda config, _files: check_installed(config.quantization, "train.dpo"),
)
def train_dpo(
    rows: pl.DataFrame,
    config: DpoConfig,
    dev: pl.DataFrame | None = None,
    *,
    model: Path,
    scratch: Path,
    out: Path,
    device: Literal["cpu", "cuda"],
    progress: Progress,
) -> dict[str, Any]:
    """Teach a model to prefer the chosen answers over the rejected ones.

    Args:
        rows: `prompt`, `chosen` and `rejected`, as text or lists of turns. `messages`,
            `chosen_messages` and `rejected_messages` stand for them where they are not null.
            Columns that `weight`, `agreement` and `margin` name grade the pairs.
        config: See `DpoConfig`.
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
    options = DpoOptions.model_validate(config.model_dump(exclude={"model"}))
    return train_on(
        rows, options, dev, model=model, scratch=scratch, out=out, device=device, progress=progress,
        where="train.dpo",
    )  # fmt: skip
