"""What training a reward model leaves behind, and what is known of it: held out against trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.train import saving
from databuild.train.reward_judging import Judged, judged, overfit
from databuild.train.reward_trainer import load_reward_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from databuild.engine.child import Json
    from databuild.train.reward_pairs import Pair
    from databuild.train.work import Work

CHECKED = 128
"""Training pairs of which the accuracy is measured, at most."""


def save(
    work: Work, trainer: Any, tokenizer: Any, train: Sequence[Pair], held: Sequence[Pair]
) -> Json:
    """Write `final`, `best` and the adapter; measure `best` on held-back and on training pairs."""
    places, model = saving.save(work, trainer, tokenizer, load_reward_model)
    work.phase("judging")
    return {**places, **_judged(work, model, train, held)}


def _judged(work: Work, model: Any, train: Sequence[Pair], held: Sequence[Pair]) -> Json:
    drawn = np.random.default_rng([work.options.seed, 2]).permutation(len(train))[:CHECKED]
    known = [train[i] for i in sorted(drawn)]
    trained = judged(model, known)
    facts: Json = {"trained": trained._asdict(), "held_out": None, "overfit": None}
    if held:
        kept: Judged = judged(model, held)
        facts |= {"held_out": kept._asdict(), "overfit": overfit(trained, kept)}
    return facts
