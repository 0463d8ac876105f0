"""Percentile bootstrap over prompts (Efron and Tibshirani 1993, section 13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHUNK = 512


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrap_mean(values: NDArray[np.float64], seed: int, resamples: int = 10_000) -> Interval:
    """The mean of `values` and its 95 % percentile interval over resamples of them.

    Args:
        values: One number per prompt, at least one.
        seed: Seed of the resampling; equal seeds give equal intervals.
        resamples: How many resamples to draw.
    """
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        drawn = generator.integers(0, len(values), (size, len(values)))
        means[start : start + size] = values[drawn].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))
