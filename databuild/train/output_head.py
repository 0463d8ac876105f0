"""The output layer and the attention of a training step, without the work that changes nothing.

Two savings on a CPU, neither of which changes what is computed beyond rounding:

- TRL scores only the positions that have a label where it has Triton, every position elsewhere. The
  output layer is a fifth of a 135 M model's multiplications; prompts and padding need none of them.
- The two answers of a preference pair share their prompt. One sequence `prompt chosen rejected`
  whose attention mask hides `chosen` from `rejected`, with positions counted on from the prompt for
  both, gives the same log-probabilities as two sequences and reads the prompt once.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CHUNK = 1024
"""Positions scored at once: 1024 of 49k words in float32 are 200 MB."""


def install(model: Any, *, pairs: bool) -> None:
    """Replace `model`'s fused forward (TRL's `add_fused_lm_head`) by the one of this module.

    Args:
        model: The causal language model itself, not its PEFT wrapper; only a plain linear output
            layer without soft-capping or scaling is taken on, others keep TRL's.
        pairs: Its batches are `[all chosen; all rejected]`, as TRL's collator makes them.
    """
    if not _is_plain(model):
        return
    others = model.forward
    shares = pairs and _attends_to_everything(model)

    def forward(
        self: Any,
        *args: Any,
        fused_lm_head: bool = False,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if not fused_lm_head or labels is None or args:
            return others(*args, fused_lm_head=fused_lm_head, labels=labels, **kwargs)
        kwargs.pop("num_items_in_batch", None)
        kwargs["use_cache"] = False
        mask = labels[:, 1:] != -100
        hidden = _shared_states(self, labels, kwargs) if shares else None
        if hidden is None:
            hidden = self.base_model(**kwargs).last_hidden_state[:, :-1][mask]
        return _scores(hidden, self.get_output_embeddings().weight, labels[:, 1:], mask)

    model.forward = types.MethodType(forward, model)


def _is_plain(model: Any) -> bool:
    import torch

    head, config = model.get_output_embeddings(), model.config.get_text_config()
    scaled = (
        "final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier",
        "logits_scaling", "num_experts", "num_local_experts",
    )  # fmt: skip
    return (
        type(head) is torch.nn.Linear
        and head.bias is None
        and all(getattr(config, name, None) is None for name in scaled)
    )


def _attends_to_everything(model: Any) -> bool:
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        kinds == {"full_attention"}
        and getattr(config, "sliding_window", None) is None
        and config._attn_implementation in {"sdpa", "eager"}  # noqa: SLF001 -- no public name says it
        and config.model_type in {"llama", "qwen2", "qwen3", "mistral", "smollm3", "olmo2"}
    )


def _shared_states(
    model: Any,
    labels: torch.Tensor,
    inputs: dict[str, Any],
) -> torch.Tensor | None:
    """Return the states that predict every labelled token, in row-major order, or None."""
    import torch

    ids, n_pairs = inputs["input_ids"], labels.size(0) // 2
    has_label = labels != -100
    starts, counts = has_label.int().argmax(1).tolist(), has_label.sum(1).tolist()
    layout = [(starts[i], counts[i], counts[i + n_pairs]) for i in range(n_pairs)]
    for i, (start, chosen, rejected) in enumerate(layout):
        other = i + n_pairs
        same = starts[other] == start and torch.equal(ids[i, :start], ids[other, :start])
        if not same or min(start, chosen, rejected) < 1:
            return None
    width = max(sum(lengths) for lengths in layout)
    joined = ids.new_zeros((n_pairs, width))
    positions = ids.new_zeros((n_pairs, width))
    allowed = torch.ones((width, width), dtype=torch.bool, device=ids.device).tril()
    masks = allowed.repeat(n_pairs, 1, 1)
    first: list[int] = []
    second: list[int] = []
    for i, (start, chosen, rejected) in enumerate(layout):
        middle, end = start + chosen, start + chosen + rejected
        joined[i, :middle] = ids[i, :middle]
        joined[i, middle:end] = ids[i + n_pairs, start : start + rejected]
        positions[i, :middle] = torch.arange(middle)
        positions[i, middle:end] = torch.arange(start, start + rejected)
        masks[i, middle:, start:middle] = False
        row = i * width
        first += range(row + start - 1, row + middle - 1)
        second += [row + start - 1, *range(row + middle, row + end - 1)]
    states = model.base_model(
        input_ids=joined, attention_mask=masks[:, None], position_ids=positions, use_cache=False
    ).last_hidden_state
    chosen_then_rejected = torch.tensor(first + second, device=states.device)
    picked: torch.Tensor = states.flatten(0, 1)[chosen_then_rejected]
    return picked


def _scores(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor
) -> Any:
    """Score labelled positions; every field is TRL's, shaped like `labels`, 0 where none is."""
    import torch
    from trl.trainer.utils import FusedCausalLMOutput

    targets = labels[mask]
    score = _frozen_score() if not weight.requires_grad else _score
    parts = [
        score(hidden[i : i + CHUNK], weight, targets[i : i + CHUNK])
        for i in range(0, max(len(targets), 1), CHUNK)
    ]
    log_probs, entropy, mean_logits, is_top1 = (
        torch.cat(field).new_zeros(mask.shape).masked_scatter(mask, torch.cat(field))
        for field in zip(*parts, strict=True)
    )
    return FusedCausalLMOutput(
        loss=-log_probs.sum() / mask.sum().clamp(min=1),
        log_probs=log_probs,
        entropy=entropy,
        mean_logits=mean_logits,
        is_top1=is_top1,
        label_mask=mask,
    )


def _score(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    import torch

    logits = torch.nn.functional.linear(hidden, weight).float()
    log_probs = logits.log_softmax(-1)
    picked = log_probs.gather(1, targets[:, None])[:, 0]
    with torch.no_grad():
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        is_top1 = logits.argmax(-1) == targets
        return picked, entropy, logits.mean(-1), is_top1


def _frozen_score() -> Any:
    """Score with an output layer that is not trained, without keeping a logit.

    The gradient of log p(y) by the state h is W[y] - sum_v p(v) W[v], whatever loss follows; so it
    is computed while the logits are at hand, one more multiplication instead of two later.
    """
    import torch

    class FrozenScore(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, targets: Any) -> Any:
            logits = torch.nn.functional.linear(hidden, weight).float()
            mean, top = logits.mean(-1), logits.argmax(-1) == targets
            log_z = logits.logsumexp(-1)
            picked = logits.gather(1, targets[:, None])[:, 0] - log_z
            probabilities = logits.sub(log_z[:, None]).exp_()
            entropy = log_z - logits.mul_(probabilities).sum(-1)
            if ctx.needs_input_grad[0]:
                slope = weight[targets] - probabilities.to(weight.dtype) @ weight
                ctx.save_for_backward(slope)
            ctx.mark_non_differentiable(entropy, mean, top)
            return picked, entropy, mean, top

        @staticmethod
        def backward(ctx: Any, gradient: Any, *_: Any) -> Any:
            (slope,) = ctx.saved_tensors
            return (gradient[:, None] * slope).to(slope.dtype), None, None

    return FrozenScore.apply
