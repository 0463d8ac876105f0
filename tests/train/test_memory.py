from __future__ import annotations

import pytest

from databuild.train.memory import advice, is_out_of_memory
from databuild.train.options import SftOptions


def test_each_advice_leads_to_the_next_until_rows_are_short() -> None:
    options = SftOptions(per_device_train_batch_size=5, gradient_accumulation_steps=1, lora=None)
    told = []
    for change in (
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3},
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 6},
        {"gradient_checkpointing": True},
        {"lora": {}},
        {"max_length": 300},
    ):
        told.append(advice(options, 600))
        options = SftOptions.model_validate({**options.model_dump(), **change})
    assert told == [
        "set per_device_train_batch_size: 2 and gradient_accumulation_steps: 3",
        "set per_device_train_batch_size: 1 and gradient_accumulation_steps: 6",
        "set gradient_checkpointing: true",
        "train adapters: leave out `lora: null`",
        "set max_length: 300 (the longest row has 600 tokens; longer ones are left out)",
    ]
    assert advice(options) == "set max_length: 150 (longer ones are left out)"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("the size of tensor a must match"), False),
        (ValueError("out of memory"), False),
        (KeyError("x"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_torchs_own_class_counts() -> None:
    torch = pytest.importorskip("torch")
    assert is_out_of_memory(torch.OutOfMemoryError("no more"))
