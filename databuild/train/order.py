"""The order in which a training sees its rows: random, but rows of similar length share a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

POOL_BATCHES = 8
"""Batches that are sorted among themselves: padding nearly gone, and yet a new mix every epoch."""


def order_rows(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[int]:
    """Return every row number once, such that each run of `batch_size` has similar lengths.

    The rows are shuffled, cut into pools of `POOL_BATCHES` batches, and sorted by length within
    each pool; then whole batches are shuffled. The order depends on the arguments alone, so that a
    training that goes on in the middle of an epoch meets the rows that it has not seen.

    Example:
        >>> order_rows([9, 1, 8, 2], batch_size=2, seed=0, epoch=0)
        [2, 0, 1, 3]
    """
    rng = np.random.default_rng([seed, epoch])
    shuffled = rng.permutation(len(lengths))
    known, size = np.asarray(lengths), batch_size * POOL_BATCHES
    batches: list[np.ndarray[Any, Any]] = []
    for start in range(0, len(shuffled), size):
        pool = shuffled[start : start + size]
        pool = pool[np.argsort(known[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    whole = [batch for batch in batches if len(batch) == batch_size]
    rest = [batch for batch in batches if len(batch) < batch_size]  # a short batch comes last
    order = [whole[i] for i in rng.permutation(len(whole))] + rest
    return [int(number) for batch in order for number in batch]


def sampler(lengths: Sequence[int], batch_size: int, seed: int) -> Any:
    """Return a torch sampler over `order_rows`, told the epoch by the trainer."""
    from torch.utils.data import Sampler

    class ByLength(Sampler[int]):
        epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __len__(self) -> int:
            return len(lengths)

        def __iter__(self) -> Any:
            return iter(order_rows(lengths, batch_size, seed, self.epoch))

    return ByLength()
