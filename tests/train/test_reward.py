"""Training a reward model: TRL's loss, whole models, held-back prompts, kills, bad starts."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import psutil
import pytest

from databuild.engine.resources import Silence
from databuild.errors import RecipeError, ServiceError, StepError
from databuild.models.fake import FakeOptions
from databuild.models.fake_training import save_fake
from databuild.train import reward_trainer, reward_worker
from databuild.train.job import Training, train
from databuild.train.options import LoraOptions
from databuild.train.reward import RewardConfig, train_reward
from databuild.train.reward_options import RewardOptions
from databuild.train.reward_pairs import Pair, read_pairs
from databuild.train.trainers import load_tokenizer
from tests.train.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

QUICK: dict[str, Any] = {
    "max_length": 200, "learning_rate": 1e-2, "dtype": "float32", "per_device_train_batch_size": 8,
}  # fmt: skip


def here(model: Path, folder: Path, rows: pl.DataFrame, **options: Any) -> dict[str, Any]:
    """Do the child's work in this process, which saves ten seconds of imports per test."""
    rows.write_parquet(folder / "rows.parquet")
    described = RewardOptions.model_validate({**QUICK, **options})
    job = {
        "model": str(model), "rows": str(folder / "rows.parquet"), "out": str(folder / "out"),
        "options": described.model_dump(mode="json"), "device": "cpu", "kind": "reward",
        "eval_rows": str(folder / "dev.parquet") if (folder / "dev.parquet").exists() else None,
    }  # fmt: skip
    return reward_worker.carry_out(job, lambda _message: None)


def tell_apart(n: int, prompts: int = 0) -> pl.DataFrame:
    """Pairs of which the chosen answer ends in "chosen"; `prompts` different prompts."""
    rows = make_rows(n, "dpo")
    numbers = pl.int_range(pl.len()) % (prompts or n)
    return rows.with_columns(prompt=pl.format("colour {}", numbers))


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_at_weight_one_loss_and_gradients_are_trls(tiny: Path, tmp_path: Path) -> None:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig as TrlConfig
    from trl import RewardTrainer

    # Two pairs share their chosen text: it is read once here, twice by TRL.
    pairs = [
        Pair("a", 0, [5, 6, 7], [5, 8], 1, 0.5), Pair("b", 0, [5, 6, 7], [5, 9, 9, 9], 1, 0.0),
        Pair("c", 1, [11, 12], [11, 13, 14], 1, 1.5),
    ]  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    args = TrlConfig(
        output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False, max_length=None,
        gradient_checkpointing=False, center_rewards_coefficient=0.1, disable_tqdm=True,
    )  # fmt: skip
    rows = [
        {"chosen_ids": p.chosen_ids, "rejected_ids": p.rejected_ids, "margin": p.margin}
        for p in pairs
    ]
    found = []
    for is_ours in (False, True):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1)
        data = [{**row, **({"weight": 3.0} if is_ours else {})} for row in rows]
        kind = reward_trainer.trainer_class(pairs, 3.0) if is_ours else RewardTrainer
        collate = {"data_collator": reward_trainer.collator(tokenizer.pad_token_id)}
        trainer = kind(
            model=model, args=args, processing_class=tokenizer,
            train_dataset=Dataset.from_list(data), **(collate if is_ours else {}),
        )  # fmt: skip
        batch = trainer.data_collator(data)
        assert batch["input_ids"].shape[0] == (5 if is_ours else 6)
        model.train()
        loss = trainer.compute_loss(model, batch)
        loss.backward()
        grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        found.append((loss.item(), grads))
    (theirs, their_grads), (ours, our_grads) = found
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert their_grads.keys() == our_grads.keys()
    for name, grad in their_grads.items():
        assert (grad - our_grads[name]).abs().max() < 1e-5, name


