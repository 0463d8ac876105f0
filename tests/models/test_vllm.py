"""What can be known of the vLLM generator without vLLM; the rest is in tests/live/test_vllm.py."""

from __future__ import annotations

import pytest

from databuild.errors import ServiceError
from databuild.models.protocol import Message, Request, Sampling
from databuild.models.vllm import VllmGenerator, VllmOptions
from databuild.models.vllm_arguments import (
    choose_dtype,
    cpu_environment,
    engine_arguments,
    find_device,
)
from databuild.models.vllm_child import fold_seed


@pytest.mark.parametrize("bits", [32, 63])
def test_seeds_that_differ_anywhere_stay_different(bits):
    seeds = [1, 2, 1 + 2**32, 1 + 2**40, 1 + 2**63, 2**64 + 1, -1, 0, *range(1000, 20_000)]
    folded = {fold_seed(seed, bits) for seed in seeds}
    assert len(folded) == len(seeds)
    assert min(folded) >= 0
    assert max(folded) < 2**bits


def test_the_cpu_engine_never_cuts_a_prefill_and_reads_32_bits_of_seed(tmp_path):
    options = VllmOptions(model=tmp_path, max_model_len=8192, max_num_batched_tokens=512)
    arguments = engine_arguments(tmp_path, options, "cpu")
    assert arguments["enable_chunked_prefill"] is False
    assert arguments["max_num_batched_tokens"] == 8192
    assert arguments["seed_bits"] == 32
    assert arguments["enforce_eager"] is True


def test_a_gpu_keeps_vllms_own_defaults_and_63_bits_of_seed(tmp_path):
    arguments = engine_arguments(tmp_path, VllmOptions(model=tmp_path), "cuda")
    assert not {"enable_chunked_prefill", "max_num_batched_tokens", "block_size"} & set(arguments)
    assert (arguments["seed_bits"], arguments["dtype"]) == (63, "bfloat16")
    options = VllmOptions(model=tmp_path, enforce_eager=True, block_size=16)
    arguments = engine_arguments(tmp_path, options, "cuda")
    assert (arguments["enforce_eager"], arguments["block_size"]) == (True, 16)


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        ("avx512f avx512_vnni", "float32"),
        ("avx512f avx512_bf16", "bfloat16"),
        ("amx_bf16 amx_tile", "bfloat16"),
        ("asimd bf16 i8mm", "bfloat16"),
    ],
)
def test_auto_takes_bfloat16_only_where_the_cpu_has_it(tmp_path, flags, dtype):
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: fpu {flags}\n")
    assert choose_dtype("auto", "cpu", tmp_path / "cpuinfo") == dtype
    assert choose_dtype("float16", "cpu", tmp_path / "cpuinfo") == "float16"
    assert choose_dtype("auto", "cpu", tmp_path / "none") == "float32"


def test_a_hidden_gpu_is_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_device() == "cpu"
    assert find_device("cuda") == "cuda"


def test_a_small_machine_uses_all_its_cores_and_the_users_settings_win(monkeypatch, tmp_path):
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1})
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "3")
    env = cpu_environment(VllmOptions(model=tmp_path))
    assert env["VLLM_CPU_NUM_OF_RESERVED_CPU"] == "0"
    assert env["VLLM_CPU_KVCACHE_SPACE"] == "3"
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(32)))
    assert "VLLM_CPU_NUM_OF_RESERVED_CPU" not in cpu_environment(VllmOptions(model=tmp_path))


def test_a_folder_that_is_no_model_is_an_error_before_anything_starts(tmp_path):
    generator = VllmGenerator(VllmOptions(model=tmp_path), log=tmp_path / "log", where="answers")
    request = Request("a", (Message("user", "Hi"),), Sampling(), 1)
    with pytest.raises(ServiceError, match=r"^answers: .* is no model folder"):
        list(generator.stream([request]))
    with pytest.raises(ServiceError, match="is no model folder"):
        generator.load(tmp_path)
    assert list(generator.stream([])) == []
    assert not (tmp_path / "log").exists()


def test_weights_loaded_before_the_start_are_those_it_starts_with(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.json").write_text("{}")
    generator = VllmGenerator(VllmOptions(model=tmp_path), log=tmp_path / "log")
    generator.load(tmp_path / "new")
    assert generator.model == tmp_path / "new"
    assert generator.is_alive()
    generator.sleep()
    generator.close()
