"""Which model is this? Names for weights that change when, and only when, the answers may."""

from __future__ import annotations

import json
from pathlib import Path

import xxhash

from databuild.errors import ServiceError

DECIDES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "adapter_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)
"""Files of a Hugging Face folder, besides the weights, that decide what a model answers."""
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf", "*.safetensors.index.json")


def folder_identity(folder: Path) -> str:
    """Return `hf@` and the xxh3-128 of a model folder's weights, config, tokenizer and template.

    The hash runs over each file's path and content hash, sorted by name; where the folder lies,
    its times and its other files (optimizer states, cards, logs) do not count.

    Raises:
        ServiceError: The folder has no config.json or no weights, or cannot be read.
    """
    folder = Path(folder)
    weights = {path for pattern in WEIGHTS for path in folder.glob(pattern)}
    files = weights | {folder / name for name in DECIDES if (folder / name).is_file()}
    if not weights or folder / "config.json" not in files:
        what = f"{folder} is no model folder (it lacks config.json or weights)"
        raise ServiceError("model", what, fix="name a Hugging Face model folder")
    total = xxhash.xxh3_128()
    for path in sorted(files):
        total.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return f"hf@{total.hexdigest()}"


def adapter_identity(folder: Path) -> str:
    """Return `lora@` and the xxh3-128 of an adapter's weights and of what its config decides.

    Where the base lies does not count: the base has an identity of its own.

    Raises:
        ServiceError: The folder has no weights, or cannot be read.
    """
    weights = sorted(path for pattern in WEIGHTS for path in Path(folder).glob(pattern))
    if not weights:
        what = f"{folder} is no adapter (it lacks weights)"
        raise ServiceError("model", what, fix="name the folder of a LoRA adapter of peft")
    told = json.loads((Path(folder) / "adapter_config.json").read_text("utf-8"))
    told.pop("base_model_name_or_path", None)
    total = xxhash.xxh3_128(json.dumps(told, sort_keys=True).encode())
    for path in weights:
        total.update(f"{path.name}\0{file_digest(path)}\n".encode())
    return f"lora@{total.hexdigest()}"


def file_digest(path: Path) -> str:
    """Return the xxh3-128 (hex) of a file's bytes, read in pieces of 8 MiB.

    Raises:
        ServiceError: The file cannot be read.
    """
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as source:
            while piece := source.read(8 << 20):
                digest.update(piece)
    except OSError as error:
        raise ServiceError("model", f"cannot read {path}: {error}", fix="restore it") from error
    return digest.hexdigest()
