"""What a training leaves behind: checkpoints to go on from, `best/`, `final/`, `adapter/`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.train import trainers
from databuild.train.checkpoints import drop_broken, newest

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
        _replace(work.out / "adapter", trainer.model.save_pretrained)
    last = (
        _whole(work, trainer.model)
        if work.options.quantization is None
        else _from_checkpoint(work, work.out / "adapter")  # merged into the weights as they were
    )
    _write(work, last, tokenizer, work.out / "final")
    if best is None:
        _replace(work.out / "best", lambda part: _link(work.out / "final", part))
    else:
        _write(work, _from_checkpoint(work, best), tokenizer, work.out / "best")
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


def _whole(work: Work, model: Any) -> Any:
    import torch

    if work.options.lora is not None:
        model = model.float().merge_and_unload()  # merged before rounding, once
    wanted = work.options.save_dtype
    if wanted == "auto":
        wanted = json.loads((work.model / "config.json").read_text()).get("dtype", "float32")
    return model.to(getattr(torch, wanted))


def _from_checkpoint(work: Work, checkpoint: Path) -> Any:
    if work.options.lora is None:
        return _whole(work, trainers.load_model(checkpoint, work))
    from peft import PeftModel

    base = trainers.load_model(work.model, work, quantized=False)
    return _whole(work, PeftModel.from_pretrained(base, str(checkpoint)))


def _write(work: Work, model: Any, tokenizer: Any, target: Path) -> None:
    def fill(part: Path) -> None:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)

    work.phase(f"saving {target.name}")
    _replace(target, fill)


def _replace(target: Path, fill: Any) -> None:
    """Fill a folder beside `target`, then rename it: `target` is whole or not there."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    fill(part)
    for path in part.iterdir():  # safetensors makes its files private; a server may be another user
        path.chmod(part.stat().st_mode & 0o666)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def _link(source: Path, target: Path) -> None:
    for path in source.iterdir():
        try:
            os.link(path, target / path.name)
        except OSError:  # a file system without hard links
            shutil.copy2(path, target / path.name)
