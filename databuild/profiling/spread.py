"""How numbers are spread, and how far two spreads lie apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from databuild.profiling.facts import Histogram, Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS = 20
_TAIL = 3.0
"""Where the extreme value lies farther out than the 99 % (1 %) quantile by this many times the
distance from there to the median, the plot ends at that quantile."""
_QUANTILES = {"min": 0.0, "p5": 5, "p25": 25, "p50": 50, "p75": 75, "p95": 95, "max": 100}
_LEAST_SHARE = 1e-4
_SMIRNOV_5 = 1.358


def finite(values: pl.Series) -> np.ndarray:
    """The values that are numbers, as 64-bit floats, sorted."""
    known = values.drop_nulls().cast(pl.Float64, strict=False).drop_nulls()
    return np.sort(known.filter(known.is_finite()).to_numpy())


def spread_of(values: pl.Series, edges: Sequence[float] | None = None) -> Spread:
    """Describe a column of numbers.

    Args:
        values: Any numeric column, with nulls.
        edges: Those of the histogram; found for the values when None.

    Example:
        >>> told = spread_of(pl.Series([1, 2, 3, 4, None]))
        >>> told.n, told.mean, told.quantiles["p50"]
        (4, 2.5, 2.5)
    """
    is_float = values.dtype.is_float()
    n_nan = int(values.is_nan().sum()) if is_float else 0
    n_infinite = int(values.is_infinite().sum()) if is_float else 0
    known_N = finite(values)
    if not known_N.size:
        return Spread(0, n_nan, n_infinite, None, None, {}, None)
    # Sums and differences of very large values may leave the range of floats: then None is said.
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.percentile(known_N, list(_QUANTILES.values()))
        mean = float(known_N.mean())
        std = float(known_N.std(ddof=1)) if known_N.size > 1 else None
    return Spread(
        n=int(known_N.size),
        n_nan=n_nan,
        n_infinite=n_infinite,
        mean=mean if math.isfinite(mean) else None,
        std=std if std is not None and math.isfinite(std) else None,
        quantiles=dict(zip(_QUANTILES, map(float, found), strict=True)),
        histogram=histogram(known_N, edges or edges_of([known_N])),
    )


def edges_of(tables: Sequence[np.ndarray]) -> tuple[float, ...]:
    """Edges of about twenty bins of a round width, common to one or two sets of sorted values.

    Whole numbers in a small range have a bin each. A long tail on either side is left out: it is
    counted in `below` and `above`.
    """
    filled = [values for values in tables if values.size]
    if not filled:
        return (0.0, 1.0)
    everything = np.sort(np.concatenate(filled))
    places = (0, everything.size // 2, -1)
    low, middle, high = (float(everything[place]) for place in places)
    # Values, not interpolations: of few values, those would lie on the way to the one outlier.
    last = everything.size - 1
    near, far = (float(everything[place]) for place in (last - last * 99 // 100, last * 99 // 100))
    if high - middle > _TAIL * (far - middle) and far > middle:
        high = far
    if middle - low > _TAIL * (middle - near) and near < middle:
        low = near
    is_whole = bool(np.all(everything == np.floor(everything)))
    if low == high:
        return (low - 0.5, low + 0.5) if is_whole and abs(low) < 1e15 else _around(low)
    if is_whole and high - low < BINS:
        return tuple(float(v) for v in np.arange(math.floor(low), math.floor(high) + 2))
    width = round_width((high - low) / BINS)
    if not math.isfinite(width) or width <= abs(high) * 1e-12:
        return (low, high)
    width = max(width, 1.0) if is_whole else width
    first, last = math.floor(low / width + 1e-9), math.ceil(high / width - 1e-9)
    return tuple(float(f"{number * width:.12g}") for number in range(first, last + 1))


def _around(value: float) -> tuple[float, float]:
    half = abs(value) * 0.05 or 0.5
    return (value - half, value + half)


def round_width(rough: float) -> float:
    """The next of 1, 2, 2.5 and 5 times a power of ten.

    Example:
        >>> round_width(0.7), round_width(23)
        (1.0, 25.0)
    """
    if not math.isfinite(rough) or rough <= 0:
        return rough
    power = 10.0 ** math.floor(math.log10(rough))
    steps = (1, 2, 2.5, 5, 10)
    return next((s * power for s in steps if s * power >= rough * (1 - 1e-9)), 10 * power)


def histogram(known_N: np.ndarray, edges: Sequence[float]) -> Histogram:
    """Count sorted finite values between edges.

    Example:
        >>> histogram(np.array([0.0, 1.0, 1.5, 2.0, 9.0]), (0.0, 1.0, 2.0))
        Histogram(edges=(0.0, 1.0, 2.0), counts=(1, 3), below=0, above=1)
    """
    places = np.searchsorted(known_N, edges, side="left")
    places[-1] = np.searchsorted(known_N, edges[-1], side="right")
    counts = tuple(int(n) for n in np.diff(places))
    return Histogram(
        tuple(float(e) for e in edges), counts, int(places[0]), int(known_N.size - places[-1])
    )


def kolmogorov(before_N: np.ndarray, after_M: np.ndarray) -> tuple[float, float]:
    """The two-sample Kolmogorov-Smirnov statistic of sorted values, and its noise.

    Example:
        >>> kolmogorov(np.array([1.0, 2, 3, 4]), np.array([3.0, 4, 5, 6]))[0]
        0.5
    """
    both = np.concatenate([before_N, after_M])
    below_A = np.searchsorted(before_N, both, side="right") / before_N.size
    below_B = np.searchsorted(after_M, both, side="right") / after_M.size
    n, m = before_N.size, after_M.size
    return float(np.abs(below_A - below_B).max()), _SMIRNOV_5 * math.sqrt((n + m) / (n * m))


def stability(before: Sequence[float], after: Sequence[float]) -> float:
    """The population stability index of two lists of counts.

    Example:
        >>> round(stability([50, 50], [25, 75]), 4)
        0.2747
    """
    a = np.maximum(np.asarray(before, dtype=float) / max(sum(before), 1), _LEAST_SHARE)
    b = np.maximum(np.asarray(after, dtype=float) / max(sum(after), 1), _LEAST_SHARE)
    return float(((b - a) * np.log(b / a)).sum())


def stability_of_numbers(before_N: np.ndarray, after_M: np.ndarray) -> float:
    """The population stability index over the deciles of the first values (equal ones merged)."""
    cuts = np.unique(np.percentile(before_N, np.arange(10, 100, 10)))
    counts = [
        np.diff([0, *np.searchsorted(values, cuts, side="right"), values.size])
        for values in (before_N, after_M)
    ]
    return stability(*(list(map(float, one)) for one in counts))
