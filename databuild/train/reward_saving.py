"""What training a reward model leaves behind, and what is known of it: held out against trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.train.model_folders import link, replace, whole, write
from databuild.train.reward_judging import Judged, judged, overfit
from databuild.train.reward_trainer import load_reward_model

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        replace(work.out / "adapter", trainer.model.save_pretrained)
    model = whole(work, trainer.model)
    write(work, model, tokenizer, work.out / "final")
    if best is None:
        replace(work.out / "best", lambda part: link(work.out / "final", part))
    else:
        model = _from_checkpoint(work, best, tokenizer)
        write(work, model, tokenizer, work.out / "best")
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


def _from_checkpoint(work: Work, checkpoint: Path, tokenizer: Any) -> Any:
    if work.options.lora is None:
        return whole(work, load_reward_model(checkpoint, work, tokenizer))
    from peft import PeftModel

    base = load_reward_model(work.model, work, tokenizer)
    return whole(work, PeftModel.from_pretrained(base, str(checkpoint)))