def test_a_weighted_loss_by_hand(tiny: Path) -> None:
    import torch

    class Known(torch.nn.Module):
        def forward(self, **_given: Any) -> Any:
            rewards = torch.tensor([2.0, 0.5, -1.0])
            return type("Output", (), {"logits": rewards[:, None]})

    pairs = [Pair("a", 0, [5], [6], 0, 0.25, 1.0), Pair("b", 0, [5], [7], 0, 0.0, 3.0)]
    kind = reward_trainer.trainer_class(pairs, 2.0)
    trainer = kind.__new__(kind)
    trainer.model = Known()
    trainer.args = type("Args", (), {"center_rewards_coefficient": 0.1})
    trainer._metrics = {"train": defaultdict(list)}
    rows = [reward_trainer._row(pair) for pair in pairs]
    loss = trainer.compute_loss(Known(), reward_trainer.collator(0)(rows)).item()
    first = 0.5 * np.log1p(np.exp(-(2.0 - 0.5 - 0.25)))
    second = 1.5 * np.log1p(np.exp(-(2.0 + 1.0)))
    centred = 0.1 * ((2.0 + 0.5) ** 2 + (2.0 - 1.0) ** 2) / 2
    assert loss == pytest.approx((first + second) / 2 + centred, rel=1e-6)
    assert trainer._metrics["train"]["accuracy"] == [1.0]
    assert trainer._metrics["train"]["margin"] == [2.25]


