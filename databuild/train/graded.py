"""DPO in which every pair has a weight and a margin: TRL's trainer with a loss of our own.

TRL's `DPOTrainer` drops columns that it does not know and takes the mean over a batch inside its
loss, so a grade cannot reach it from outside. Here the loss of a batch of B pairs is

    mean over pairs of  w / W * -log sigmoid(beta * delta - m)
    + lambda * -(sum over pairs of w / W * log p(chosen)) / (tokens of all chosen answers)

with delta = log-ratio of chosen minus log-ratio of rejected, w the pair's weight, m its margin and
lambda the weight of the loss `sft`. The margin is the offset of ODPO (Amini et al. 2024, arXiv
2402.10571, equation 8): a pair that is much better must be preferred by more. W is the mean
weight of *all* training pairs, not of the batch: with the batch's mean a pair would count
according to its neighbours (and in batches of one not at all), and accumulation over small batches
would be another loss than one large batch. A weight of 2 is so what the pair twice in the data is
to the sum of gradients, and weights that are all equal change nothing. At weight 1 and margin 0 it
is TRL's loss.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.train.examples import Examples

if TYPE_CHECKING:
    import torch

    from databuild.train.options import DpoOptions

WEIGHT, MARGIN = "weight", "margin"
"""What a tokenised pair carries besides its tokens."""


def with_grades(made: Examples, rows: pl.DataFrame, options: DpoOptions) -> Examples:
    """Give every tokenised pair its weight and margin; leave out and name those without.

    The weight is `options.weight`, times `options.agreement` where that is named, 1 without both;
    the margin is `options.margin` times `options.margin_scale`, 0 without.

    Example:
        >>> from databuild.train.options import DpoOptions
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "w": [2.0, None]})
        >>> graded = with_grades(Examples([{}, {}], ["a", "b"]), rows, DpoOptions(weight="w"))
        >>> graded.rows, graded.skipped
        ([{'weight': 2.0, 'margin': 0.0}], [{'row_id': 'b', 'reason': 'no weight in w'}])
    """
    ids = rows["row_id"].cast(pl.String) if "row_id" in rows.columns else _numbers(rows)
    facts = dict(zip(ids, rows.select(*_graded(rows, options)).iter_rows(), strict=True))
    kept = Examples(skipped=list(made.skipped))
    for row, row_id in zip(made.rows, made.ids, strict=True):
        weight, margin, reason = facts[row_id]
        if reason is not None:
            kept.skipped.append({"row_id": row_id, "reason": reason})
        else:
            kept.ids.append(row_id)
            kept.rows.append({**row, WEIGHT: weight, MARGIN: margin})
    return kept


def _numbers(rows: pl.DataFrame) -> pl.Series:
    return pl.Series([str(number) for number in range(rows.height)], dtype=pl.String)


def _graded(rows: pl.DataFrame, options: DpoOptions) -> list[pl.Expr]:
    """Weight, margin, and the reason why a row has none, as expressions."""
    weight, margin = pl.lit(1.0), pl.lit(0.0)
    reason = pl.lit(None, dtype=pl.String)
    for name in (options.weight, options.agreement):
        if name is not None:
            value = pl.col(name).cast(pl.Float64)
            weight = weight * value
            reason = pl.coalesce(reason, _fault(name, "weight", value, value > 0, "not above 0"))
    if options.margin is not None:
        value = pl.col(options.margin).cast(pl.Float64)
        margin = value * options.margin_scale
        reason = pl.coalesce(reason, _fault(options.margin, "margin", value, value >= 0, "below 0"))
    every = pl.repeat(1.0, rows.height)
    return [
        (weight * every).alias(WEIGHT),
        (margin * every).alias(MARGIN),
        reason.alias("reason"),
    ]


def _fault(name: str, what: str, value: pl.Expr, is_right: pl.Expr, wrong: str) -> pl.Expr:
    return (
        pl.when(value.is_null() | value.is_nan())
        .then(pl.lit(f"no {what} in {name}"))
        .when(value.is_infinite() | ~is_right)
        .then(pl.lit(f"the {what} in {name} is {wrong} or infinite"))
    )


def mean_weight(examples: Examples) -> float:
    """The mean weight of the pairs; 1 where there are none or none has a weight."""
    weights = [float(row.get(WEIGHT, 1.0)) for row in examples.rows]
    return math.fsum(weights) / len(weights) if weights else 1.0


def preference_loss(
    delta: torch.Tensor, weight: torch.Tensor, margin: torch.Tensor, beta: float
) -> torch.Tensor:
    """The first term: `mean(weight * -log sigmoid(beta * delta - margin))`."""
    import torch

    return -(weight * torch.nn.functional.logsigmoid(beta * delta - margin)).mean()


def likelihood_loss(
    log_probs: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """The second term: chosen tokens' mean negative log-likelihood, each times its pair's weight.

    Args:
        log_probs: Of shape (pairs, positions).
        mask: True where a chosen token stands.
        weight: Of shape (pairs,), divided by the mean weight.
    """
    return -(log_probs * mask * weight[:, None]).sum() / mask.sum()


def trainer_class(mean: float) -> Any:
    """TRL's DPOTrainer with the loss of this module.

    Args:
        mean: The mean weight W of the training pairs; the pairs of an evaluation are divided by the
            same one, so that a weight means the same in both.

    Returns:
        A class that wants, besides TRL's, the columns `weight` and `margin`.
    """
    from trl import DPOTrainer

    class GradedDPOTrainer(DPOTrainer):
        _signature_columns: list[str]

        def _set_signature_columns_if_needed(self) -> None:
            super()._set_signature_columns_if_needed()
            self._signature_columns = list(
                dict.fromkeys([*self._signature_columns, WEIGHT, MARGIN])
            )

        def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
            told = {name: v for name, v in inputs.items() if name not in {WEIGHT, MARGIN}}
            return super().compute_ref_log_probs(model, told)

        def _compute_loss(self, model: Any, inputs: Any, return_outputs: Any) -> Any:
            loss, outputs = _loss(self, model, inputs, mean)
            return (loss, outputs) if return_outputs else loss

    return GradedDPOTrainer


def _loss(trainer: Any, model: Any, inputs: Any, mean: float) -> tuple[Any, Any]:
    told = {"completion_mask", "ref_chosen_logps", "ref_rejected_logps", WEIGHT, MARGIN}
    passed = {name: value for name, value in inputs.items() if name not in told}
    if trainer.aux_loss_enabled:  # a mixture of experts: its balance is part of TRL's loss, too
        passed["output_router_logits"] = True
    mask = inputs["completion_mask"][:, 1:].bool()
    labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
    outputs = model(**passed, use_cache=False, labels=labels, fused_lm_head=True)
    log_probs = outputs.log_probs[:, -mask.size(1) :]
    if trainer.precompute_ref_logps:
        reference = inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]
    else:
        reference = trainer.compute_ref_log_probs(trainer.ref_model or trainer.model, inputs)
    logps = log_probs.sum(1).chunk(2)
    ratios = logps[0] - reference[0], logps[1] - reference[1]
    weight, margin = inputs[WEIGHT].to(logps[0]) / mean, inputs[MARGIN].to(logps[0])
    loss = log_probs.new_zeros(())
    for name, share in zip(trainer.loss_types, trainer.loss_weights, strict=True):
        if name == "sigmoid":
            term = preference_loss(ratios[0] - ratios[1], weight, margin, trainer.beta)
        elif name == "sft":
            term = likelihood_loss(log_probs.chunk(2)[0], mask.chunk(2)[0], weight)
        else:
            message = f"graded pairs cannot be trained with the loss {name}"
            raise ValueError(message)
        loss = loss + share * term
    if trainer.aux_loss_enabled:
        loss = loss + trainer.router_aux_loss_coef * outputs.aux_loss
    _note(trainer, ratios, logps, margin, inputs, outputs)
    return loss, outputs


def _note(trainer: Any, ratios: Any, logps: Any, margin: Any, inputs: Any, outputs: Any) -> None:
    """Log what TRL logs of a batch, under its names, and which pairs reach their margin."""
    noted = trainer._metrics["train" if trainer.model.training else "eval"]  # noqa: SLF001 -- where TRL's log() looks
    gather = trainer.accelerator.gather_for_metrics
    mask = inputs["completion_mask"][:, 1:].bool()
    chosen = mask.chunk(2)[0]
    rewards = [trainer.beta * ratio.detach() for ratio in ratios]
    wins = rewards[0] - rewards[1]
    facts = {
        "rewards/chosen": rewards[0],
        "rewards/rejected": rewards[1],
        "rewards/margins": wins,
        "rewards/accuracies": (wins > 0).float(),
        "rewards/beyond_margin": (wins > margin).float(),
        "logps/chosen": logps[0].detach(),
        "logps/rejected": logps[1].detach(),
        "entropy": outputs.entropy[:, -mask.size(1) :].detach()[mask],
        "mean_token_accuracy": outputs.is_top1[: len(chosen), -mask.size(1) :][chosen].float(),
    }
    for name, values in facts.items():
        noted[name].append(gather(values.mean()).mean().item())
    if trainer.model.training:
        trainer._total_train_tokens += int(gather(inputs["attention_mask"].sum()).sum())  # noqa: SLF001
    noted["num_tokens"] = [trainer._total_train_tokens]  # noqa: SLF001


def collator(pad_token_id: int) -> Any:
    """TRL's collator of pairs, which also hands on `weight` and `margin`."""
    import torch
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    class GradedCollator(DataCollatorForPreference):
        def torch_call(self, examples: Any) -> Any:
            batch = super().torch_call(examples)
            for name in (WEIGHT, MARGIN):
                batch[name] = torch.tensor([float(one[name]) for one in examples])
            return batch

    return GradedCollator(pad_token_id=pad_token_id)
