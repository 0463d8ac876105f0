"""Frozen weights in few bits, for QLoRA: what bitsandbytes can do here, and what it cannot."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from databuild.errors import RecipeError, ServiceError
from databuild.train.memory import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_installed(quantization: str | None, where: str) -> None:
    """Raise RecipeError where weights are to be quantized and bitsandbytes is not installed."""
    if quantization is not None and find_spec("bitsandbytes") is None:
        what = f"quantization: {quantization} needs bitsandbytes, which is not installed"
        raise RecipeError(where, what, fix="run `uv add bitsandbytes`, or leave out quantization")


def settings(quantization: str, *, on_gpu: bool) -> dict[str, Any]:
    """What `from_pretrained` is told: linear layers in 4 bits (NF4, doubly quantized) or 8 bits."""
    import torch
    from transformers import BitsAndBytesConfig

    compute = torch.bfloat16 if on_gpu else torch.float32
    heads = ["lm_head", "score"]  # a head is read, or trained, in full
    if quantization == "4bit":
        told = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute,
            bnb_4bit_use_double_quant=True, llm_int8_skip_modules=heads,
        )  # fmt: skip
    else:
        told = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=heads)
    return {
        "dtype": compute, "quantization_config": told,
        "device_map": {"": 0} if on_gpu else {"": "cpu"},
    }  # fmt: skip


@contextmanager
def refused(quantization: str | None) -> Iterator[None]:
    """Say what cannot be done where bitsandbytes does not work.

    Raises:
        ServiceError: bitsandbytes cannot quantize on this machine.
    """
    try:
        yield
    except (ImportError, RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
        if quantization is None or is_out_of_memory(error):
            raise
        what = f"bitsandbytes cannot read the weights in {quantization} here: {error}"
        fix = "leave out quantization, or train on a GPU that bitsandbytes knows"
        raise ServiceError("train", what, fix=fix) from error