@pytest.mark.parametrize("lora", [LoraOptions(), None])
def test_it_learns_and_leaves_whole_models(
    tiny: Path, tmp_path: Path, lora: LoraOptions | None
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    long = pl.DataFrame(
        {"row_id": ["long"], "prompt": ["red " * 90], "chosen": ["blue"], "rejected": ["red"]}
    )
    rows = pl.concat([tell_apart(48), long])
    rate = 1e-2 if lora else 3e-3
    metrics = here(
        tiny, tmp_path, rows, num_train_epochs=6, eval_fraction=0.25, lora=lora, learning_rate=rate
    )
    assert metrics["held_out"]["accuracy"] >= 0.9
    assert metrics["held_out"]["auc"] >= 0.9
    assert (metrics["held_out"]["pairs"], metrics["rows_used"]) == (12, 36)
    assert [row["row_id"] for row in metrics["rows_skipped"]] == ["long"]
    assert metrics["overfit"] is None
    out = tmp_path / "out"
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert (out / "adapter").exists() == (lora is not None)
    for name in ("best", "final"):
        model = AutoModelForSequenceClassification.from_pretrained(out / name)
        tokenizer = AutoTokenizer.from_pretrained(out / name)
        assert model.config.num_labels == 1
        assert model.config.pad_token_id == tokenizer.pad_token_id
    assert here(
        tiny, tmp_path, rows, num_train_epochs=6, eval_fraction=0.25, lora=lora, learning_rate=rate
    ) == metrics  # nothing to do  # fmt: skip


def test_learning_by_heart_is_said(tiny: Path, tmp_path: Path) -> None:
    rows = make_rows(80, "dpo", words=4)
    rng = np.random.default_rng(5)
    flipped = pl.Series(rng.random(80) < 0.5)
    texts = rows.with_columns(pl.col("chosen", "rejected").str.replace(r" \w+$", ""))
    noise = texts.with_columns(
        chosen=pl.when(flipped).then("rejected").otherwise("chosen"),
        rejected=pl.when(flipped).then("chosen").otherwise("rejected"),
    )
    metrics = here(
        tiny, tmp_path, noise, num_train_epochs=40, eval_fraction=0.4, save_steps=1000,
        learning_rate=5e-3, lora=None, center_rewards_coefficient=None,
    )  # fmt: skip
    assert metrics["trained"]["accuracy"] > 0.9
    assert metrics["overfit"].startswith("over-fitted: ")


def test_a_start_with_fewer_layers_and_a_reward_model_as_start(tiny: Path, tmp_path: Path) -> None:
    first = here(tiny, tmp_path, tell_apart(24), first_layers=1, eval_fraction=0.0)
    assert (first["held_out"], first["best_chosen_by"]) == (None, "no evaluation rows: final")
    best = tmp_path / "out/best"
    assert json.loads((best / "config.json").read_text())["num_hidden_layers"] == 1
    second = tmp_path / "second"
    second.mkdir()
    here(best, second, tell_apart(24), learning_rate=1e-9, eval_fraction=0.0, lora=None)
    kept, made = weights(best), weights(second / "out/best")
    assert float(kept["score.weight"].abs().max()) > 0
    assert (kept["score.weight"] - made["score.weight"]).abs().max() < 1e-5  # its head is kept


def test_a_classifier_of_two_labels_is_no_start(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    model = tmp_path / "two"
    shutil.copytree(tiny, model)
    AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=2).save_pretrained(model)
    config = RewardConfig(model="two")
    with pytest.raises(StepError, match=r"classifier with 2 labels.*Fix: start from"):
        train_reward(
            tell_apart(4), config, model=model, scratch=tmp_path, out=tmp_path, device="cpu",
            progress=Silence(),
        )  # fmt: skip


def test_killed_and_resumed_is_the_straight_run(tiny: Path, tmp_path: Path) -> None:
    rows = tell_apart(48, prompts=16)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    options: dict[str, Any] = {
        "num_train_epochs": 3, "save_steps": 4, "save_dtype": "float32", "eval_fraction": 0.25,
        "random_negatives": 0.5, "lora": LoraOptions(dropout=0.1),
    }  # fmt: skip
    for folder in (straight, broken):
        folder.mkdir()
        rows.write_parquet(folder / "rows.parquet")
    expected = here(tiny, straight, rows, **options)
    killed = []

    def kill_in_the_second_epoch(message: dict[str, Any]) -> None:
        if message.get("step", 0) >= 10 and not killed:
            child = max(psutil.Process().children(), key=psutil.Process.create_time)
            killed.append(child.pid)
            child.kill()

    described = RewardOptions.model_validate({**QUICK, **options})
    given = Training(
        "reward", model=tiny, rows=broken / "rows.parquet", out=broken / "out", options=described,
        device="cpu",
    )  # fmt: skip
    with pytest.raises(ServiceError, match="killed by SIGKILL"):
        train(given, on_progress=kill_in_the_second_epoch)
    metrics = train(given)
    assert metrics["resumed_from_step"] in {8, 12}
    assert metrics["steps"] == expected["steps"]
    assert metrics["held_out"] == expected["held_out"]
    wanted, found = weights(straight / "out/final"), weights(broken / "out/final")
    for name, value in wanted.items():
        assert (value - found[name]).abs().max() < 1e-4, name


def test_nothing_to_train_on_is_said_before_a_model_is_loaded(tiny: Path, tmp_path: Path) -> None:
    rows = tell_apart(4)
    with pytest.raises(StepError, match="no rows to train on"):
        train_reward(
            rows.clear(), RewardConfig(model="m"), model=tiny, scratch=tmp_path, out=tmp_path,
            device="cpu", progress=Silence(),
        )  # fmt: skip
    with pytest.raises(StepError, match=r"4 of 4 rows cannot be used \(too long\)\. Fix: give"):
        here(tiny, tmp_path, rows, max_length=20)


def test_out_of_memory_names_what_would_fit(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def train(self, **_given: Any) -> None:
            message = "CUDA out of memory. Tried to allocate 2 GiB."
            raise RuntimeError(message)

    monkeypatch.setattr(reward_trainer, "build", lambda *_given: Full())
    fix = r"Fix: set per_device_train_batch_size: 4 and gradient_accumulation_steps: 2"
    with pytest.raises(ServiceError, match=rf"with 8 rows of up to \d+ tokens at once.*{fix}"):
        here(tiny, tmp_path, tell_apart(8))
    with pytest.raises(ServiceError, match="gradient_checkpointing: true"):
        here(tiny, tmp_path, tell_apart(8), per_device_train_batch_size=1)


def test_dev_pairs_choose_the_best_and_stop_early(tiny: Path, tmp_path: Path) -> None:
    rows = tell_apart(24)
    # What is learnt is turned round here, so that the loss on these pairs only rises.
    swapped = rows.select("row_id", "prompt", chosen="rejected", rejected="chosen")
    swapped.write_parquet(tmp_path / "dev.parquet")
    options: dict[str, Any] = {"num_train_epochs": 8, "save_steps": 2, "learning_rate": 3e-2}
    early = here(tiny, tmp_path, rows, early_stopping_patience=2, **options)
    losses = [one["eval_loss"] for one in early["history"] if "eval_loss" in one]
    stalled = losses.index(min(losses)) + 2
    assert (early["rows_used"], early["rows_evaluated"]) == (24, 24)
    assert early["stopped_early"]
    assert early["steps"] == 2 * (stalled + 1) < 24
    assert early["best_step"] == 2 * (losses.index(min(losses)) + 1)
    assert early["held_out"]["accuracy"] < 0.6


def test_what_trl_knows_is_passed_through_and_curves_are_drawn(tiny: Path, tmp_path: Path) -> None:
    config = RewardConfig.model_validate(
        {"model": "m", "trainer": {"max_steps": 3}, "eval_fraction": 0.25, "dtype": "float32"}
    )
    for name in ("scratch", "out"):
        (tmp_path / name).mkdir()
    metrics = train_reward(
        tell_apart(24), config, model=tiny, scratch=tmp_path / "scratch", out=tmp_path / "out",
        device="cpu", progress=Silence(),
    )  # fmt: skip
    assert metrics["steps"] == 3
    drawn = (tmp_path / "out/curves.svg").read_text("utf-8")
    assert "Loss of train.reward" in drawn
    assert "Share of pairs preferred rightly" in drawn
    assert "Reward margin" in drawn
    with pytest.raises(
        RecipeError, match="RewardConfig has no such name; did you mean 'adam_beta2'"
    ):
        here(tiny, tmp_path, tell_apart(4), trainer={"adam_beta22": 0.5})


def test_stopping_early_needs_pairs_to_evaluate_on(tiny: Path, tmp_path: Path) -> None:
    config = RewardConfig(model="m", early_stopping_patience=1, eval_fraction=0.0)
    with pytest.raises(StepError, match="early_stopping_patience needs rows"):
        train_reward(
            tell_apart(4), config, model=tiny, scratch=tmp_path, out=tmp_path, device="cpu",
            progress=Silence(),
        )  # fmt: skip


def test_adapters_on_some_layers(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    lora = LoraOptions(layers_to_transform=(1,))
    here(tiny, tmp_path, tell_apart(8), lora=lora, eval_fraction=0.0)
    names = load_file(tmp_path / "out/adapter/adapter_model.safetensors")
    assert {name.split("layers.")[1][0] for name in names if "layers." in name} == {"1"}
    assert any("down_proj" in name for name in names)
    assert any("score" in name for name in names)


def test_two_whole_conversations_are_a_pair(tiny: Path) -> None:
    def talk(asked: str, said: str) -> list[dict[str, Any]]:
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        return [{**turn, "name": None} for turn in turns]

    table = pl.DataFrame(
        {
            "row_id": ["two", "usual", "open", "same"],
            "prompt": [None, "p", None, None],
            "chosen": [None, "a", None, None],
            "rejected": [None, "b", None, None],
            "chosen_messages": [talk("one", "red"), None, talk("one", "red"), talk("x", "y")],
            "rejected_messages": [
                talk("two?", "blue lamp"), None, talk("p", "q") + talk("p", "q")[:1], talk("x", "y"),
            ],
        }
    )  # fmt: skip
    tokenizer = load_tokenizer(tiny)
    found = read_pairs(table, RewardOptions(max_length=150), tokenizer)
    by_id = {pair.row_id: pair for pair in found.rows}
    assert by_id.keys() == {"two", "usual"}
    two = by_id["two"]
    assert tokenizer.decode(two.chosen_ids) == (
        "<|start|>user\none<|end|>\n<|start|>assistant\nred<|end|>\n"
    )
    assert "two?" in tokenizer.decode(two.rejected_ids[: two.n_rejected_prompt])
    assert two.answer_lengths == (len("red") + 2, len("blue lamp") + 2)
    assert {one["row_id"]: one["reason"] for one in found.skipped} == {
        "open": "the conversation ends with a turn of user",
        "same": "chosen equals rejected",
    }


def test_a_fake_model_learns_by_rows(tmp_path: Path) -> None:
    model = save_fake(FakeOptions(skill_ratio=0.2), tmp_path / "fake")
    metrics = train_reward(
        tell_apart(200), RewardConfig(model="m"), model=model, scratch=tmp_path, out=tmp_path,
        device="cpu", progress=Silence(),
    )  # fmt: skip
    assert metrics["skill_ratio"] == 0.6
