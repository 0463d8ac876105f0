"""Percentile bootstrap over prompts or groups (Efron and Tibshirani 1993, section 13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

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


class Resamples:
    """Resamples of groups, drawn once and used for any number of statistics of the same groups.

    The members of a group belong together (the pairs of one prompt), so that they do not pass for
    independent ones. Statistics of the same resamples may be compared.

    Args:
        n: How many groups there are, at least one.
        seed: Seed of the resampling; equal seeds give equal intervals.
        resamples: How many resamples to draw. They take 8 bytes for each group and resample.
    """

    def __init__(self, n: int, seed: int, resamples: int = 1_000) -> None:
        generator = np.random.default_rng(seed)
        self._counts_RG = np.empty((resamples, n))
        for place in range(resamples):
            self._counts_RG[place] = np.bincount(generator.integers(0, n, n), minlength=n)

    def interval(
        self,
        cells_GC: NDArray[np.float64],
        statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    ) -> Interval | None:
        """A statistic of column sums, with its 95 % percentile interval over the resamples.

        Args:
            cells_GC: For each group C numbers.
            statistic: From sums, R by C, to R numbers; NaN where there is none. A resample without
                one is left out.

        Returns:
            The statistic of the sums over all groups, and its interval; None where it is NaN.
        """
        found = float(statistic(cells_GC.sum(axis=0, keepdims=True))[0])
        if np.isnan(found):
            return None
        drawn_R = statistic(self._counts_RG @ cells_GC)
        low, high = np.nanpercentile(drawn_R, [2.5, 97.5])
        return Interval(found, float(low), float(high))


def bootstrap_ratio(
    parts: NDArray[np.float64], wholes: NDArray[np.float64], seed: int, resamples: int = 1_000
) -> Interval | None:
    """The sum of `parts` over the sum of `wholes`, with its interval: see `Resamples`.

    Args:
        parts: One number per group.
        wholes: One number per group, 0 or more.
        seed: Seed of the resampling.
        resamples: How many resamples to draw.

    Returns:
        None where `wholes` sum to 0.

    Example:
        >>> found = bootstrap_ratio(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1.0, 2.0]), seed=7)
        >>> found.mean, found.low, found.high
        (0.5, 0.0, 1.0)
    """
    if not wholes.sum():
        return None
    both_G2 = np.stack([parts, wholes], axis=1)
    return Resamples(len(parts), seed, resamples).interval(both_G2, ratio)


def ratio(sums_RC: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first column over the second; NaN where that is 0."""
    parts, wholes = sums_RC[:, 0], sums_RC[:, 1]
    found = np.full(len(parts), np.nan)
    np.divide(parts, wholes, out=found, where=wholes != 0)
    return found
