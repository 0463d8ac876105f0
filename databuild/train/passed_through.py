"""What a recipe passes through to TRL's config class: which names are ours, and which are none."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from databuild.errors import RecipeError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PREPARED = "databuild turns the rows into tokens itself"
_LOADED = "databuild loads the model itself"
_KEPT = "databuild keeps the checkpoints and the log"
OWN: Mapping[str, str] = {
    "output_dir": _KEPT,
    "per_device_eval_batch_size": "set per_device_train_batch_size",
    "bf16": "set dtype",
    "fp16": "set dtype",
    "use_cpu": "set the device of the run",
    "logging_steps": _KEPT,
    "logging_nan_inf_filter": _KEPT,
    "report_to": _KEPT,
    "disable_tqdm": _KEPT,
    "dataloader_pin_memory": "databuild sets it by the device",
    "save_strategy": "set save_steps",
    "save_total_limit": _KEPT,
    "eval_strategy": "set save_steps, and give it rows to evaluate on",
    "eval_steps": "set save_steps",
    "prediction_loss_only": _KEPT,
    "metric_for_best_model": "best/ is the checkpoint of the lowest loss",
    "greater_is_better": "best/ is the checkpoint of the lowest loss",
    "load_best_model_at_end": "best/ and final/ are both kept",
    "resume_from_checkpoint": _KEPT,
    "push_to_hub": "use an export or push step",
    "remove_unused_columns": _PREPARED,
    "packing": _PREPARED,
    "packing_strategy": _PREPARED,
    "eval_packing": _PREPARED,
    "padding_free": _PREPARED,
    "completion_only_loss": _PREPARED,
    "assistant_only_loss": _PREPARED,
    "dataset_text_field": _PREPARED,
    "dataset_kwargs": _PREPARED,
    "dataset_num_proc": _PREPARED,
    "truncation_mode": _PREPARED,
    "chat_template_path": _PREPARED,
    "eos_token": _PREPARED,
    "pad_token": _PREPARED,
    "train_sampling_strategy": "rows of similar length share a batch already",
    "group_by_length": "rows of similar length share a batch already",
    "model_init_kwargs": _LOADED,
    "trust_remote_code": _LOADED,
    "data_seed": "set seed",
}
"""Names of TRL's config classes that databuild sets itself, and what to do instead."""


def refuse_own_names(trainer: Mapping[str, Any], options: Iterable[str]) -> None:
    """Raise ValueError for a name that databuild sets itself, or that is an option of the step.

    Example:
        >>> refuse_own_names({"bf16": True}, ["seed"])
        Traceback (most recent call last):
        ...
        ValueError: trainer.bf16 cannot be passed through: set dtype
    """
    for name in trainer:
        if name in set(options):
            message = f"trainer.{name} is an option of the step itself: set {name} beside trainer"
            raise ValueError(message)
        if name in OWN:
            message = f"trainer.{name} cannot be passed through: {OWN[name]}"
            raise ValueError(message)


def made_of(config_class: Any, arguments: Mapping[str, Any], trainer: Mapping[str, Any]) -> Any:
    """Make TRL's config, after each name that is passed through was looked up in its class.

    Args:
        config_class: `SFTConfig`, `DPOConfig`, or another dataclass.
        arguments: What databuild sets.
        trainer: What the recipe passes through.

    Raises:
        RecipeError: TRL's config has no such name, or refuses the value.
    """
    known = {field.name for field in fields(config_class) if field.init}
    for name in trainer:
        if name not in known:
            near = nearest(name, known - OWN.keys() - arguments.keys())
            what = f"trainer.{name}: {config_class.__name__} has no such name; {near}"
            raise RecipeError("trainer", what, fix="correct the name")
    try:
        return config_class(**{**arguments, **trainer})
    except (ValueError, TypeError, NotImplementedError) as error:
        if not trainer:
            raise
        what = f"{config_class.__name__} refuses {dict(trainer)}: {error}"
        raise RecipeError("trainer", what, fix="correct the values under `trainer`") from error
