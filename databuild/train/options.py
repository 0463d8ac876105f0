"""The options of a training, with the names of Hugging Face and TRL."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from databuild.recipe.options import Column, StepConfig
from databuild.train.passed_through import refuse_own_names

Scheduler = Literal[
    "linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt", "polynomial"
]
DpoLoss = Literal[
    "sigmoid", "sft", "ipo", "hinge", "robust", "exo_pair", "apo_zero", "apo_down", "sigmoid_norm"
]


class LoraOptions(BaseModel):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685); `r`, `alpha`, `dropout` as in PEFT."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    r: int = Field(default=16, ge=1)
    """Rank of the adapters."""
    alpha: float = Field(default=32.0, gt=0)
    """Adapters are scaled by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout in front of the adapters while training."""
    target_modules: str | tuple[str, ...] = "all-linear"
    """Modules that get an adapter; `all-linear` is every linear layer but the output layer."""
    layers_to_transform: tuple[int, ...] | None = None
    """Only these layers get an adapter, counted from 0 at the input; null means all of them.
    Leaving out the first ones shortens the backward pass, which ends at the lowest adapter."""


class TrainOptions(StepConfig):
    """What all kinds of training have in common."""

    learning_rate: float = Field(default=2e-4, gt=0)
    """Peak learning rate of AdamW."""
    num_train_epochs: float = Field(default=1.0, gt=0)
    """Passes over the rows."""
    per_device_train_batch_size: int = Field(default=8, ge=1)
    """Rows (for preferences: pairs) in one forward pass."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Forward passes per optimiser step."""
    max_length: int = Field(default=1024, ge=8)
    """Longest row in tokens, prompt and answer together. A longer one is left out and reported."""
    lora: LoraOptions | None = LoraOptions()
    """Adapter training; null trains every weight."""
    quantization: Literal["4bit", "8bit"] | None = None
    """Read the frozen weights in 4 bits (NF4) or 8 bits while adapters are trained: QLoRA (Dettmers
    et al. 2023, arXiv 2305.14314). Needs bitsandbytes. `best` and `final` are merged from the
    weights as they were, in full precision."""
    warmup_steps: float = Field(default=0.1, ge=0)
    """Steps of linear warm-up; below 1 it is the share of all steps."""
    lr_scheduler_type: Scheduler = "linear"
    """How the learning rate falls after the warm-up."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are clipped to this norm; 0 clips nothing."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decoupled weight decay."""
    gradient_checkpointing: bool = False
    """Trade about a third more time for memory."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What training computes in. `auto` is bfloat16 on a GPU and on CPUs that multiply in it
    (`avx512_bf16`, `amx_bf16`), float32 elsewhere, where bfloat16 is 2.5 times slower."""
    save_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What `best` and `final` are stored in; `auto` is what the start model is stored in."""
    eval_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the rows held back to choose the best checkpoint by loss; 0 holds back none."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Stop after this many evaluations in a row without a new lowest loss. Needs rows to evaluate
    on: the input `dev`, or `eval_fraction`."""
    save_steps: float = Field(default=0.25, gt=0)
    """Steps between checkpoints (and evaluations); below 1 it is the share of all steps."""
    seed: int = Field(default=0, ge=0)
    """The training seed: adapter initialisation, order of the rows, dropout, held-back rows. It has
    nothing to do with the recipe's data seed."""
    trainer: dict[str, Any] = Field(default={})
    """Anything else that TRL's config class (`SFTConfig`, `DPOConfig`, `RewardConfig`) knows, by
    its name there, as `{adam_beta2: 0.95}`. Names that databuild sets itself are refused."""

    @field_validator("trainer")
    @classmethod
    def _not_our_own(cls, trainer: dict[str, Any]) -> dict[str, Any]:
        refuse_own_names(trainer, cls.model_fields)
        return trainer

    @model_validator(mode="after")
    def _adapters_on_quantized_weights(self) -> Self:
        if self.quantization is not None and self.lora is None:
            message = "quantization freezes the weights, so it needs adapters: set lora"
            raise ValueError(message)
        return self


class SftOptions(TrainOptions):
    """Options of supervised fine-tuning. The loss is the mean over the answers' tokens only."""


class DpoOptions(TrainOptions):
    """Options of direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290)."""

    learning_rate: float = Field(default=5e-5, gt=0)
    """Peak learning rate of AdamW."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the model is held to its start."""
    loss_type: tuple[DpoLoss, ...] = Field(default=("sigmoid",), min_length=1)
    """Losses that are added up; `sft` is the mean negative log-likelihood of the chosen answers."""
    loss_weights: tuple[float, ...] | None = None
    """One weight per loss; null weighs each 1."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Assumed share of flipped preferences; used by `robust` and `exo_pair` only."""
    precompute_ref_log_probs: bool | None = None
    """Compute the start model's log-probabilities once, before training. Null decides: yes
    with more than one epoch, or when every weight is trained (else there would be two models)."""
    weight: Column | None = None
    """The column that says how much a pair counts, above 0, such as `weight` of `pairs.graded`; it
    is divided by its mean over the training pairs. With `weight`, `agreement` or `margin` the loss
    is `sigmoid`, alone or with `sft`; see `databuild.train.graded`."""
    agreement: Column | None = None
    """A column by which `weight` is multiplied: the share of annotators who agree, above 0."""
    margin: Column | None = None
    """The column that says by how much a pair is to be preferred, 0 or more: the offset of ODPO
    (Amini et al. 2024, arXiv 2402.10571) inside the sigmoid, in units of beta * log-ratio."""
    margin_scale: float = Field(default=1.0, gt=0)
    """What `margin` is multiplied by."""

    @property
    def is_graded(self) -> bool:
        """Whether pairs have weights or margins."""
        return any(name is not None for name in (self.weight, self.agreement, self.margin))

    @model_validator(mode="after")
    def _loss_of_graded_pairs(self) -> Self:
        if not self.is_graded:
            return self
        graded = next(
            name for name in ("weight", "agreement", "margin") if getattr(self, name) is not None
        )
        for loss in self.loss_type:
            if loss not in {"sigmoid", "sft"}:
                message = (
                    f"the loss {loss} knows no grades: with {graded} loss_type is [sigmoid] or "
                    f"[sigmoid, sft]"
                )
                raise ValueError(message)
        for name in ("ld_alpha", "f_divergence_type", "f_alpha_divergence_coef", "use_weighting"):
            if name in self.trainer:
                message = f"trainer.{name} changes a loss that knows no grades; leave out {graded}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _one_weight_per_loss(self) -> Self:
        if self.loss_weights is not None and len(self.loss_weights) != len(self.loss_type):
            message = (
                f"loss_weights has {len(self.loss_weights)} values for {len(self.loss_type)} losses"
            )
            raise ValueError(message)
        if "exo_pair" in self.loss_type and self.label_smoothing == 0:
            message = "the loss exo_pair needs label_smoothing above 0, 0.001 for example"
            raise ValueError(message)
        return self

    @property
    def precomputes(self) -> bool:
        """Whether the reference is computed before training starts."""
        if self.precompute_ref_log_probs is not None:
            return self.precompute_ref_log_probs
        return self.lora is None or self.num_train_epochs > 1
