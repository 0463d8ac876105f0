"""What a training leaves behind: checkpoints to go on from, `best/`, `final/`, `adapter/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.train.checkpoints import drop_broken, newest
from databuild.train.model_folders import link, replace, whole, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from databuild.engine.child import Json
    from databuild.train.work import Work


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint; remove those that a kill left unfinished."""
    drop_broken(folder)
    return newest(folder)


def save(work: Work, trainer: Any, tokenizer: Any, load: Callable[..., Any]) -> tuple[Json, Any]:
    """Write `final`, `best` and the adapter.

    Args:
        work: The work.
        trainer: After its training.
        tokenizer: Goes into every folder.
        load: Loads a model: `load(folder, work, quantized=False)`.

    Returns:
        The places and how `best` was chosen; the best model.
    """
    state, best = trainer.state, None
    if state.best_model_checkpoint and state.best_global_step != state.global_step:
        best = Path(state.best_model_checkpoint)
    if work.options.lora is not None:
        replace(work.out / "adapter", trainer.model.save_pretrained)
    model = (
        whole(work, trainer.model)
        if work.options.quantization is None
        else _from_checkpoint(work, work.out / "adapter", load)  # merged into the weights as read
    )
    write(work, model, tokenizer, work.out / "final")
    if best is None:
        replace(work.out / "best", lambda part: link(work.out / "final", part))
    else:
        model = _from_checkpoint(work, best, load)
        write(work, model, tokenizer, work.out / "best")
    evaluated = state.best_metric is not None
    places = {
        "best": "best",
        "final": "final",
        "adapter": "adapter" if work.options.lora is not None else None,
        "best_is_final": best is None,
        "best_step": state.best_global_step if evaluated else state.global_step,
        "best_eval_loss": state.best_metric,
        "best_chosen_by": "lowest eval_loss" if evaluated else "no evaluation rows: final",
    }
    return places, model


def _from_checkpoint(work: Work, checkpoint: Path, load: Callable[..., Any]) -> Any:
    if work.options.lora is None:
        return whole(work, load(checkpoint, work, quantized=False))
    from peft import PeftModel

    base = load(work.model, work, quantized=False)
    return whole(work, PeftModel.from_pretrained(base, str(checkpoint)))
