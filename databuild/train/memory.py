"""Out of memory: how it shows, and which setting would fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from databuild.errors import ServiceError

if TYPE_CHECKING:
    from databuild.train.options import TrainOptions

_SIGNS = ("can't allocate memory", "not enough memory", "out of memory", "CUDA_ERROR_OUT_OF_MEMORY")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of Python, torch or CUDA says that memory ran out.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 GB"))
        True
        >>> is_out_of_memory(RuntimeError("shapes do not match"))
        False
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def advice(options: TrainOptions, longest: int | None = None) -> str:
    """The next setting that needs less memory, as an imperative, with the values to write.

    In this order: smaller batches, accumulated to the same number of rows a step; activations
    computed again instead of kept; adapters instead of all weights; shorter rows.

    Args:
        options: What the training was asked to do.
        longest: Tokens of the longest row, where it is known.

    Example:
        >>> from databuild.train.options import SftOptions
        >>> advice(SftOptions(per_device_train_batch_size=8, gradient_accumulation_steps=2))
        'set per_device_train_batch_size: 4 and gradient_accumulation_steps: 4'
        >>> advice(SftOptions(per_device_train_batch_size=1, gradient_checkpointing=True), 900)
        'set max_length: 450 (the longest row has 900 tokens; longer ones are left out)'
    """
    size, steps = options.per_device_train_batch_size, options.gradient_accumulation_steps
    if size > 1:
        smaller = size // 2
        more = -(-size * steps // smaller)
        return f"set per_device_train_batch_size: {smaller} and gradient_accumulation_steps: {more}"
    if not options.gradient_checkpointing:
        return "set gradient_checkpointing: true"
    if options.lora is None:
        return "train adapters: leave out `lora: null`"
    known = min(longest or options.max_length, options.max_length)
    why = f"the longest row has {longest} tokens; " if longest else ""
    return f"set max_length: {max(8, known // 2)} ({why}longer ones are left out)"


def out_of_memory(
    where: str, options: TrainOptions, longest: int | None, told: str
) -> ServiceError:
    """The error of a training that had no memory left."""
    size = options.per_device_train_batch_size
    rows = f"{size} rows of up to {longest or options.max_length} tokens at once"
    return ServiceError(where, f"out of memory with {rows}: {told}", fix=advice(options, longest))
