"""QLoRA: whole trainings on quantized weights, where bitsandbytes is installed (it has a CPU part)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from databuild.errors import RecipeError, ServiceError
from databuild.train import quantizing, reward_worker, worker
from databuild.train.options import DpoOptions, SftOptions
from databuild.train.reward_options import RewardOptions
from tests.train.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
KINDS: dict[str, tuple[Any, Any]] = {
    "sft": (worker, SftOptions), "dpo": (worker, DpoOptions), "reward": (reward_worker, RewardOptions),
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "bits"), [("sft", "4bit"), ("sft", "8bit"), ("dpo", "4bit"), ("reward", "4bit")]
)
def test_adapters_are_trained_on_quantized_weights_and_merged_into_whole_ones(
    tiny: Path, tmp_path: Path, kind: str, bits: Literal["4bit", "8bit"]
) -> None:
    pytest.importorskip("bitsandbytes")
    import torch
    from safetensors.torch import load_file

    process, options = KINDS[kind]
    rows = make_rows(16, "sft" if kind == "sft" else "dpo")
    rows.write_parquet(tmp_path / "rows.parquet")
    described = options(
        quantization=bits, learning_rate=1e-2, num_train_epochs=2, per_device_train_batch_size=4,
        max_length=200, eval_fraction=0.25, save_dtype="float32",
    )  # fmt: skip
    job = {
        "kind": kind, "model": str(tiny), "rows": str(tmp_path / "rows.parquet"), "eval_rows": None,
        "out": str(tmp_path / "out"), "options": described.model_dump(mode="json"), "device": "cpu",
    }  # fmt: skip
    metrics = process.carry_out(job, lambda _message: None)
    losses = [one["loss"] for one in metrics["history"] if "loss" in one]
    assert losses[-1] < losses[0]
    start = load_file(tiny / "model.safetensors")
    for name in ("best", "final"):
        made = load_file(tmp_path / "out" / name / "model.safetensors")
        changed = {
            key for key in made.keys() & start.keys() if not torch.equal(made[key], start[key])
        }
        assert {value.dtype for value in made.values()} == {torch.float32}
        assert any("q_proj" in key for key in changed)
        # What no adapter touches is as it was: nothing went through the few bits.
        assert torch.equal(made["model.embed_tokens.weight"], start["model.embed_tokens.weight"])


def test_without_bitsandbytes_it_is_said_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "find_spec", lambda _name: None)
    quantizing.check_installed(None, "train.sft")
    with pytest.raises(RecipeError, match=r"4bit needs bitsandbytes.*Fix: run `uv add bitsandb"):
        quantizing.check_installed("4bit", "train.sft")


def test_a_machine_that_cannot_is_told_from_one_without_memory() -> None:
    def fail(bits: str | None, message: str) -> None:
        with quantizing.refused(bits):
            raise RuntimeError(message)

    with pytest.raises(ServiceError, match=r"cannot read the weights in 8bit here: no kernel"):
        fail("8bit", "no kernel")
    with pytest.raises(RuntimeError, match=r"^no kernel$"):
        fail(None, "no kernel")
    with pytest.raises(RuntimeError, match=r"^CUDA out of memory"):
        fail("8bit", "CUDA out of memory")
