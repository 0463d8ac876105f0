"""TRL's trainers, set up for a job, without the set-up work that is not needed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.train import graded, output_head, quantizing
from databuild.train.options import DpoOptions
from databuild.train.order import sampler
from databuild.train.passed_through import made_of
from databuild.train.reward_options import RewardOptions
from databuild.train.work import DivergedError

if TYPE_CHECKING:
    from databuild.train.examples import Examples
    from databuild.train.options import TrainOptions
    from databuild.train.work import Work


def load_tokenizer(model: Path) -> Any:
    """Load the tokenizer of a model folder and make sure that it can pad."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def build(work: Work, tokenizer: Any, train_rows: Examples, eval_rows: Examples) -> Any:
    """Make the trainer of a job, with its model, adapter and data.

    The rows come tokenised and checked, so TRL's own preparation (three to five passes over the
    table, each with its cache files) is skipped. The model is read once.
    """
    from datasets import Dataset

    settings = config(work, has_eval=bool(eval_rows.rows))
    work.phase("model")
    model = load_model(work.model, work)
    held = Dataset.from_list(eval_rows.rows) if eval_rows.rows else None
    arguments = {
        "model": model,
        "args": settings,
        "train_dataset": Dataset.from_list(train_rows.rows),
        "eval_dataset": held,
        "processing_class": tokenizer,
        "peft_config": adapter(work.options, model),
        "callbacks": [reporter(work)],
    }
    if isinstance(work.options, DpoOptions) and work.options.is_graded:
        arguments["data_collator"] = graded.collator(tokenizer.pad_token_id)
    trainer = _trainer_class(work, train_rows)(**arguments)
    if trainer.args.device.type == "cpu":
        bare = trainer.model.get_base_model() if work.options.lora else trainer.model
        output_head.install(bare, pairs=work.kind == "dpo")
    return trainer


def load_model(folder: Path, work: Work, *, quantized: bool = True) -> Any:
    """Load a language model in the type that its weights have while training."""
    from transformers import AutoModelForCausalLM

    with quantizing.refused(work.options.quantization if quantized else None):
        return AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="sdpa", **weights_in(work, quantized=quantized)
        )


def weights_in(work: Work, *, quantized: bool = True) -> dict[str, Any]:
    """What `from_pretrained` is told of the type that weights have while training.

    Args:
        work: The work.
        quantized: In few bits, where the options say so; else in full.
    """
    import torch

    if work.options.quantization is not None and quantized:
        return quantizing.settings(work.options.quantization, on_gpu=_on_gpu(work))
    # Weights that are trained themselves stay in float32: a small step vanishes in bfloat16.
    pure = compute_dtype(work) == "bfloat16" and work.options.lora is not None
    return {"dtype": torch.bfloat16 if pure else torch.float32}


def compute_dtype(work: Work) -> str:
    """Return `float32` or `bfloat16`, as `options.dtype` describes."""
    if work.options.dtype != "auto":
        return work.options.dtype
    if _on_gpu(work):
        return "bfloat16"
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return "float32"
    return "bfloat16" if {"avx512_bf16", "amx_bf16"} & set(flags) else "float32"


def _on_gpu(work: Work) -> bool:
    import torch

    return work.device != "cpu" and torch.cuda.is_available()


def config(work: Work, *, has_eval: bool) -> Any:
    """TRL's config of a job, with what the recipe passes through.

    Raises:
        RecipeError: The recipe passes through what TRL does not know.
    """
    from trl import DPOConfig, RewardConfig, SFTConfig

    kind: Any = {"sft": SFTConfig, "dpo": DPOConfig, "reward": RewardConfig}[work.kind]
    return made_of(kind, arguments_of(work, has_eval=has_eval), work.options.trainer)


