"""Two models on the same prompts: the tests of a paired difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 512
_EQUAL = 1e-12
"""Differences below this are ties: sums of floats in another order."""


def wins(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Per prompt 1 where the model scores higher, 0 where lower, 0.5 where equal.

    Example:
        >>> wins(np.array([0.2, 0.0, -1.0])).tolist()
        [1.0, 0.5, 0.0]
    """
    return np.where(np.abs(difference) <= _EQUAL, 0.5, (difference > 0).astype(np.float64))


def randomisation_test(difference: NDArray[np.float64], seed: int, draws: int = 10_000) -> float:
    """The two-sided p-value of a paired difference, by randomisation of its signs.

    Were the two models equal, each prompt's difference could as well have the other sign (Noreen
    1989; for this field Dror et al. 2018, section 3.2). The observed signs count as one draw, so
    the value is never 0 (Phipson and Smyth 2010).

    Args:
        difference: One number per prompt, at least one.
        seed: Seed of the draws; equal seeds give equal values.
        draws: How many draws.

    Returns:
        The share of draws whose mean is at least as far from 0 as the observed one, above 0 to 1.

    Example:
        >>> randomisation_test(np.array([1.0, -1.0]), seed=1)
        1.0
    """
    told = difference[np.abs(difference) > _EQUAL]
    if not len(told):
        return 1.0
    generator = np.random.default_rng(seed)
    least = abs(told.sum()) * (1 - 1e-9)
    hits = 1
    for start in range(0, draws, _CHUNK):
        shape = (min(_CHUNK, draws - start), len(told))
        signs = generator.integers(0, 2, shape, dtype=np.int8) * 2.0 - 1
        hits += int((np.abs(signs @ told) >= least).sum())
    return hits / (draws + 1)
