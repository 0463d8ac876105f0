"""Annotators that are not there: what they would say, drawn from the truth and their faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from databuild.annotate.table import label_of
from databuild.recipe.options import StepConfig
from databuild.schema.identity import derive_seed

if TYPE_CHECKING:
    from databuild.annotate.records import Record


class Simulated(StepConfig):
    """What one simulated annotator is like."""

    skill: float = Field(default=0.9, ge=0, le=1)
    """The chance of the right side; of a rating, of the right neighbourhood."""
    noise: int = Field(default=1, ge=0, le=3)
    """Strengths and ratings are off by up to this much, evenly drawn."""
    first_bias: float = Field(default=0.0, ge=0, le=1)
    """The chance to take the answer that is shown first, unread."""
    seconds: float = Field(default=30.0, gt=0)
    """The mean time of a vote. Only files are told; a server measures the time itself."""
    answers: float = Field(default=1.0, ge=0, le=1)
    """The share of their records that they answer before they leave, in the planned order."""
    rewrites: float = Field(default=0.0, ge=0, le=1)
    """The chance to rewrite the better answer, where there is a text to write."""


def simulated_answers(
    record: Record, truth: float, person: str, like: Simulated, seed: int, rewrite: str | None
) -> tuple[dict[str, Any], float]:
    """What a simulated annotator answers to a record, and in how many seconds.

    The draws are this person's own on this record: neither the number nor the order of the others
    changes them.

    Args:
        record: What is shown.
        truth: A preference's right grade, -4 to 4, in the record's own order; the right rating; of
            thumbs, up above 0.5.
        person: The name.
        like: Skill and faults.
        seed: Of all draws.
        rewrite: What they would write instead of the better answer.
    """
    rng = np.random.default_rng(derive_seed(seed, record.record, person))
    is_right = rng.random() < like.skill
    takes_first = rng.random() < like.first_bias
    off = int(rng.integers(-like.noise, like.noise + 1))
    writes = rng.random() < like.rewrites
    coin = 1 if rng.random() < 0.5 else -1
    seconds = round(float(rng.gamma(4.0, like.seconds / 4)), 1)
    if record.task == "rating":
        shown = truth + off if is_right else float(rng.integers(1, 6))
        return {"rating": int(np.clip(round(shown), 1, 5))}, seconds
    if record.task == "thumbs":
        return {"thumb": "up" if (truth > 0.5) == is_right else "down"}, seconds
    sign = (int(np.sign(truth)) or coin) * (1 if is_right else -1)
    if takes_first:
        sign = -1 if record.is_swapped else 1
    grade = sign * int(np.clip(round(abs(truth)) + off, 1, 4))
    said: dict[str, Any] = {"preference": label_of(grade, record)}
    if writes and rewrite is not None:
        said["edited"] = rewrite
    return said, seconds
