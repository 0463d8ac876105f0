"""Train on a table: what the train steps have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from databuild.errors import StepError
from databuild.models.fake_training import fake_options_of, train_fake
from databuild.train import curves
from databuild.train.examples import TALKS
from databuild.train.job import LOG, Training, train
from databuild.train.options import DpoOptions, SftOptions
from databuild.train.reward_options import RewardOptions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import polars as pl

    from databuild.engine.resources import Progress

Options = SftOptions | DpoOptions | RewardOptions
_TRAINED = ("row_id", "prompt", "response", "chosen", "rejected", *TALKS)
CURVES = "curves.svg"
_RESULTS = ("best", "final", "adapter", "metrics.json", LOG)


def train_on(  # noqa: PLR0913 -- the resources of a train step
    rows: pl.DataFrame,
    options: Options,
    dev: pl.DataFrame | None = None,
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
        options: Of supervised fine-tuning, of preference optimisation, or of a reward model.
        dev: Rows to evaluate on instead of `eval_fraction` of `rows`.
        model: Hugging Face folder to start from; a fake model's folder trains a fake model.
        scratch: Survives a kill.
        out: Gets `best/`, `final/`, `metrics.json`, `curves.svg`, the log, and `adapter/` for
            adapters.
        device: Where to train.
        progress: Told of every optimiser step.
        where: The step's name, for errors.

    Returns:
        The training's metrics; `rows_skipped` names the rows that could not be used, and why.

    Raises:
        StepError: There is no row to train on, or none to stop early by.
        ServiceError: The training diverged, ran out of memory, or its process died.
    """
    _check_tables(rows, dev, options, where)
    fake = fake_options_of(model)
    if fake is not None:
        return train_fake(fake, rows.height, options.seed, out)
    table = scratch / "rows.parquet"
    graded_by = [getattr(options, name, None) for name in ("weight", "agreement", "margin")]
    _write(rows, graded_by, table)
    held = scratch / "dev.parquet" if dev is not None else None
    if held is not None and dev is not None:
        _write(dev, graded_by, held)
    folder = scratch / "training"
    described = Training(
        _kind(options),
        model=model, rows=table, out=folder, options=options, device=device, eval_rows=held,
    )  # fmt: skip
    metrics = train(described, where=where, on_progress=_teller(progress))
    if metrics.get("history"):
        (out / CURVES).write_text(curves.drawn(metrics, where), "utf-8")
    for name in _RESULTS:
        if (folder / name).exists():
            (folder / name).replace(out / name)
    return dict(metrics)


def _kind(options: Options) -> Literal["sft", "dpo", "reward"]:
    if isinstance(options, RewardOptions):
        return "reward"
    return "dpo" if isinstance(options, DpoOptions) else "sft"


def _check_tables(
    rows: pl.DataFrame, dev: pl.DataFrame | None, options: Options, where: str
) -> None:
    """Say what can be said before a model is loaded."""
    of = "rows" if isinstance(options, SftOptions) else "pairs"
    if rows.is_empty():
        what = "there are no rows to train on"
        what += ": the set of pairs is empty" if of == "pairs" else ""
        raise StepError(
            where, what, fix="look with `databuild status` at what the steps before dropped"
        )
    if dev is not None and dev.is_empty():
        what = f"the input `dev` has no {of} to evaluate on"
        raise StepError(
            where, what, fix="leave `dev` out, or look at what the steps before dropped"
        )
    if options.early_stopping_patience is not None and dev is None and not options.eval_fraction:
        what = "early_stopping_patience needs rows to evaluate on"
        raise StepError(where, what, fix="give it the input `dev`, or set eval_fraction: 0.1")


def _write(rows: pl.DataFrame, graded_by: Iterable[str | None], path: Path) -> None:
    wanted = dict.fromkeys([*_TRAINED, *(name for name in graded_by if name is not None)])
    names = [name for name in wanted if name in rows.columns]
    rows.select(names).sort("row_id").write_parquet(path)


def told_of_rows(message: dict[str, Any]) -> str:
    """What the trainer says of the rows before it starts, in a few words.

    Example:
        >>> told_of_rows({"rows": 7, "evaluated": 0, "skipped": 1, "reasons": {"too long": 1},
        ...               "such_as": ["a"], "longest": 90})
        '7 rows of up to 90 tokens, 1 left out (1 × too long: a)'
    """
    told = f"{message['rows']:,} rows of up to {message['longest']:,} tokens"
    if message["evaluated"]:
        told += f", {message['evaluated']:,} to evaluate on"
    if message["skipped"]:
        reasons = ", ".join(f"{n:,} × {reason}" for reason, n in message["reasons"].items())
        more = ", …" if message["skipped"] > len(message["such_as"]) else ""
        told += (
            f", {message['skipped']:,} left out ({reasons}: {', '.join(message['such_as'])}{more})"
        )
    return told


def _teller(progress: Progress) -> Any:
    told = 0

    def tell(message: dict[str, Any]) -> None:
        nonlocal told
        if "skipped" in message:
            progress.tick(0, told_of_rows(message))
        elif "note" in message:
            progress.tick(0, message["note"])
        if "step" in message and "total" in message:
            if not told:
                progress.total(int(message["total"]), "steps")
            progress.tick(int(message["step"]) - told, _note(message))
            told = int(message["step"])

    return tell


def _note(message: dict[str, Any]) -> str:
    if "eval_accuracy" in message:
        return f"held-out accuracy {message['eval_accuracy']:.3f}"
    return f"loss {message.get('loss', float('nan')):.3f}"
