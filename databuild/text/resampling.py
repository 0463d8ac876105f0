"""Percentile bootstrap over prompts or groups (Efron and Tibshirani 1993, section 13.3)."""

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


def bootstrap_ratio(
    parts: NDArray[np.float64], wholes: NDArray[np.float64], seed: int, resamples: int = 2_000
) -> Interval:
    """The sum of `parts` over the sum of `wholes`, with its 95 % percentile interval.

    Whole groups are resampled, so that what belongs together (the pairs of one prompt) does not
    pass for independent. A resample whose `wholes` sum to 0 is left out.

    Args:
        parts: One number per group, at least one.
        wholes: One number per group, 0 or more, of which one is above 0.
        seed: Seed of the resampling; equal seeds give equal intervals.
        resamples: How many resamples to draw.

    Example:
        >>> found = bootstrap_ratio(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 2.0]), seed=7)
        >>> found.mean, found.low, found.high
        (0.5, 0.0, 1.0)
    """
    generator = np.random.default_rng(seed)
    ratios = np.full(resamples, np.nan)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        drawn = generator.integers(0, len(parts), (size, len(parts)))
        sums = wholes[drawn].sum(axis=1)
        found = np.divide(
            parts[drawn].sum(axis=1), sums, out=np.full(size, np.nan), where=sums > 0
        )
        ratios[start : start + size] = found
    low, high = np.nanpercentile(ratios, [2.5, 97.5])
    return Interval(float(parts.sum() / wholes.sum()), float(low), float(high))
