"""Graded DPO: equal to TRL's where there are no grades, and else to what the formula says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from databuild.train import graded, trainers
from databuild.train.examples import tokenise
from databuild.train.options import DpoOptions, LoraOptions
from tests.train.conftest import make_rows
from tests.train.test_job import describe, here, weights

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
BETA = 0.3


def pairs(tiny: Path, n: int = 4) -> tuple[Any, list[dict[str, Any]]]:
    tokenizer = trainers.load_tokenizer(tiny)
    return tokenizer, tokenise(make_rows(n, "dpo"), "dpo", tokenizer, 400).rows


def trainer_of(
    tiny: Path, out: Path, rows: list[dict[str, Any]], *, lora: bool = False, **options: Any
) -> Any:
    """TRL's own trainer, or ours where the rows have grades; its adapters are not zero."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    tokenizer = trainers.load_tokenizer(tiny)
    is_graded = "weight" in rows[0]
    mean = sum(row.get("weight", 1.0) for row in rows) / len(rows)
    stock: Any = graded.trainer_class(mean) if is_graded else DPOTrainer

    class Prepared(stock):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    torch.manual_seed(0)
    trainer = Prepared(
        model=AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32),
        args=DPOConfig(
            output_dir=str(out), beta=BETA, bf16=False, use_cpu=True, report_to="none",
            gradient_checkpointing=False, max_length=None, save_strategy="no", disable_tqdm=True,
            **options,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        data_collator=graded.collator(tokenizer.pad_token_id) if is_graded else None,
        peft_config=LoraConfig(r=4, target_modules="all-linear") if lora else None,
    )  # fmt: skip
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():  # away from the start, or every log-ratio would be 0
        for value in trainer.model.parameters():
            if value.requires_grad:
                value.add_(0.1 * torch.randn(value.shape, generator=drawn))
    return trainer


def gradients(trainer: Any) -> tuple[float, dict[str, Any]]:
    """The loss of all rows in one batch, and its gradient by every weight that is trained."""
    trainer._set_signature_columns_if_needed()
    rows = list(trainer._remove_unused_columns(trainer.train_dataset, "training"))
    trainer.model.train()
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
    loss.backward()
    found = {name: v.grad for name, v in trainer.model.named_parameters() if v.grad is not None}
    return loss.item(), found


def same(left: dict[str, Any], right: dict[str, Any], within: float = 1e-6) -> bool:
    assert left.keys() == right.keys()
    assert left
    most = max(float(value.abs().max()) for value in right.values())
    return most > 0 and all(
        float((left[name] - right[name]).abs().max()) <= within * most for name in right
    )


SETTINGS = [
    {}, {"lora": True}, {"precompute_ref_log_probs": True},
    {"lora": True, "precompute_ref_log_probs": True},
    {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.3]},
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS)
def test_without_grades_the_gradients_are_trls(
    settings: dict[str, Any], tiny: Path, tmp_path: Path
) -> None:
    _, rows = pairs(tiny)
    loss, expected = gradients(trainer_of(tiny, tmp_path, rows, **settings))
    for weight in (1.0, 3.0):  # equal weights are no weights
        plain = [{**row, "weight": weight, "margin": 0.0} for row in rows]
        found_loss, found = gradients(trainer_of(tiny, tmp_path, plain, **settings))
        assert found_loss == pytest.approx(loss, rel=1e-6)
        assert same(found, expected)
    uneven = [{**row, "weight": 1.0 + i, "margin": 0.0} for i, row in enumerate(rows)]
    assert not same(gradients(trainer_of(tiny, tmp_path, uneven, **settings))[1], expected, 1e-3)
    apart = [{**row, "weight": 1.0, "margin": 0.5} for row in rows]
    assert not same(gradients(trainer_of(tiny, tmp_path, apart, **settings))[1], expected, 1e-3)


def log_probs(model: Any, prompt: list[int], answer: list[int]) -> np.ndarray[Any, Any]:
    """The log-probability of every token of an answer, by the definition, in float64."""
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + answer])).logits[0].double().numpy()
    taken = logits[len(prompt) - 1 : -1]
    all_of = np.log(np.exp(taken - taken.max(1, keepdims=True)).sum(1)) + taken.max(1)
    return taken[np.arange(len(answer)), answer] - all_of


@pytest.mark.parametrize("settings", [{}, {"lora": True}, {"precompute_ref_log_probs": True}])
def test_the_loss_is_the_formulas(settings: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    _, rows = pairs(tiny, 3)
    grades = [(0.5, 0.0), (1.0, 0.7), (3.0, 2.0)]
    marked = [{**r, "weight": w, "margin": m} for r, (w, m) in zip(rows, grades, strict=True)]
    trainer = trainer_of(
        tiny, tmp_path, marked, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.25], **settings
    )
    found, _ = gradients(trainer)
    start = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    total, likelihood, n_tokens = 0.0, 0.0, 0
    for row, (weight, margin) in zip(rows, grades, strict=True):
        chosen, rejected = (
            log_probs(trainer.model, row["prompt_ids"], row[name])
            for name in ("chosen_ids", "rejected_ids")
        )
        before = [
            log_probs(start, row["prompt_ids"], row[name]).sum()
            for name in ("chosen_ids", "rejected_ids")
        ]
        delta = (chosen.sum() - before[0]) - (rejected.sum() - before[1])
        share = weight / 1.5
        total += share * math.log1p(math.exp(-(BETA * delta - margin))) / 3
        likelihood -= share * chosen.sum()
        n_tokens += len(chosen)
    assert found == pytest.approx(total + 0.25 * likelihood / n_tokens, rel=1e-5)


