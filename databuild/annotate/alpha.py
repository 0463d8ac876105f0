"""Krippendorff's alpha: agreement beyond chance of any number of people, with gaps.

Krippendorff, Content Analysis, 4th edition (2019), chapter 12, and "Computing Krippendorff's
Alpha-Reliability" (2011). With n_uc how often unit u was given the value c, and m_u its values,
over units with m_u >= 2:

    o_ck = sum over u of n_uc (n_uk - [c = k]) / (m_u - 1)      coincidences
    n_c = sum over k of o_ck,  n = sum over c of n_c
    alpha = 1 - (n - 1) * (sum o_ck d_ck) / (sum n_c n_k d_ck)

d_ck is 1 for c != k (nominal), or (sum of n_g from c to k - (n_c + n_k) / 2) squared (ordinal).
1 is full agreement, 0 what chance gives, below 0 people disagree systematically. It is not defined
where all values are equal or no unit has two. Written here and checked against the published
example, since the library of that name is under the GPL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 2_000_000
"""Numbers of one block of resamples."""


@dataclass(frozen=True)
class Alpha:
    """An alpha with its 95 % interval, and what it rests on."""

    value: float | None
    low: float | None
    high: float | None
    n_units: int
    """Units with two values or more."""
    n_values: int
    """Values in those units."""


def alpha(
    units_N: NDArray[np.int64],
    values_N: NDArray[np.float64],
    scale: Literal["ordinal", "nominal"],
    *,
    mirrored: bool = False,
    seed: int = 0,
    resamples: int = 0,
) -> Alpha:
    """Krippendorff's alpha of N values.

    Args:
        units_N: The unit of each value.
        values_N: The values; none is NaN.
        scale: Whether values are ordered.
        mirrored: Count every unit half as it is and half with all values negated. For preferences:
            which answer is called a is arbitrary, and where a is the favourite of whoever made the
            pairs, votes for a would otherwise pass for agreement by chance.
        seed: Of the bootstrap.
        resamples: Bootstrap resamples, over units, for the interval (2.5 to 97.5 %); 0 for none.

    Example:
        >>> found = alpha(np.array([0, 0, 1, 1]), np.array([1.0, 1, 2, 2]), "ordinal")
        >>> found.value, found.n_units
        (1.0, 2)
    """
    _, units = np.unique(units_N, return_inverse=True)
    names = np.unique([*values_N, *(-values_N if mirrored else ())])
    values = np.searchsorted(names, values_N)
    n_values = max(len(names), 1)
    counts_UK = np.zeros((int(units.max(initial=-1)) + 1, n_values))
    np.add.at(counts_UK, (units, values), 1.0)
    counts_UK = counts_UK[counts_UK.sum(axis=1) >= 2]
    many_U = counts_UK.sum(axis=1)
    each_UKK = counts_UK[:, :, None] * counts_UK[:, None, :]
    each_UKK[:, np.arange(n_values), np.arange(n_values)] -= counts_UK
    each_UKK /= (many_U - 1)[:, None, None]
    if mirrored:
        each_UKK = (each_UKK + each_UKK[:, ::-1, ::-1]) / 2
    told = _alpha(each_UKK.sum(axis=0)[None], scale)[0]
    value = None if np.isnan(told) else float(told)
    low = high = None
    if resamples and value is not None and len(many_U) > 1:
        drawn = _resampled(each_UKK, scale, np.random.default_rng(seed), resamples)
        if len(drawn):
            low, high = (float(x) for x in np.quantile(drawn, (0.025, 0.975)))
    return Alpha(value, low, high, len(many_U), int(many_U.sum()))


def _alpha(o_RKK: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """Alpha of R matrices of coincidences; NaN where it is not defined."""
    n_RK = o_RKK.sum(axis=2)
    n_R = n_RK.sum(axis=1)
    n_values = o_RKK.shape[1]
    if scale == "nominal":
        d_RKK = np.broadcast_to(1.0 - np.eye(n_values), o_RKK.shape)
    else:
        # From c to k the n_g sum to |C_k - C_c| + the smaller one's own, with C running sums.
        middle_RK = np.cumsum(n_RK, axis=1) - n_RK / 2
        d_RKK = (middle_RK[:, :, None] - middle_RK[:, None, :]) ** 2
    observed = (o_RKK * d_RKK).sum(axis=(1, 2))
    expected = (n_RK[:, :, None] * n_RK[:, None, :] * d_RKK).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: NDArray[np.float64] = 1.0 - (n_R - 1) * observed / expected
    defined: NDArray[np.float64] = np.where(expected > 0, found, np.nan)
    return defined


def _resampled(
    each_UKK: NDArray[np.float64], scale: str, rng: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    n_units, n_values, _ = each_UKK.shape
    flat = each_UKK.reshape(n_units, -1)
    step = max(1, _AT_ONCE // n_units)
    found = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        times_RU = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=size)
        o_RKK = (times_RU.astype(np.float64) @ flat).reshape(size, n_values, n_values)
        found.append(_alpha(o_RKK, scale))
    drawn = np.concatenate(found)
    defined: NDArray[np.float64] = drawn[~np.isnan(drawn)]
    return defined