def arguments_of(work: Work, *, has_eval: bool) -> dict[str, Any]:
    """What databuild itself sets of TRL's config."""
    options = work.options
    bfloat16 = compute_dtype(work) == "bfloat16"
    made: dict[str, Any] = {
        "output_dir": str(work.out / "checkpoints"),
        "learning_rate": options.learning_rate,
        "num_train_epochs": options.num_train_epochs,
        "per_device_train_batch_size": options.per_device_train_batch_size,
        "per_device_eval_batch_size": options.per_device_train_batch_size,
        "gradient_accumulation_steps": options.gradient_accumulation_steps,
        "warmup_steps": options.warmup_steps,
        "lr_scheduler_type": options.lr_scheduler_type,
        "max_grad_norm": options.max_grad_norm,
        "weight_decay": options.weight_decay,
        "gradient_checkpointing": options.gradient_checkpointing,
        "max_length": None,
        "bf16": bfloat16 and (options.lora is None or _on_gpu(work)),
        "use_cpu": not _on_gpu(work),
        "seed": options.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": _on_gpu(work),
        "save_strategy": "steps",
        "save_steps": _steps(options.save_steps),
        "save_total_limit": 2,  # a last one that a kill cut in half has one before it
        "eval_strategy": "steps" if has_eval else "no",
        "eval_steps": _steps(options.save_steps),
        "prediction_loss_only": True,
        "metric_for_best_model": "eval_loss" if has_eval else None,
        "greater_is_better": False if has_eval else None,
    }
    if isinstance(options, DpoOptions):
        made |= _preference_arguments(options)
    if isinstance(options, RewardOptions):
        made["center_rewards_coefficient"] = options.center_rewards_coefficient
    return made


def _preference_arguments(options: DpoOptions) -> dict[str, Any]:
    return {
        "beta": options.beta,
        "loss_type": list(options.loss_type),
        "loss_weights": list(options.loss_weights) if options.loss_weights else None,
        "label_smoothing": options.label_smoothing,
        "precompute_ref_log_probs": options.precomputes,
    }


def _steps(value: float) -> float:
    return value if value < 1 else int(value)


def adapter(options: TrainOptions, model: Any) -> Any:
    """Adapters on the linear layers; a reward head is trained whole and saved with them."""
    if options.lora is None:
        return None
    from peft import LoraConfig

    lora, targets = options.lora, options.lora.target_modules
    layers = lora.layers_to_transform
    if layers is not None and targets == "all-linear":
        targets = _linear_names(model)  # PEFT takes layers with a list of names only
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        layers_to_transform=list(layers) if layers is not None else None,
        modules_to_save=["score"] if isinstance(options, RewardOptions) else None,
        task_type="SEQ_CLS" if isinstance(options, RewardOptions) else "CAUSAL_LM",
    )


def _linear_names(model: Any) -> tuple[str, ...]:
    import torch

    head = getattr(model, "score", None) or model.get_output_embeddings()
    linear = [
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    ]
    return tuple(sorted(set(linear)))


def _trainer_class(work: Work, rows: Examples) -> Any:
    from trl import DPOTrainer, SFTTrainer

    lengths = rows.lengths()

    class Prepared:
        """What both trainers take over: rows that are ready, in our order, and no model card."""

        args: Any

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _get_train_sampler(self, _dataset: Any = None) -> Any:
            return sampler(lengths, self.args.per_device_train_batch_size, self.args.seed)

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """Write none: a checkpoint of ours lives until the job is done."""

    trainer: Any = SFTTrainer if work.kind == "sft" else DPOTrainer
    if isinstance(work.options, DpoOptions) and work.options.is_graded:
        trainer = graded.trainer_class(graded.mean_weight(rows))
    return type(f"Prepared{trainer.__name__}", (Prepared, trainer), {})


def has_stalled(history: list[dict[str, Any]], patience: int) -> bool:
    """Whether the last `patience` evaluations brought no new lowest loss.

    Example:
        >>> has_stalled([{"eval_loss": 2.0}, {"eval_loss": 1.0}, {"eval_loss": 1.5}], 1)
        True
        >>> has_stalled([{"eval_loss": 2.0}, {"eval_loss": 1.0}, {"eval_loss": 1.5}], 2)
        False
    """
    losses = [one["eval_loss"] for one in history if "eval_loss" in one]
    return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= patience


def reporter(work: Work) -> Any:
    """Return what tells the parent of every step, stops early, and stops what has diverged."""
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):
        def on_log(self, _args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            logs = logs or {}
            for name in ("loss", "grad_norm", "eval_loss"):
                if name in logs and not math.isfinite(logs[name]):
                    message = f"{name} is {logs[name]} after step {state.global_step}"
                    raise DivergedError(message)
            patience = work.options.early_stopping_patience
            if patience is not None and "eval_loss" in logs:
                control.should_training_stop |= has_stalled(state.log_history, patience)
            if "loss" in logs or "eval_loss" in logs:
                wanted = (
                    "loss", "eval_loss", "accuracy", "eval_accuracy", "learning_rate", "grad_norm",
                )  # fmt: skip
                work.tell(
                    {
                        "step": state.global_step,
                        "total": state.max_steps,
                        **{name: logs[name] for name in wanted if name in logs},
                        "elapsed_s": round(work.elapsed(), 2),
                    }
                )

    return Reporter()
