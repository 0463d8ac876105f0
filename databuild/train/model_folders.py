"""Model folders that a training writes: merged, saved, whole or not there."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from databuild.train.work import Work


def whole(work: Work, model: Any) -> Any:
    """The model with its adapter merged, in the type that the job saves."""
    import torch

    if work.options.lora is not None:
        model = model.float().merge_and_unload()  # merged before rounding, once
    wanted = work.options.save_dtype
    if wanted == "auto":
        wanted = json.loads((work.model / "config.json").read_text()).get("dtype") or "float32"
    return model.to(getattr(torch, wanted))


def write(work: Work, model: Any, tokenizer: Any, target: Path) -> None:
    """Save a model with its tokenizer, whole or not at all."""

    def fill(part: Path) -> None:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)

    work.phase(f"saving {target.name}")
    replace(target, fill)


def replace(target: Path, fill: Callable[[Path], Any]) -> None:
    """Fill a folder beside `target`, then rename it: `target` is whole or not there."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    fill(part)
    for path in part.iterdir():  # safetensors makes its files private; a server may be another user
        path.chmod(part.stat().st_mode & 0o666)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def link(source: Path, target: Path) -> None:
    """Give the files of one folder to another, without a copy where the file system can."""
    for path in source.iterdir():
        try:
            os.link(path, target / path.name)
        except OSError:  # a file system without hard links
            shutil.copy2(path, target / path.name)
