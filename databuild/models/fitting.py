"""What can be said of a model folder before an engine loads it: adapter or whole, does it fit."""

from __future__ import annotations

import json
import math
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from databuild.errors import ServiceError

if TYPE_CHECKING:
    from databuild.models.vllm import VllmOptions

GIB = 1 << 30
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_FLOATS = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}
_OVERHEAD_GIB = 0.5
"""What the engine takes besides weights and cache, at least: interpreter, torch, activations."""
_HAS_OWN_TEMPLATE = ("chat_template.jinja", "chat_template.json", "tekken.json")


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter and the model that it stands on."""

    folder: Path
    base: Path
    rank: int


def adapter_in(folder: Path) -> Adapter | None:
    """The adapter that a folder holds; None where it holds a whole model, or none.

    A folder with `adapter_config.json` and no `config.json` is an adapter, as peft writes it; its
    base is `base_model_name_or_path`, a folder of this machine (a relative one lies beside it).

    Raises:
        ServiceError: The file cannot be read, or the base is no folder here.
    """
    path = Path(folder) / "adapter_config.json"
    if not path.is_file() or (Path(folder) / "config.json").is_file():
        return None
    try:
        told = json.loads(path.read_text("utf-8"))
        named, rank = str(told["base_model_name_or_path"]), int(told.get("r", 8))
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{path} is no description of an adapter: {type(error).__name__}: {error}"
        raise ServiceError(
            "model", what, fix="name the folder of a LoRA adapter of peft"
        ) from error
    base = (Path(folder) / named).resolve()
    if not (base / "config.json").is_file():
        what = f"the adapter {folder} stands on {named!r}, which is no model folder here"
        fix = "put the folder's path into `base_model_name_or_path` of adapter_config.json"
        raise ServiceError("model", what, fix=fix)
    return Adapter(Path(folder), base, rank)


def weights_gib(folder: Path, dtype: str) -> float | None:
    """GiB that a folder's safetensors take in `dtype` (`auto`: as they are stored); None without.

    Read off the files' headers: each tensor's shape; floats count in `dtype`, the rest as stored.
    """
    total = 0
    files = sorted(Path(folder).glob("*.safetensors"))
    for path in files:
        for tensor in _header(path).values():
            begin, end = tensor["data_offsets"]
            stored = _FLOATS.get(tensor["dtype"])
            wanted = _BYTES.get(dtype)
            is_cast = stored is not None and wanted is not None
            total += math.prod(tensor["shape"]) * wanted if is_cast and wanted else end - begin
    return total / GIB if files else None


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as source:
            (size,) = struct.unpack("<Q", source.read(8))
            told = json.loads(source.read(size))
    except (OSError, ValueError, struct.error) as error:
        what = f"{path} is no whole safetensors file: {error}"
        raise ServiceError("model", what, fix="fetch or write the model again") from error
    return {name: tensor for name, tensor in told.items() if name != "__metadata__"}


def has_chat_template(folder: Path) -> bool:
    """Whether a folder says how a conversation is written for its model."""
    if any((Path(folder) / name).is_file() for name in _HAS_OWN_TEMPLATE):
        return True
    try:
        told = json.loads((Path(folder) / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return bool(told.get("chat_template"))


def is_same_engine(one: Path, other: Path) -> bool:
    """Whether an engine that serves one folder can take the weights of the other.

    So it is where the sizes that stand in both config.json are equal, and the tokenizers have the
    same vocabulary and chat template.
    """
    if Path(one).resolve() == Path(other).resolve():
        return True
    mine, theirs = (_told(folder, "config.json") for folder in (one, other))
    sizes = [name for name in _SIZES if name in mine and name in theirs]
    if any(mine[name] != theirs[name] for name in sizes) or "model_type" not in sizes:
        return False
    return _speech(one) == _speech(other)


_SIZES = (
    "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "vocab_size", "tie_word_embeddings", "num_local_experts",
    "max_position_embeddings",
)  # fmt: skip


def _told(folder: Path, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads((Path(folder) / name).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _speech(folder: Path) -> tuple[Any, Any]:
    """The vocabulary and the chat template of a folder."""
    vocabulary = _told(folder, "tokenizer.json").get("model")
    path = Path(folder) / "chat_template.jinja"
    if path.is_file():
        return vocabulary, path.read_text("utf-8")
    return vocabulary, _told(folder, "tokenizer_config.json").get("chat_template")


def free_gib(device: Literal["cpu", "cuda"]) -> float | None:
    """GiB that a model can have: free memory on a CPU, the smallest GPU's; None if unknown."""
    if device == "cpu":
        import psutil

        return float(psutil.virtual_memory().available) / GIB
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return min(float(line) for line in told.stdout.split()) / 1024
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def check_fit(
    folder: Path, options: VllmOptions, device: Literal["cpu", "cuda"], dtype: str, where: str
) -> None:
    """Refuse a model that an engine could not serve, before it spends minutes on loading it.

    Args:
        folder: The model's folder (an adapter's base).
        options: How the engine is built.
        device: What it runs on.
        dtype: What it computes in.
        where: The step that the errors name.

    Raises:
        ServiceError: It is no model folder, has no chat template, or weights and cache are larger
            than the memory.
    """
    if not (Path(folder) / "config.json").is_file():
        what = f"{folder} is no model folder (it has no config.json)"
        raise ServiceError(where, what, fix="name a Hugging Face model folder")
    if not has_chat_template(folder):
        what = f"the tokenizer of {folder} has no chat template, so it cannot be asked"
        fix = "use an instruct model, or add chat_template.jinja to the folder"
        raise ServiceError(where, what, fix=fix)
    weights, free = weights_gib(folder, "auto" if options.quantization else dtype), free_gib(device)
    if weights is None or free is None:
        return
    shares = options.tensor_parallel_size * options.pipeline_parallel_size
    if device == "cuda":
        free, cache, told = free * options.gpu_memory_utilization, 0.0, "one GPU lets it have"
    else:
        cache, told = float(options.kv_cache_gib), "is free"
        shares = 1
    needed = weights / shares + cache + _OVERHEAD_GIB
    if device == "cpu":
        needed *= options.data_parallel_size
    if needed > free:
        parts = f"{weights:.1f} GiB of weights in {dtype}"
        parts += f" over {shares} GPUs" if shares > 1 else ""
        parts += f", {cache:g} GiB of cache" if cache else ""
        parts += (
            f", in each of {options.data_parallel_size}" if options.data_parallel_size > 1 else ""
        )
        what = f"{folder} needs about {needed:.1f} GiB ({parts}); {free:.1f} GiB {told}"
        fix = "take a smaller or quantised model, a smaller kv_cache_gib, or more GPUs"
        raise ServiceError(where, what, fix=fix)
