"""Our shorter forward pass gives TRL's losses and gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from databuild.train import output_head, trainers
from databuild.train.examples import Examples, tokenise
from databuild.train.options import DpoOptions, LoraOptions, SftOptions, TrainOptions
from databuild.train.work import Work
from tests.train.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = {
    "sft": SftOptions(dtype="float32"),
    "sft, all weights": SftOptions(lora=None, dtype="float32"),
    "sft, upper layer": SftOptions(lora=LoraOptions(layers_to_transform=(1,)), dtype="float32"),
    "dpo": DpoOptions(loss_type=("sigmoid", "sft"), loss_weights=(1.0, 0.2), dtype="float32"),
    "dpo, reference first": DpoOptions(precompute_ref_log_probs=True, dtype="float32"),
    "dpo, all weights": DpoOptions(lora=None, dtype="float32"),
}


def gradients(
    tiny: Path, folder: Path, kind: Any, options: TrainOptions
) -> tuple[float, list[Any]]:
    import torch

    work = Work(kind, options, tiny, folder, None, folder, "cpu", lambda _: None, 0.0)
    tokenizer = trainers.load_tokenizer(tiny)
    examples = tokenise(make_rows(8, kind), kind, tokenizer, 200)
    trainer = trainers.build(work, tokenizer, examples, Examples())
    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:  # an adapter starts at 0: give it something to say
                weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(len(name)))
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, dict(next(iter(trainer.get_train_dataloader()))))
    loss.backward()
    return loss.item(), [p.grad for p in trainer.model.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.slow
def test_loss_and_gradients_are_those_of_trl(
    name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    kind = name[:3]
    loss, ours = gradients(tiny, tmp_path, kind, OPTIONS[name])
    monkeypatch.setattr(output_head, "install", lambda *_, **__: None)
    expected, theirs = gradients(tiny, tmp_path, kind, OPTIONS[name])
    assert loss == pytest.approx(expected, rel=1e-5)
    assert len(ours) == len(theirs) > 0
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-6)


def test_pairs_share_one_reading_of_the_prompt(tiny: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    model = AutoModelForCausalLM.from_pretrained(tiny)
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    ids = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 20, 3]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    labels = torch.where(torch.tensor([[0, 0, 1, 1, 1], [0, 0, 1, 1, 0]]) > 0, ids, -100)
    theirs = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    seen = []
    model.model.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    output_head.install(model, pairs=True)
    ours = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    assert seen == [(1, 2 + 3 + 2)]
    for name in ("loss", "log_probs", "entropy"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
    here = labels[:, 1:] != -100  # elsewhere TRL scores what nobody asks for
    assert torch.equal(ours.is_top1[here], theirs.is_top1[here])
    torch.testing.assert_close(ours.mean_logits[here], theirs.mean_logits[here])


def test_a_scaled_output_layer_keeps_trls_forward(tiny: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.config.final_logit_softcapping = 30.0
    before = model.forward
    output_head.install(model, pairs=False)
    assert model.forward == before
