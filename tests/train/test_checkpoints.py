from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from databuild.train.checkpoints import drop_broken, is_whole, newest
from databuild.train.saving import last_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def checkpoint(folder: Path, step: int, best: int | None = None) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    save_file({"w": np.arange(50.0)}, path / "model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt"):
        with zipfile.ZipFile(path / name, "w") as archive:
            archive.writestr("data", "x" * 100)
    chosen = str(folder / f"checkpoint-{best}") if best else None
    state = {"global_step": step, "best_model_checkpoint": chosen}
    (path / "trainer_state.json").write_text(json.dumps(state))
    return path


def test_whole_checkpoints_stay_and_the_newest_is_taken(tmp_path: Path) -> None:
    for step in (8, 10, 9):
        checkpoint(tmp_path, step)
    assert drop_broken(tmp_path) == []
    assert newest(tmp_path) == tmp_path / "checkpoint-10"
    assert newest(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"]
)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_cut_anywhere_breaks_its_checkpoint(name: str, share: float, tmp_path: Path) -> None:
    checkpoint(tmp_path, 2)
    file = checkpoint(tmp_path, 4) / name
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    (said,) = drop_broken(tmp_path)
    assert said.startswith((f"checkpoint-4: {name} is cut off", f"checkpoint-4: {name} cannot"))
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"


def test_what_is_missing_or_too_long_breaks_it_too(tmp_path: Path) -> None:
    (checkpoint(tmp_path, 2) / "model.safetensors").unlink()
    (checkpoint(tmp_path, 4) / "optimizer.pt").unlink()
    with (checkpoint(tmp_path, 6) / "model.safetensors").open("ab") as file:
        file.write(b"more")
    assert not is_whole(tmp_path / "checkpoint-6/model.safetensors")
    assert [said.partition(": ")[2] for said in drop_broken(tmp_path)] == [
        "its weights are missing", "optimizer.pt is cut off or missing",
        "model.safetensors is cut off",
    ]  # fmt: skip
    assert last_checkpoint(tmp_path) is None


def test_a_checkpoint_whose_best_one_is_gone_is_not_gone_on_from(tmp_path: Path) -> None:
    (checkpoint(tmp_path, 4, best=4) / "model.safetensors").write_bytes(b"x")
    checkpoint(tmp_path, 8, best=4)
    checkpoint(tmp_path, 2, best=2)
    assert drop_broken(tmp_path) == [
        "checkpoint-4: model.safetensors is cut off",
        "checkpoint-8: the best checkpoint so far, checkpoint-4, is gone",
    ]
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