def test_a_pair_of_weight_2_counts_as_two_pairs(tiny: Path, tmp_path: Path) -> None:
    _, rows = pairs(tiny, 2)
    twice = [rows[0], rows[0], rows[1]]
    _, expected = gradients(trainer_of(tiny, tmp_path, twice))
    marked = [{**row, "weight": w, "margin": 0.0} for row, w in zip(rows, (2.0, 1.0), strict=True)]
    assert same(gradients(trainer_of(tiny, tmp_path, marked))[1], expected)


def test_accumulated_small_batches_are_one_large_one(tiny: Path, tmp_path: Path) -> None:
    _, rows = pairs(tiny)
    grades = [(0.2, 0.0), (4.0, 0.5), (1.0, 1.5), (2.0, 0.1)]
    marked = [{**r, "weight": w, "margin": m} for r, (w, m) in zip(rows, grades, strict=True)]
    made = []
    for size in (4, 2, 1):
        trainer = trainer_of(
            tiny, tmp_path, marked, per_device_train_batch_size=size, max_steps=1, optim="sgd",
            gradient_accumulation_steps=4 // size, learning_rate=1.0, lr_scheduler_type="constant",
            max_grad_norm=0.0,
        )  # fmt: skip
        before = {name: v.detach().clone() for name, v in trainer.model.named_parameters()}
        trainer.train()
        made.append({n: v.detach() - before[n] for n, v in trainer.model.named_parameters()})
    assert same(made[1], made[0], 1e-5)
    assert same(made[2], made[0], 1e-5)


@pytest.mark.parametrize("lora", [LoraOptions(r=4), None])
def test_grades_in_a_table_reach_the_trained_model(
    tiny: Path, tmp_path: Path, lora: LoraOptions | None
) -> None:
    rows = make_rows(8, "dpo").with_columns(
        level=pl.lit(2.0), none=pl.lit(0.0), steep=pl.int_range(8) + 0.5, half=pl.lit(0.5)
    )
    made: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {
        "plain": {}, "level": {"weight": "level", "margin": "none"},
        "steep": {"weight": "steep"}, "apart": {"margin": "level", "margin_scale": 2.0},
        "agreed": {"weight": "level", "agreement": "half"},
    }  # fmt: skip
    for name, graded_by in options.items():
        (tmp_path / name).mkdir()
        training = describe(
            tiny, tmp_path / name, rows, lora=lora, save_dtype="float32", beta=1.0,
            learning_rate=0.3, trainer={"optim": "sgd"}, num_train_epochs=2, gradient_accumulation_steps=2, per_device_train_batch_size=2,
            eval_fraction=0.25, **graded_by,
        )  # fmt: skip
        metrics, _ = here(training)
        assert metrics["rows_used"] == 6
        assert metrics["options"]["trainer"] == {"optim": "sgd"}
        made[name] = weights(training.out / "final")
    changes = {
        name: max(float((made["plain"][k] - v).abs().max()) for k, v in found.items())
        for name, found in made.items()
    }
    assert max(changes["level"], changes["agreed"]) < 1e-5
    assert min(changes["steep"], changes["apart"]) > 1e-4


def test_pairs_without_a_grade_are_named(tiny: Path, tmp_path: Path) -> None:
    weight = [1.0, None, float("nan"), 0.0, -1.0, float("inf"), 2.0, 1.0]
    margin = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, -0.1, None]
    rows = make_rows(8, "dpo").with_columns(w=pl.Series(weight), m=pl.Series(margin))
    metrics, _ = here(describe(tiny, tmp_path, rows, weight="w", margin="m"))
    assert metrics["rows_used"] == 1
    assert {row["row_id"]: row["reason"] for row in metrics["rows_skipped"]} == {
        "row001": "no weight in w", "row002": "no weight in w",
        "row003": "the weight in w is not above 0 or infinite",
        "row004": "the weight in w is not above 0 or infinite",
        "row005": "the weight in w is not above 0 or infinite",
        "row006": "the margin in m is below 0 or infinite", "row007": "no margin in m",
    }  # fmt: skip


def test_what_trl_logs_is_logged(tiny: Path, tmp_path: Path) -> None:
    rows = make_rows(8, "dpo").with_columns(level=pl.lit(1.0), none=pl.lit(0.0))
    told = []
    for name, by in (("plain", {}), ("graded", {"weight": "level"})):
        (tmp_path / name).mkdir()
        metrics, _ = here(describe(tiny, tmp_path / name, rows, **by))
        told.append(metrics["history"])
    for plain, ours in zip(*told, strict=True):
        missing = {name for name in plain if not name.startswith("logits/")} - ours.keys()
        assert not missing
        for name in ("loss", "entropy", "mean_token_accuracy", "num_tokens", "logps/chosen"):
            if name in plain:
                assert ours[name] == pytest.approx(plain[name], rel=1e-4), name
        for name in (n for n in plain if n.startswith("rewards/")):
            assert ours[name] == pytest.approx(plain[name], abs=1e-4), name


@pytest.mark.parametrize("loss", ["ipo", "hinge", "robust", "apo_zero", "sigmoid_norm"])
@pytest.mark.parametrize("by", ["weight", "margin", "agreement"])
def test_other_losses_are_refused_by_name(loss: str, by: str) -> None:
    with pytest.raises(ValueError, match=rf"the loss {loss} knows no grades: with {by} loss_type"):
        DpoOptions.model_validate({by: "w", "loss_type": [loss]})
    with pytest.raises(ValueError, match=r"trainer\.use_weighting changes a loss"):
        DpoOptions.model_validate({by: "w", "trainer": {"use_weighting": True}})
