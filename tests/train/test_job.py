"""The trainer as its callers meet it: a child process, a folder, one clear error."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest

from databuild.errors import SchemaError, ServiceError, StepError
from databuild.train import job, worker
from databuild.train.job import Training, train
from databuild.train.options import DpoOptions, LoraOptions, SftOptions
from databuild.train.saving import last_checkpoint
from tests.train.conftest import make_rows

pytestmark = pytest.mark.slow

QUICK: dict[str, Any] = {
    "max_length": 200, "learning_rate": 1e-2, "dtype": "float32", "per_device_train_batch_size": 4,
}  # fmt: skip


def describe(tiny: Path, folder: Path, rows: pl.DataFrame, **options: Any) -> Training:
    rows.write_parquet(folder / "rows.parquet")
    kind = DpoOptions if "chosen" in rows.columns else SftOptions
    return Training(
        "dpo" if "chosen" in rows.columns else "sft",
        model=tiny,
        rows=folder / "rows.parquet",
        out=folder / "out",
        options=kind.model_validate({**QUICK, **options}),
        device="cpu",
    )


def here(training: Training) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Do the child's work in this process, which saves ten seconds of imports per test."""
    told: list[dict[str, Any]] = []
    return worker.carry_out(job._description(training), told.append), told


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_sft_leaves_whole_models_and_accounts_for_every_row(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    long = pl.DataFrame({"row_id": ["long"], "prompt": ["red " * 90], "response": ["blue"]})
    rows = pl.concat([make_rows(12), long])
    metrics, told = here(describe(tiny, tmp_path, rows, num_train_epochs=4))
    assert metrics["rows_used"] == 12
    assert metrics["rows_skipped"] == [
        {"row_id": "long", "reason": "too long: 385 tokens, max_length is 200"}
    ]
    steps = [message for message in told if "step" in message]
    assert [message["step"] for message in steps] == list(range(1, 13))
    assert {message["total"] for message in steps} == {12}
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.3
    out = tmp_path / "out"
    assert json.loads((out / "metrics.json").read_text()) == metrics
    for name in ("best", "final"):
        AutoModelForCausalLM.from_pretrained(out / name)
        assert AutoTokenizer.from_pretrained(out / name).chat_template
    assert (out / "best/model.safetensors").samefile(out / "final/model.safetensors")
    assert metrics["best_chosen_by"] == "no evaluation rows: final"
    assert (out / "adapter/adapter_model.safetensors").exists()
    assert not (out / "checkpoints").exists()
    before = (out / "final/model.safetensors").stat().st_mtime_ns
    assert here(describe(tiny, tmp_path, rows, num_train_epochs=4))[0] == metrics  # nothing to do
    assert (out / "final/model.safetensors").stat().st_mtime_ns == before


def test_best_is_the_checkpoint_of_the_lowest_evaluation_loss(tiny: Path, tmp_path: Path) -> None:
    # Trained far too hard on few rows, the loss on the rows held back rises again.
    training = describe(
        tiny, tmp_path, make_rows(16), num_train_epochs=12, learning_rate=0.05,
        eval_fraction=0.25, lora=LoraOptions(r=32, alpha=64), save_steps=3, save_dtype="float32",
    )  # fmt: skip
    metrics, _ = here(training)
    losses = {e["step"]: e["eval_loss"] for e in metrics["history"] if "eval_loss" in e}
    assert metrics["best_step"] == min(losses, key=lambda step: losses[step])
    assert metrics["best_eval_loss"] == pytest.approx(min(losses.values()))
    assert (metrics["rows_used"], metrics["rows_evaluated"]) == (12, 4)
    best, final = weights(tmp_path / "out/best"), weights(tmp_path / "out/final")
    same = all((best[name] == final[name]).all() for name in best)
    assert same == metrics["best_is_final"]
    assert not metrics["best_is_final"]


@pytest.mark.parametrize("lora", [LoraOptions(), None])
def test_dpo_learns_to_prefer(tiny: Path, tmp_path: Path, lora: LoraOptions | None) -> None:
    rows = make_rows(12, "dpo")
    training = describe(tiny, tmp_path, rows, num_train_epochs=4, lora=lora, learning_rate=3e-3)
    metrics, _ = here(training)
    accuracies = [e["rewards/accuracies"] for e in metrics["history"] if "rewards/accuracies" in e]
    assert np.mean(accuracies[-3:]) > 0.7
    assert metrics["adapter"] == ("adapter" if lora else None)


def test_the_training_seed_decides_and_nothing_else(tiny: Path, tmp_path: Path) -> None:
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        training = describe(tiny, tmp_path / name, make_rows(12), seed=seed, save_dtype="float32")
        here(training)
        made.append(weights(training.out / "final"))
    first, again, other = made
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


def test_other_options_start_afresh_in_the_same_folder(tiny: Path, tmp_path: Path) -> None:
    first, _ = here(describe(tiny, tmp_path, make_rows(8)))
    second, _ = here(describe(tiny, tmp_path, make_rows(8), learning_rate=1e-3))
    assert first["options"]["learning_rate"] == 1e-2
    assert second["options"]["learning_rate"] == 1e-3
    assert second["resumed_from_step"] is None


def test_no_usable_row_is_one_clear_error(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"4 of 4 rows cannot be used \(too long\)\. Fix: give"):
        train(describe(tiny, tmp_path, make_rows(4), max_length=20), where="sft")
    with pytest.raises(StepError, match="the table is empty"):
        here(describe(tiny, tmp_path, make_rows(1).clear()))


def test_a_missing_column_is_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"no column \['completion'\]"):
        here(describe(tiny, tmp_path, make_rows(2).drop("response")))


