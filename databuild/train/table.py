"""Train on a table: what the train steps have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from databuild.errors import StepError
from databuild.models.fake_training import fake_options_of, train_fake
from databuild.train.examples import TALKS
from databuild.train.job import LOG, Training, train
from databuild.train.options import DpoOptions, SftOptions

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from databuild.engine.resources import Progress

_TRAINED = ("row_id", "prompt", "response", "chosen", "rejected", *TALKS)
_RESULTS = ("best", "final", "adapter", "metrics.json", LOG)


def train_on(
    rows: pl.DataFrame,
    options: SftOptions | DpoOptions,
    *,
    model: Path,
    scratch: Path,
    out: Path,
    device: Literal["cpu", "cuda"],
    progress: Progress,
    where: str,
) -> dict[str, Any]:
    """Train `model` on `rows` and leave the result in `out`; killed, it goes on from a checkpoint.

    Args:
        rows: The training rows; they are put in the order of their ids, so that shards do not show.
        options: Of supervised fine-tuning, or of preference optimisation.
        model: Hugging Face folder to start from; a fake model's folder trains a fake model.
        scratch: Survives a kill.
        out: Gets `best/`, `final/`, `metrics.json`, the log, and `adapter/` for adapters.
        device: Where to train.
        progress: Told of every optimiser step.
        where: The step's name, for errors.

    Returns:
        The training's metrics; `rows_skipped` names the rows that could not be used, and why.

    Raises:
        StepError: There is no row to train on.
        ServiceError: The training diverged, or its process died.
    """
    if rows.is_empty():
        what = "there are no rows to train on"
        raise StepError(
            where, what, fix="look with `databuild status` at what the steps before dropped"
        )
    fake = fake_options_of(model)
    if fake is not None:
        return train_fake(fake, rows.height, options.seed, out)
    table = scratch / "rows.parquet"
    trained = [name for name in _TRAINED if name in rows.columns]
    rows.select(trained).sort("row_id").write_parquet(table)
    folder = scratch / "training"
    kind: Literal["sft", "dpo"] = "dpo" if isinstance(options, DpoOptions) else "sft"
    described = Training(kind, model=model, rows=table, out=folder, options=options, device=device)
    metrics = train(described, where=where, on_progress=_teller(progress))
    for name in _RESULTS:
        if (folder / name).exists():
            (folder / name).replace(out / name)
    return dict(metrics)


def _teller(progress: Progress) -> Any:
    told = 0

    def tell(message: dict[str, Any]) -> None:
        nonlocal told
        if "step" in message and "total" in message:
            if not told:
                progress.total(int(message["total"]), "steps")
            progress.tick(
                int(message["step"]) - told, f"loss {message.get('loss', float('nan')):.3f}"
            )
            told = int(message["step"])

    return tell
