"""A reward model out of the real 135 M model: trained, saved, read again, in one piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild.engine.journal import Journal
from databuild.models.scorer import Scoring
from databuild.models.scorer_process import RewardModel
from databuild.reward.model import RewardModelConfig, measure_reward
from databuild.train.job import Training, train
from databuild.train.reward_options import RewardOptions

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

PLACES = ("lake", "market", "tower", "harbour", "garden", "station", "bridge", "school")
POLITE = "Gladly! You will find the {} two streets from here, on your left."
RUDE = "Look up the {} yourself, I have better things to do."


def test_what_was_learnt_is_what_is_read(smollm2: Path, tmp_path: Path) -> None:
    prompts = [f"Where is the {place}?" for place in PLACES]
    pairs = pl.DataFrame(
        {
            "row_id": PLACES,
            "prompt": prompts,
            "chosen": [POLITE.format(place) for place in PLACES],
            "rejected": [RUDE.format(place) for place in PLACES],
        }
    )
    pairs.write_parquet(tmp_path / "pairs.parquet")
    options = RewardOptions(
        first_layers=4, learning_rate=2e-3, num_train_epochs=5, per_device_train_batch_size=4,
        eval_fraction=0.25,
    )  # fmt: skip
    training = Training(
        "reward", model=smollm2, rows=tmp_path / "pairs.parquet", out=tmp_path / "rm",
        options=options, device="cpu",
    )  # fmt: skip
    metrics = train(training)
    assert metrics["held_out"]["accuracy"] == 1.0
    rows = pl.DataFrame(
        {
            "row_id": ["kind", "short", "zh"],
            "prompt": ["Where is the museum?"] * 2 + ["博物馆在哪里？"],
            "response": [POLITE.format("museum"), RUDE.format("museum"), "往前走两百米就到。"],
        }
    )
    journal = Journal(tmp_path / "journal")
    reader = RewardModel(tmp_path / "rm" / "best", log=tmp_path / "log")
    asked = Scoring(lambda: reader, journal, "rm")
    try:
        found = measure_reward(rows, RewardModelConfig(model="rm", name="rm"), scorer=asked)
    finally:
        reader.close()
        journal.close()
    scores = dict(zip(found.table["row_id"], found.table["rm_score"], strict=True))
    assert found.table["error"].null_count() == 3
    assert scores["kind"] > scores["short"]
