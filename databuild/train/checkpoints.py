"""Checkpoints to go on from: the newest one that is whole, and what became of the others."""

from __future__ import annotations

import json
import shutil
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_STATE = "trainer_state.json"


def newest(folder: Path) -> Path | None:
    """Return the newest checkpoint of a folder; see `drop_broken`, which goes before."""
    found = [(_step(path), path) for path in folder.glob("checkpoint-*") if _step(path) >= 0]
    return max(found)[1] if found else None


def drop_broken(folder: Path) -> list[str]:
    """Remove every checkpoint that a kill or a full disk cut in half, and say which and why.

    A checkpoint is whole where its state can be read, its weights are as long as their headers say,
    the state of optimiser and schedule are complete archives, and the best checkpoint so far, which
    its state names, is whole, too. The trainer keeps two, so one before the last is there.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "checkpoint-5").mkdir()
        ...     drop_broken(Path(folder))
        ['checkpoint-5: trainer_state.json cannot be read']
    """
    said: list[str] = []
    while True:
        paths = sorted(folder.glob("checkpoint-*"), key=lambda path: (_step(path), path.name))
        faults = {path: fault for path in paths if (fault := _fault(path))}
        if not faults:
            return said
        for path, fault in faults.items():
            shutil.rmtree(path)
            said.append(f"{path.name}: {fault}")


def _step(path: Path) -> int:
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _fault(path: Path) -> str | None:
    try:
        state = json.loads((path / _STATE).read_text())
        best = state.get("best_model_checkpoint")
    except (OSError, ValueError, AttributeError):
        return f"{_STATE} cannot be read"
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        return "its weights are missing"
    for file in weights:
        if not is_whole(file):
            return f"{file.name} is cut off"
    for name in ("optimizer.pt", "scheduler.pt"):
        if not zipfile.is_zipfile(path / name):
            return f"{name} is cut off or missing"
    if best is not None and not (path.parent / best.rpartition("/")[2]).is_dir():
        return f"the best checkpoint so far, {best.rpartition('/')[2]}, is gone"
    return None


def is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.safetensors"
        ...     _ = file.write_bytes(bytes(4))
        ...     is_whole(file)
        False
    """
    size = file.stat().st_size
    with file.open("rb") as source:
        length = int.from_bytes(source.read(8), "little")
        if size < 8 or length > size - 8:
            return False
        try:
            header = json.loads(source.read(length))
        except ValueError:
            return False
    ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
    return size == 8 + length + max(ends, default=0)
