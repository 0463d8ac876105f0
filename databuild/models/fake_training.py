"""What training and reading mean for the fake model, so that a whole flywheel can be tried with it.

A fake model in a folder is `fake.json`, its options. Trained, it gets another seed (other weights)
and more skill, by how many rows it saw: enough to exercise rounds, gates and promotions in seconds.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from databuild.models.fake import FakeOptions
from databuild.schema.identity import derive_seed

if TYPE_CHECKING:
    from pathlib import Path

FILE = "fake.json"
_HALF_LEARNT_ROWS = 200


def fake_options_of(folder: Path) -> FakeOptions | None:
    """The options of the fake model in a folder, None where a real one lies there."""
    path = folder / FILE
    return FakeOptions.model_validate_json(path.read_text("utf-8")) if path.exists() else None


def save_fake(options: FakeOptions, folder: Path) -> Path:
    """Write a fake model into a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE}"
    temporary.write_text(options.model_dump_json(), "utf-8")
    temporary.replace(folder / FILE)
    return folder


def train_fake(options: FakeOptions, rows: int, seed: int, out: Path) -> dict[str, Any]:
    """Train a fake model: `out/best` and `out/final` hold one with more skill.

    The skill that is missing to 1 shrinks by rows / (rows + 200).
    """
    learnt = (1 - options.skill_ratio) * rows / (rows + _HALF_LEARNT_ROWS)
    trained = options.model_copy(
        update={
            "seed": derive_seed(options.seed, seed, rows),
            "skill_ratio": round(options.skill_ratio + learnt, 6),
        }
    )
    for name in ("best", "final"):
        save_fake(trained, out / name)
    metrics = {"fake": True, "rows_used": rows, "skill_ratio": trained.skill_ratio}
    (out / "metrics.json").write_text(json.dumps(metrics), "utf-8")
    return metrics


def read_as_fake(options: FakeOptions, text: str | tuple[str, str]) -> dict[str, Any]:
    """Read a text as the fake model does: the more skill, the fewer nats per word.

    A word that stands in the context, where there is one, costs half.
    """
    context, text = ("", text) if isinstance(text, str) else text
    words, known = text.split(), set(context.split())
    cost = sum(0.5 if word in known else 1.0 for word in words)
    return {"nll_sum": round(cost * (4.0 - options.skill_ratio), 6), "n_tokens": len(words)}
