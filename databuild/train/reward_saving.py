"""What training a reward model leaves behind, and what is known of it: held out against trained."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.train.reward_judging import Judged, judged, overfit
from databuild.train.reward_trainer import load_reward_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from databuild.engine.child import Json
    from databuild.train.reward_pairs import Pair
    from databuild.train.worker import Work

CHECKED = 128
"""Training pairs of which the accuracy is measured, at most."""


def save(
    work: Work, trainer: Any, tokenizer: Any, train: Sequence[Pair], held: Sequence[Pair]
) -> Json:
    """Write `final`, `best` and the adapter; measure `best` on held-back and on training pairs."""
    state = trainer.state
    evaluated = state.best_metric is not None
    best = None
    if state.best_model_checkpoint and state.best_global_step != state.global_step:
        best = Path(state.best_model_checkpoint)
    if work.options.lora is not None:
        _replace(work.out / "adapter", trainer.model.save_pretrained)
    model = _merged(work, trainer.model)
    _write(work, model, tokenizer, "final")
    if best is None:
        _replace(work.out / "best", lambda part: _link(work.out / "final", part))
    else:
        model = _from_checkpoint(work, best, tokenizer)
        _write(work, model, tokenizer, "best")
    work.phase("judging")
    return {
        "best": "best",
        "final": "final",
        "adapter": "adapter" if work.options.lora is not None else None,
        "best_is_final": best is None,
        "best_step": state.best_global_step if evaluated else state.global_step,
        "best_eval_loss": state.best_metric,
        "best_chosen_by": "lowest eval_loss" if evaluated else "no held-back prompts: final",
        **_judged(work, model, train, held),
    }


def _judged(work: Work, model: Any, train: Sequence[Pair], held: Sequence[Pair]) -> Json:
    drawn = np.random.default_rng([work.options.seed, 2]).permutation(len(train))[:CHECKED]
    known = [train[i] for i in sorted(drawn)]
    trained = judged(model, known)
    facts: Json = {"trained": trained._asdict(), "held_out": None, "overfit": None}
    if held:
        kept: Judged = judged(model, held)
        facts |= {"held_out": kept._asdict(), "overfit": overfit(trained, kept)}
    return facts


def _merged(work: Work, model: Any) -> Any:
    import torch

    if work.options.lora is not None:
        model = model.float().merge_and_unload()  # merged before rounding, once
    wanted = work.options.save_dtype
    if wanted == "auto":
        wanted = json.loads((work.model / "config.json").read_text()).get("dtype") or "float32"
    return model.to(getattr(torch, wanted))


def _from_checkpoint(work: Work, checkpoint: Path, tokenizer: Any) -> Any:
    if work.options.lora is None:
        return _merged(work, load_reward_model(checkpoint, work, tokenizer))
    from peft import PeftModel

    base = load_reward_model(work.model, work, tokenizer)
    return _merged(work, PeftModel.from_pretrained(base, str(checkpoint)))


def _write(work: Work, model: Any, tokenizer: Any, name: str) -> None:
    def fill(part: Path) -> None:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)

    work.phase(f"saving {name}")
    _replace(work.out / name, fill)


def _replace(target: Path, fill: Callable[[Path], Any]) -> None:
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
