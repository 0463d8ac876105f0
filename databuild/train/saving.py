"""What a training leaves behind: checkpoints to go on from, `best/`, `final/`, `adapter/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.train import trainers
from databuild.train.checkpoints import drop_broken, newest
from databuild.train.model_folders import link, replace, whole, write

if TYPE_CHECKING:
    from databuild.engine.child import Json
    from databuild.train.worker import Work


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint; remove those that a kill left unfinished."""
    drop_broken(folder)
    return newest(folder)


def save(work: Work, trainer: Any, tokenizer: Any) -> Json:
    """Write `final`, `best` and the adapter; return their places and how `best` was chosen."""
    state, best = trainer.state, None
    if state.best_model_checkpoint and state.best_global_step != state.global_step:
        best = Path(state.best_model_checkpoint)
    if work.options.lora is not None:
        replace(work.out / "adapter", trainer.model.save_pretrained)
    last = (
        whole(work, trainer.model)
        if work.options.quantization is None
        else _from_checkpoint(work, work.out / "adapter")  # merged into the weights as they were
    )
    write(work, last, tokenizer, work.out / "final")
    if best is None:
        replace(work.out / "best", lambda part: link(work.out / "final", part))
    else:
        write(work, _from_checkpoint(work, best), tokenizer, work.out / "best")
    evaluated = state.best_metric is not None
    return {
        "best": "best",
        "final": "final",
        "adapter": "adapter" if work.options.lora is not None else None,
        "best_is_final": best is None,
        "best_step": state.best_global_step if evaluated else state.global_step,
        "best_eval_loss": state.best_metric,
        "best_chosen_by": "lowest eval_loss" if evaluated else "no evaluation rows: final",
    }


def _from_checkpoint(work: Work, checkpoint: Path) -> Any:
    if work.options.lora is None:
        return whole(work, trainers.load_model(checkpoint, work))
    from peft import PeftModel

    base = trainers.load_model(work.model, work, quantized=False)
    return whole(work, PeftModel.from_pretrained(base, str(checkpoint)))
