"""What vLLM is started with: device, dtype, environment, and the arguments of its `LLM`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from databuild.engine.child import Json
    from databuild.models.fitting import Adapter
    from databuild.models.vllm import VllmOptions

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def find_device(wanted: Literal["auto", "cpu", "cuda"] = "auto") -> Literal["cpu", "cuda"]:
    """Return the device to use; `auto` looks for an NVIDIA or AMD device file, and asks no library.

    An empty CUDA_VISIBLE_DEVICES hides a GPU, as everywhere.
    """
    if wanted != "auto":
        return wanted
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}
    present = Path("/dev/nvidia0").exists() or Path("/dev/kfd").exists()
    present = present or any(Path("/dev").glob("nvidia[0-9]*"))
    return "cuda" if present and not hidden else "cpu"


def choose_dtype(dtype: Dtype, device: Literal["cpu", "cuda"], cpuinfo: Path | None = None) -> str:
    """Return the dtype to compute in.

    `auto` on a GPU is bfloat16; on a CPU it is bfloat16 only where /proc/cpuinfo lists avx512_bf16,
    amx_bf16 or (ARM) bf16. Elsewhere bfloat16 is emulated: one core of a Cascade Lake
    multiplies matrices at 80 GFLOPS in float32, 25 in bfloat16 and 7 in float16.
    """
    if dtype != "auto":
        return dtype
    if device == "cuda":
        return "bfloat16"
    try:
        flags = set((cpuinfo or Path("/proc/cpuinfo")).read_text().split())
    except OSError:
        flags = set()
    return "bfloat16" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "float32"


def cpu_environment(options: VllmOptions) -> dict[str, str]:
    """Return the environment that lets vLLM's CPU engine use the cores that there are.

    By default it leaves one core per process idle, half of a small machine: up to four cores all
    are bound. Waiting OpenMP threads sleep instead of spinning. What the user has set stays.
    """
    cores = len(os.sched_getaffinity(0))
    wanted = {
        "VLLM_CPU_KVCACHE_SPACE": str(options.kv_cache_gib),
        "OMP_WAIT_POLICY": "PASSIVE",
        "DATABUILD_VLLM_SLEEPS": "1",  # see vllm_child.sleep_while_waiting
        "VLLM_LOGGING_LEVEL": "ERROR",  # a float32 checkpoint warns once per tensor
    }
    if cores <= 4:
        wanted["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def lora_arguments(adapter: Adapter | None) -> Json:
    """Return what the child needs besides for an adapter; nothing without one."""
    if adapter is None:
        return {}
    # vLLM knows these ranks only; one engine serves all adapters up to the rank that it knows.
    rank = next((rank for rank in (8, 16, 32, 64, 128, 256, 320, 512) if rank >= adapter.rank), 0)
    lora = {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank or adapter.rank}
    return {**lora, "adapter": str(adapter.folder.resolve())}


def engine_arguments(model: Path, options: VllmOptions, device: Literal["cpu", "cuda"]) -> Json:
    """Return what the child gives to vLLM's `LLM`, plus `may_sleep` and `seed_bits` for itself."""
    on_cpu = device == "cpu"
    arguments: Json = {
        "model": str(model.resolve()),
        "dtype": choose_dtype(options.dtype, device),
        "max_model_len": options.max_model_len,
        "max_num_seqs": options.max_num_seqs or (128 if on_cpu else 256),
        "enforce_eager": on_cpu if options.enforce_eager is None else options.enforce_eager,
        "enable_prefix_caching": True,
        "tensor_parallel_size": options.tensor_parallel_size,
        "pipeline_parallel_size": options.pipeline_parallel_size,
        "trust_remote_code": options.trust_remote_code,
        "seed": 0,
        "generation_config": "auto",
        # JSON without free white space: small models would fill an answer with nothing else.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "may_sleep": not on_cpu,
        "seed_bits": 32 if on_cpu else 63,
    }
    if options.quantization:
        arguments["quantization"] = options.quantization
    if on_cpu:
        budget = max(options.max_num_batched_tokens or 4096, options.max_model_len)
        arguments |= {"enable_chunked_prefill": False, "max_num_batched_tokens": budget}
        arguments["block_size"] = options.block_size or 32
        return arguments
    arguments["gpu_memory_utilization"] = options.gpu_memory_utilization
    if options.max_num_batched_tokens:
        arguments["max_num_batched_tokens"] = options.max_num_batched_tokens
    if options.block_size:
        arguments["block_size"] = options.block_size
    return arguments
