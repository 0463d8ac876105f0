"""Made-up votes with a known truth, as `annotate.pull` hands them over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOPICS = ("rivers", "bread", "月亮")


def preference_votes(
    n_records: int = 40,
    skills: Sequence[float] = (0.9, 0.8, 0.7),
    *,
    per_record: int | None = None,
    first_bias: Mapping[int, float] | None = None,
    gold_every: int = 0,
    seed: int = 1,
) -> pl.DataFrame:
    """Votes on records whose right grade is `truth`; annotator i tells its sign with skills[i].

    Args:
        n_records: How many records.
        skills: One for each annotator: the chance of the right side.
        per_record: Votes on each record; None for all annotators.
        first_bias: By annotator the chance to take the answer shown first, whatever it is.
        gold_every: Every n-th record is a gold question.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n_records):
        truth = int(rng.choice([-4, -3, -2, -1, 1, 2, 3, 4]))
        people = rng.permutation(len(skills))[: per_record or len(skills)]
        for person in sorted(int(p) for p in people):
            first = "a" if rng.random() < 0.5 else "b"
            sign = np.sign(truth) if rng.random() < skills[person] else -np.sign(truth)
            if rng.random() < (first_bias or {}).get(person, 0.0):
                sign = 1 if first == "a" else -1
            grade = int(sign * np.clip(abs(truth) + rng.integers(-1, 2), 1, 4))
            rows.append(
                vote(
                    number, f"person{person}", grade, shown_first=first,
                    gold=truth if gold_every and number % gold_every == 0 else None,
                    seconds=float(10 + 5 * person), truth=truth,
                )
            )  # fmt: skip
    return table(rows)


def vote(number: int, annotator: str, grade: int | None, **given: Any) -> dict[str, Any]:
    """One vote."""
    sign = 0 if grade is None else int(np.sign(grade))
    return {
        "row_id": f"v{number}-{annotator}", "record": f"r{number:03d}",
        "prompt": f"Tell me about {TOPICS[number % 3]}, part {number}.", "messages": None,
        "response_a": f"The first answer to {number}. 🙂", "response_b": f"另一个回答 {number}",
        "model_a": "one", "model_b": None, "vote": ("tie", "a", "b")[sign], "grade": grade,
        "edited": None, "accuracy": None, "relevance": 4, "safety": None, "issues": [],
        "comment": None, "annotator": annotator,
        "voted_at": f"2026-11-22T10:{number % 60:02d}:00Z", "seconds": 12.5, "guideline": "g1",
        "shown_first": "a", "gold": None, "stratum": TOPICS[number % 3], "simulated": False,
        "truth": None, **given,
    }  # fmt: skip


_MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
SCHEMA: dict[str, Any] = {
    "row_id": pl.String, "record": pl.String, "prompt": pl.String, "messages": _MESSAGES,
    "response_a": pl.String, "response_b": pl.String, "model_a": pl.String, "model_b": pl.String,
    "vote": pl.String, "grade": pl.Int8, "edited": pl.String, "accuracy": pl.Int8,
    "relevance": pl.Int8, "safety": pl.Int8, "issues": pl.List(pl.String), "comment": pl.String,
    "annotator": pl.String, "voted_at": pl.String, "seconds": pl.Float64, "guideline": pl.String,
    "shown_first": pl.String, "gold": pl.Int8, "stratum": pl.String, "simulated": pl.Boolean,
    "truth": pl.Int8,
}  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Votes as a table of the types of `annotate.pull`."""
    return pl.DataFrame(list(rows), schema=SCHEMA)
