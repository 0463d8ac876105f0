"""The trainer as its callers meet it: a child process, a folder, one clear error."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest

from databuild.errors import RecipeError, SchemaError, ServiceError, StepError
from databuild.train import job, trainers, worker
from databuild.train.job import Training, train
from databuild.train.options import DpoOptions, LoraOptions, SftOptions
from databuild.train.passed_through import OWN
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
            child = max(psutil.Process().children(), key=psutil.Process.create_time)
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


def test_a_checkpoint_cut_in_half_is_said_and_the_one_before_is_taken(
    tiny: Path, tmp_path: Path
) -> None:
    rows = make_rows(24)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    options: dict[str, Any] = {"num_train_epochs": 3, "save_steps": 4, "save_dtype": "float32"}
    for folder in (straight, broken):
        folder.mkdir()
    here(describe(tiny, straight, rows, **options))
    training = describe(tiny, broken, rows, **options)

    def stop_late(message: dict[str, Any]) -> None:
        if message.get("step") == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker.carry_out(job._description(training), stop_late)
    folder = training.out / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-12", "checkpoint-8"]
    cut = folder / "checkpoint-12/adapter_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    metrics, told = here(training)
    assert metrics["resumed_from_step"] == 8
    said = "checkpoint-12: adapter_model.safetensors is cut off"
    assert metrics["checkpoints_left_out"] == [said]
    assert f"{said}; going on from checkpoint-8" in [message.get("note") for message in told]
    expected, found = weights(straight / "out/final"), weights(broken / "out/final")
    for name, value in expected.items():
        assert (value - found[name]).abs().max() < 1e-5, name


def test_the_rows_left_out_are_told_before_the_model_is_loaded(tiny: Path, tmp_path: Path) -> None:
    long = pl.DataFrame({"row_id": ["long"], "prompt": ["red " * 90], "response": ["blue"]})
    rows = pl.concat([make_rows(6), long])
    _, told = here(describe(tiny, tmp_path, rows))
    phases = [
        message.get("phase") or ("rows told" if "longest" in message else "") for message in told
    ]
    assert phases.index("rows told") < phases.index("model")
    (facts,) = [message for message in told if "longest" in message]
    assert (facts["rows"], facts["skipped"], facts["such_as"]) == (6, 1, ["long"])
    assert facts["reasons"] == {"too long": 1}


def test_dev_rows_choose_the_best_and_stop_early(tiny: Path, tmp_path: Path) -> None:
    # What is learnt of words in small letters makes these answers less and less likely.
    others = make_rows(6).with_columns(response=pl.lit("ZQXJKWVYP 0123456789 " * 3))
    others.write_parquet(tmp_path / "dev.parquet")
    options: dict[str, Any] = {
        "num_train_epochs": 12, "learning_rate": 0.02, "lora": LoraOptions(r=32, alpha=64),
        "save_steps": 3,
    }  # fmt: skip
    made = {}
    for patience in (None, 2):
        (tmp_path / str(patience)).mkdir()
        training = describe(
            tiny,
            tmp_path / str(patience),
            make_rows(12),
            early_stopping_patience=patience,
            **options,
        )
        training = replace(training, eval_rows=tmp_path / "dev.parquet")
        made[patience], _ = here(training)
    full, early = made[None], made[2]
    losses = [one["eval_loss"] for one in full["history"] if "eval_loss" in one]
    stalled = losses.index(min(losses)) + 2
    assert early["steps"] == 3 * (stalled + 1) < full["steps"] == 36
    assert early["stopped_early"]
    assert not full["stopped_early"]
    assert (early["rows_used"], early["rows_evaluated"]) == (12, 6)
    assert early["best_step"] == full["best_step"] == 3 * (losses.index(min(losses)) + 1)


def test_what_trl_knows_is_passed_through_and_what_it_does_not_is_named(
    tiny: Path, tmp_path: Path
) -> None:
    metrics, _ = here(describe(tiny, tmp_path, make_rows(4), trainer={"max_steps": 3}))
    assert metrics["steps"] == 3
    told: list[dict[str, Any]] = []
    for rows, name, owner in (
        (make_rows(4), "adam_beta22", "SFTConfig"), (make_rows(4, "dpo"), "ref_model_mixup_alfa", "DPOConfig"),
    ):  # fmt: skip
        training = describe(tiny, tmp_path, rows, trainer={name: 0.5})
        with pytest.raises(
            RecipeError,
            match=rf"trainer.{name}: {owner} has no such name; did you mean '(adam_beta2|ref_model_mixup_alpha)'",
        ):
            worker.carry_out(job._description(training), told.append)
    assert {message.get("phase") for message in told} == {"imports", "rows"}  # and no model
    with pytest.raises(RecipeError, match=r"SFTConfig refuses .*optim"):
        here(describe(tiny, tmp_path, make_rows(4), trainer={"optim": "no such optimiser"}))


def test_names_that_databuild_sets_are_all_refused(tiny: Path, tmp_path: Path) -> None:
    for rows in (make_rows(2), make_rows(2, "dpo")):
        training = describe(tiny, tmp_path, rows)
        kind = type(training.options)
        work: Any = SimpleNamespace(
            options=training.options, kind=training.kind, device="cpu", out=tmp_path
        )
        for name in trainers.arguments_of(work, has_eval=True):
            with pytest.raises(
                ValueError, match=rf"trainer\.{name} (is an option|cannot be passed)"
            ):
                kind.model_validate({"trainer": {name: 1}})
    from trl import DPOConfig, SFTConfig

    known = {field.name for field in dataclasses.fields(SFTConfig)}
    known |= {field.name for field in dataclasses.fields(DPOConfig)}
    assert set(OWN) <= known | {
        "group_by_length",
        "remove_unused_columns",
        "resume_from_checkpoint",
    }


def test_out_of_memory_names_the_setting_that_needs_less(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        message = "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
        raise RuntimeError(message)

    monkeypatch.setattr(trainers, "build", fail)
    with pytest.raises(
        ServiceError,
        match=r"out of memory with 4 rows of up to \d+ tokens at once: .*Fix: set "
        r"per_device_train_batch_size: 2 and gradient_accumulation_steps: 2\.",
    ):
        here(describe(tiny, tmp_path, make_rows(4)))
    monkeypatch.setattr(trainers, "build", lambda *_: int("no number"))
    with pytest.raises(ValueError, match="no number"):
        here(describe(tiny, tmp_path, make_rows(4), seed=1))


def test_a_killed_trainer_names_the_setting_that_needs_less(tiny: Path, tmp_path: Path) -> None:
    def kill(message: dict[str, Any]) -> None:
        if message.get("phase") == "model":
            max(psutil.Process().children(), key=psutil.Process.create_time).kill()

    training = describe(tiny, tmp_path, make_rows(4), per_device_train_batch_size=1)
    with pytest.raises(
        ServiceError, match=r"out of memory with 1 rows of up to \d+ tokens.*SIGKILL.*Fix: set grad"
    ):
        train(training, where="sft", on_progress=kill)
