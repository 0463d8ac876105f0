"""TRL's `RewardTrainer` with weights, and without reading a text twice. Runs in the child process.

The loss of a batch of B pairs is TRL 1.16's with each pair weighted,

    mean of  w / W * -log sigmoid(r(chosen) - r(rejected) - margin)
    + c * mean of (r(chosen) + r(rejected))^2

where W is the mean weight of all training pairs. Pairs of one prompt share a batch, and an answer
that is in several of them is read once (Ouyang et al. 2022, section 3.5): with four answers to a
prompt that halves the work. At weight 1 it is TRL's loss, and has TRL's gradients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.train.quantizing import refused
from databuild.train.reward_pairs import Pair, order_pairs
from databuild.train.trainers import adapter, config, load_tokenizer, reporter, weights_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from databuild.train.work import Work


def load_reward_model(folder: Path, work: Work, *, quantized: bool = True) -> Any:
    """Load a model with one reward; a language model gets a head that gives 0 for every text.

    A random head would give every text a random reward, larger than what a few hundred pairs can
    outweigh.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(work.options.seed)
    with refused(work.options.quantization if quantized else None):
        model, told = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=_shortened(AutoConfig.from_pretrained(folder, num_labels=1), work.options),
            output_loading_info=True,
            **weights_in(work, quantized=quantized),
        )
    if "score.weight" in told["missing_keys"]:
        torch.nn.init.zeros_(model.score.weight)
    model.config.get_text_config().pad_token_id = load_tokenizer(work.model).pad_token_id
    return model


def _shortened(config: Any, options: Any) -> Any:
    """The config of a model of which only the first layers are kept."""
    inner = config.get_text_config()
    if options.first_layers is not None:
        inner.num_hidden_layers = min(options.first_layers, inner.num_hidden_layers)
        if getattr(inner, "layer_types", None):
            inner.layer_types = inner.layer_types[: inner.num_hidden_layers]
    return config


def build(work: Work, tokenizer: Any, train: Sequence[Pair], held: Sequence[Pair]) -> Any:
    """Make the trainer of a job, with its model, adapter and data."""
    from datasets import Dataset

    settings = config(work, has_eval=bool(held))
    work.phase("model")
    model = load_reward_model(work.model, work)
    mean_weight = sum(pair.weight for pair in train) / len(train)
    trainer = trainer_class(train, mean_weight)(
        model=model,
        args=settings,
        train_dataset=Dataset.from_list([_row(pair) for pair in train]),
        eval_dataset=Dataset.from_list([_row(pair) for pair in held]) if held else None,
        processing_class=tokenizer,
        peft_config=adapter(work.options, model),
        data_collator=collator(tokenizer.pad_token_id),
        callbacks=[reporter(work)],
    )
    if work.options.quantization is not None:  # TRL makes what is trained bfloat16, the head too
        for weight in trainer.model.parameters():
            weight.data = weight.data.float() if weight.requires_grad else weight.data
    return trainer


def _row(pair: Pair) -> dict[str, Any]:
    return {
        "chosen_ids": pair.chosen_ids,
        "rejected_ids": pair.rejected_ids,
        "margin": pair.margin,
        "weight": pair.weight,
    }


def collator(pad_id: int) -> Any:
    """Return what makes a batch of pairs: each text once, and where each pair's two texts are."""

    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        import torch

        places: dict[tuple[int, ...], int] = {}
        sides = [
            [places.setdefault(tuple(row[name]), len(places)) for row in rows]
            for name in ("chosen_ids", "rejected_ids")
        ]
        width = max(map(len, places))
        ids = torch.full((len(places), width), pad_id, dtype=torch.long)
        seen = torch.zeros((len(places), width), dtype=torch.long)
        for text, place in places.items():
            ids[place, : len(text)] = torch.tensor(text)
            seen[place, : len(text)] = 1
        return {  # `chosen` first: the trainer takes the length of the first for the batch's size
            "chosen": torch.tensor(sides[0]),
            "rejected": torch.tensor(sides[1]),
            "margin": torch.tensor([row["margin"] for row in rows], dtype=torch.float32),
            "weight": torch.tensor([row["weight"] for row in rows], dtype=torch.float32),
            "input_ids": ids,
            "attention_mask": seen,
        }

    return collate


def sampler(pairs: Sequence[Pair], batch_size: int, seed: int) -> Any:
    """Return a torch sampler over `order_pairs`, told the epoch by the trainer."""
    from torch.utils.data import Sampler

    class ByPrompt(Sampler[int]):
        epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __len__(self) -> int:
            return len(pairs)

        def __iter__(self) -> Any:
            return iter(order_pairs(pairs, batch_size, seed, self.epoch))

    return ByPrompt()


def trainer_class(pairs: Sequence[Pair], mean_weight: float) -> Any:
    """Return the trainer for these training pairs."""
    from torch.nn.functional import logsigmoid
    from trl import RewardTrainer

    class PairTrainer(RewardTrainer):
        """TRL's trainer on rows that are ready, in our order, without a model card."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _set_signature_columns_if_needed(self) -> None:
            self._signature_columns = ["chosen_ids", "rejected_ids", "margin", "weight"]

        def _get_train_sampler(self, _dataset: Any = None) -> Any:
            return sampler(pairs, self.args.per_device_train_batch_size, self.args.seed)

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """Write none: a checkpoint of ours lives until the job is done."""

        def compute_loss(
            self,
            model: Any,
            inputs: dict[str, torch.Tensor],
            return_outputs: bool = False,  # noqa: FBT001, FBT002 -- Trainer's signature
            num_items_in_batch: Any = None,  # noqa: ARG002 -- as above
        ) -> Any:
            outputs = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                use_cache=False,
            )
            rewards = outputs.logits.squeeze(-1).float()
            chosen, rejected = rewards[inputs["chosen"]], rewards[inputs["rejected"]]
            weight = inputs["weight"] / mean_weight
            loss = -(weight * logsigmoid(chosen - rejected - inputs["margin"])).mean()
            if self.args.center_rewards_coefficient is not None:
                loss = loss + self.args.center_rewards_coefficient * (
                    (chosen + rejected).square().mean()
                )
            mode = "train" if self.model.training else "eval"
            self._metrics[mode]["accuracy"].append((chosen > rejected).float().mean().item())
            self._metrics[mode]["margin"].append((chosen - rejected).mean().item())
            return (loss, outputs) if return_outputs else loss

    return PairTrainer
