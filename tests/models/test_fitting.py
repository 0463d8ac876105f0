"""What is said of a model folder before an engine loads it."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest

from databuild.errors import ServiceError
from databuild.models import fitting
from databuild.models.fitting import GIB, adapter_in, check_fit, is_same_engine, weights_gib
from databuild.models.identity import adapter_identity
from databuild.models.vllm import VllmGenerator, VllmOptions
from databuild.models.vllm_arguments import lora_arguments

if TYPE_CHECKING:
    from pathlib import Path


def model(
    folder: Path, *, n: int = 1000, dtype: str = "F32", template: str | None = "x", **config
) -> Path:
    """A model folder with one tensor of n elements, whose bytes are not there."""
    folder.mkdir(parents=True)
    config = {"model_type": "llama", "hidden_size": 8} | config
    (folder / "config.json").write_text(json.dumps(config))
    told = {} if template is None else {"chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
    size = n * {"F32": 4, "BF16": 2, "I8": 1}[dtype]
    tensor = {"dtype": dtype, "shape": [n], "data_offsets": [0, size]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "w": tensor}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    return folder


def adapter(folder: Path, base: str, rank: int = 8) -> Path:
    folder.mkdir(parents=True)
    told = {"base_model_name_or_path": base, "r": rank, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(told))
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    return folder


@pytest.mark.parametrize(
    ("stored", "computed", "n_bytes"),
    [("F32", "float32", 4), ("F32", "bfloat16", 2), ("BF16", "float32", 4), ("I8", "bfloat16", 1)],
)
def test_weights_count_in_the_dtype_that_they_are_computed_in(tmp_path, stored, computed, n_bytes):
    folder = model(tmp_path / "m", n=GIB, dtype=stored)
    assert weights_gib(folder, computed) == n_bytes
    assert weights_gib(tmp_path, computed) is None


def test_a_model_that_is_too_large_is_refused_before_it_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "free_gib", lambda _device: 16.0)
    big = model(tmp_path / "big", n=7 * GIB, dtype="BF16")
    options = VllmOptions(model=big, device="cpu", dtype="bfloat16", kv_cache_gib=4)
    generator = VllmGenerator(options, log=tmp_path / "log", where="answers")
    with pytest.raises(
        ServiceError, match=r"needs about 18.5 GiB \(14.0 GiB of weights in bfloat"
    ) as e:
        generator.start()
    assert "16.0 GiB is free" in str(e.value)
    assert not (tmp_path / "log").exists()
    check_fit(big, options.model_copy(update={"kv_cache_gib": 1}), "cpu", "bfloat16", "answers")
    with pytest.raises(ServiceError, match=r"over 1 GPUs|one GPU lets it have"):
        check_fit(big, options, "cuda", "bfloat16", "answers")
    two = options.model_copy(update={"tensor_parallel_size": 2})
    check_fit(big, two, "cuda", "bfloat16", "answers")


def test_a_model_without_a_chat_template_is_refused_before_it_is_loaded(tmp_path):
    folder = model(tmp_path / "m", template=None)
    options = VllmOptions(model=folder)
    with pytest.raises(ServiceError, match="has no chat template"):
        check_fit(folder, options, "cpu", "float32", "answers")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    check_fit(folder, options, "cpu", "float32", "answers")


def test_a_damaged_file_of_weights_is_named(tmp_path):
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(ServiceError, match=r"model.safetensors is no whole safetensors file"):
        weights_gib(folder, "float32")


def test_an_adapter_is_told_from_a_model_and_stands_on_its_base(tmp_path):
    base = model(tmp_path / "base")
    found = adapter_in(adapter(tmp_path / "a", "../base", rank=12))
    assert found is not None
    assert (found.base, found.rank) == (base, 12)
    assert lora_arguments(found)["max_lora_rank"] == 16
    assert adapter_in(base) is None
    with pytest.raises(ServiceError, match="stands on 'org/model', which is no model folder here"):
        adapter_in(adapter(tmp_path / "b", "org/model"))


def test_an_adapters_identity_is_that_of_its_weights_not_of_its_place(tmp_path):
    one = adapter(tmp_path / "a", "../base")
    two = adapter(tmp_path / "b", "/elsewhere/base")
    other = adapter(tmp_path / "c", "../base", rank=16)
    assert adapter_identity(one) == adapter_identity(two) != adapter_identity(other)


def test_weights_are_swapped_only_between_models_of_one_shape_and_tokenizer(tmp_path):
    one = model(tmp_path / "one", transformers_version="5.1")
    assert is_same_engine(one, model(tmp_path / "two", transformers_version="5.2"))
    assert not is_same_engine(one, model(tmp_path / "wide", hidden_size=16))
    assert not is_same_engine(one, model(tmp_path / "kind", model_type="qwen"))
    assert not is_same_engine(one, model(tmp_path / "talk", template="y"))


def test_remote_code_is_never_run_by_default(tmp_path):
    assert VllmOptions(model=tmp_path).trust_remote_code is False