def test_a_loss_that_is_no_number_stops_with_advice(tiny: Path, tmp_path: Path) -> None:
    training = describe(
        tiny,
        tmp_path,
        make_rows(40),
        learning_rate=1e30,
        warmup_steps=0,
        lora=None,
        max_grad_norm=0,
    )
    with pytest.raises(
        ServiceError, match=r"is nan after step \d.*train\.log.*lower learning_rate"
    ):
        train(training, where="sft")


def test_a_broken_model_folder_is_one_error_that_names_the_log(tiny: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    (model / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(
        ServiceError, match=r"sft: .*worker failed.*Fix: read the whole log, .*train"
    ):
        train(describe(model, tmp_path, make_rows(4)), where="sft")


def test_an_unfinished_checkpoint_is_not_gone_on_from(tmp_path: Path) -> None:
    for step, state in ((2, '{"global_step": 2}'), (10, '{"global_step": 10}'), (12, '{"glo')):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-14").mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2"]


def test_killed_and_resumed_is_the_straight_run(tiny: Path, tmp_path: Path) -> None:
    rows = make_rows(24)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    options: dict[str, Any] = {
        "num_train_epochs": 3, "save_steps": 4, "save_dtype": "float32",
        "lora": LoraOptions(dropout=0.1),
    }  # fmt: skip
    for folder in (straight, broken):
        folder.mkdir()
    here(describe(tiny, straight, rows, **options))
    training = describe(tiny, broken, rows, **options)
    killed = []

    def kill_in_the_second_epoch(message: dict[str, Any]) -> None:
        if message.get("step", 0) >= 10 and not killed:
            (child,) = psutil.Process().children()
            killed.append(child.pid)
            child.kill()

    with pytest.raises(ServiceError, match="killed by SIGKILL"):
        train(training, where="sft", on_progress=kill_in_the_second_epoch)
    metrics = train(training, where="sft")
    assert metrics["resumed_from_step"] in {8, 12, 16}
    assert metrics["steps"] == 18
    expected, found = weights(straight / "out/final"), weights(broken / "out/final")
    for name, value in expected.items():
        assert (value - found[name]).abs().max() < 1e-5, name


PARENT = """
import json, sys
from pathlib import Path
from databuild.train.job import Training, train
from databuild.train.options import SftOptions
folder = Path(sys.argv[2])
options = SftOptions(num_train_epochs=500, dtype="float32")
rows, out = folder / "rows.parquet", folder / "out"
training = Training("sft", Path(sys.argv[1]), rows, out, options, "cpu")
assert "torch" not in sys.modules
train(training, on_progress=lambda message: print(json.dumps(message), flush=True))
"""


def test_the_worker_dies_with_its_parent(tiny: Path, tmp_path: Path) -> None:
    make_rows(16).write_parquet(tmp_path / "rows.parquet")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tiny), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert parent.stdout is not None
    assert any("step" in json.loads(line) for line in iter(parent.stdout.readline, "") if line)
    (child,) = psutil.Process(parent.pid).children()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.1)
