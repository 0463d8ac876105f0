"""Frozen weights in few bits, for QLoRA: what bitsandbytes can do here, and what it cannot."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from databuild.errors import RecipeError, ServiceError

if TYPE_CHECKING:
    from pathlib import Path


def check_installed(quantization: str | None, where: str) -> None:
    """Raise RecipeError where weights are to be quantized and bitsandbytes is not installed."""
    if quantization is not None and find_spec("bitsandbytes") is None:
        what = f"quantization: {quantization} needs bitsandbytes, which is not installed"
        raise RecipeError(where, what, fix="run `uv add bitsandbytes`, or leave out quantization")


def load(folder: Path, quantization: str, *, on_gpu: bool) -> Any:
    """Load a model with its linear layers in 4 bits (NF4, doubly quantized) or 8 bits.

    Raises:
        ServiceError: bitsandbytes cannot do that on this machine.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    compute = torch.bfloat16 if on_gpu else torch.float32
    if quantization == "4bit":
        settings = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute,
            bnb_4bit_use_double_quant=True,
        )  # fmt: skip
    else:
        settings = BitsAndBytesConfig(load_in_8bit=True)
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=compute, quantization_config=settings, attn_implementation="sdpa",
            device_map={"": 0} if on_gpu else {"": "cpu"},
        )  # fmt: skip
    except (ImportError, RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
        what = f"bitsandbytes cannot read the weights in {quantization} here: {error}"
        fix = "leave out quantization, or train on a GPU that bitsandbytes knows"
        raise ServiceError("train", what, fix=fix) from error
