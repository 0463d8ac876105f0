"""Real TRL on the real 135 M model: what databuild hands out trains as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild.export.trl import TrlConfig, write_trl_folder
from databuild.train.job import Training, train
from databuild.train.options import DpoOptions, SftOptions

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live

COLOURS = ("red", "green", "blue", "grey")
PAIRS = pl.DataFrame(
    {
        "row_id": list(COLOURS),
        "prompt": [f"Which colour comes to mind with {colour}?" for colour in COLOURS],
        "response": [f"Purple, said the {colour} owl." for colour in COLOURS],
        "chosen": [f"Purple, said the {colour} owl." for colour in COLOURS],
        "rejected": ["I cannot say."] * len(COLOURS),
    }
)


@pytest.mark.parametrize("kind", ["sft", "preference"])
def test_sets_train_with_trl_as_they_are(kind: str, smollm2: Path, tmp_path: Path) -> None:
    from datasets import load_dataset
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    config = TrlConfig.model_validate({"kind": kind})
    write_trl_folder(PAIRS, config, out=tmp_path / "set")
    rows = load_dataset(str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows.num_rows == len(COLOURS)
    options: dict[str, Any] = {
        "output_dir": str(tmp_path / "out"), "max_steps": 1, "per_device_train_batch_size": 2,
        "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
        "save_strategy": "no",
    }  # fmt: skip
    trainer: Any = (
        SFTTrainer(str(smollm2), args=SFTConfig(**options), train_dataset=rows)
        if kind == "sft"
        else DPOTrainer(str(smollm2), args=DPOConfig(**options), train_dataset=rows)
    )
    assert 0 < trainer.train().training_loss < 20


def test_sft_then_dpo_teach_the_real_model(smollm2: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    PAIRS.write_parquet(tmp_path / "rows.parquet")
    heard: list[dict[str, Any]] = []
    sft = SftOptions(learning_rate=2e-3, per_device_train_batch_size=4, num_train_epochs=5)
    first = train(
        Training("sft", smollm2, tmp_path / "rows.parquet", tmp_path / "sft", sft, "cpu"),
        on_progress=heard.append,
    )
    losses = [message["loss"] for message in heard if "loss" in message]
    assert losses[-1] < losses[0] / 2
    assert first["rows_used"] == len(COLOURS)
    best = tmp_path / "sft" / "best"
    model = AutoModelForCausalLM.from_pretrained(best, dtype="auto")
    assert model.dtype == torch.bfloat16  # as the start model is stored
    tokenizer = AutoTokenizer.from_pretrained(best)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": PAIRS["prompt"][0]}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    )  # fmt: skip
    told = model.float().generate(**asked, max_new_tokens=12, do_sample=False)
    assert "owl" in tokenizer.decode(told[0, asked["input_ids"].shape[1] :])
    dpo = DpoOptions(learning_rate=1e-4, per_device_train_batch_size=4, num_train_epochs=2)
    second = train(Training("dpo", best, tmp_path / "rows.parquet", tmp_path / "dpo", dpo, "cpu"))
    assert second["steps"] == 2
    assert (tmp_path / "dpo" / "final" / "model.safetensors").exists()
