"""How far a scorer agrees with people: accuracy, calibration, agreement, biases."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.schema.identity import derive_seed
from databuild.text.resampling import Interval, Resamples, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from databuild.reward.calibration_pairs import Judged

LENGTHS = (0.0, 0.5, 0.8, 1.25, 2.0, math.inf)
"""Borders of the length of the answer that people prefer, over that of the other one."""
LENGTH = "length"
_PRIOR = 10.0
_MOST_STRATA = 12
_DRAWS = 200
_MOST_BLOCKS = 4_096
"""More groups are resampled in so many blocks: a block of independent groups is one as well."""


@dataclass(frozen=True)
class Calibrator:
    """Compares scorers with people over the same pairs."""

    judged: Judged
    bins: int
    probabilities: tuple[float, ...]
    seed: int
    resamples: int

    def scorer(self, name: str) -> dict[str, Any]:
        """Everything about one scorer, as plain JSON."""
        judged, margins_N = self.judged, self.judged.margins_SN[name]
        there_N = np.isfinite(margins_N)
        decided_N = there_N & (judged.labels_N != 0)
        agrees_N = _agrees(margins_N, judged.labels_N)
        slope = fit_slope(margins_N[decided_N], judged.labels_N[decided_N])
        told: dict[str, Any] = {
            "pairs": int(there_N.sum()), "missing": int((~there_N).sum()),
            "decided": int(decided_N.sum()),
            "undecided_by_scorer": int((margins_N[decided_N] == 0).sum()),
            "accuracy": self._mean(agrees_N, decided_N),
            "kappa": self._kappa(margins_N, there_N),
            "slope": _rounded(slope),
            "temperature": _rounded(1 / slope) if slope and slope > 0 else None,
            "margin_at": margin_at(slope, self.probabilities),
            **self._calibration(margins_N, decided_N),
            **self._by_length(margins_N, decided_N, agrees_N),
            **self._by_position(margins_N, decided_N, agrees_N),
            "strata": self._strata(decided_N, agrees_N),
        }  # fmt: skip
        if name != LENGTH:
            told["above_length"] = self._above(agrees_N, decided_N)
        return told

    def people(self) -> dict[str, Any]:
        """What people prefer, apart from any scorer."""
        labels_N, chars_N2 = self.judged.labels_N, self.judged.chars_N2
        decided_N = labels_N != 0
        longer_N = np.sign(chars_N2[:, 0] - chars_N2[:, 1])
        apart_N = decided_N & (longer_N != 0)
        return {
            "pairs": len(labels_N), "ties": int((~decided_N).sum()),
            "prefer_longer": self._mean((longer_N == labels_N).astype(np.float64), apart_N),
            "prefer_a": self._mean((labels_N > 0).astype(np.float64), decided_N),
        }  # fmt: skip

    def _mean(
        self, values_N: NDArray[np.float64], where_N: NDArray[np.bool_]
    ) -> dict[str, Any] | None:
        """The mean of the values with its interval over groups."""
        if not where_N.any():
            return None
        held_N2 = np.stack([np.where(where_N, values_N, 0.0), where_N.astype(np.float64)], axis=1)
        found = self._resamples.interval(self._by_block(held_N2), ratio)
        return _told(found, int(where_N.sum()))

    def _by_block(self, cells_NC: NDArray[np.float64]) -> NDArray[np.float64]:
        blocks_N = self._blocks[self.judged.groups_N]
        sums_BC = np.zeros((int(self._blocks.max()) + 1, cells_NC.shape[1]))
        np.add.at(sums_BC, blocks_N, cells_NC)
        return sums_BC

    @cached_property
    def _blocks(self) -> NDArray[np.int64]:
        """What is resampled: the groups, or of many groups blocks of them, by their ids."""
        ids = self.judged.group_ids
        if len(ids) <= _MOST_BLOCKS:
            return np.arange(len(ids))
        return np.array([derive_seed("block", one) % _MOST_BLOCKS for one in ids])

    @cached_property
    def _resamples(self) -> Resamples:
        return Resamples(int(self._blocks.max()) + 1, self.seed, self.resamples)

    def _above(
        self, agrees_N: NDArray[np.float64], decided_N: NDArray[np.bool_]
    ) -> dict[str, Any] | None:
        """The paired difference to a scorer that finds the longer answer better."""
        length_N = _agrees(self.judged.margins_SN[LENGTH], self.judged.labels_N)
        return self._mean(agrees_N - length_N, decided_N)

    def _kappa(
        self, margins_N: NDArray[np.float64], there_N: NDArray[np.bool_]
    ) -> dict[str, Any] | None:
        if not there_N.any():
            return None
        labels_N = self.judged.labels_N
        limit = tie_limit(margins_N[there_N], labels_N[there_N])
        said_N = np.where(np.abs(margins_N) <= limit, 0.0, np.sign(margins_N))
        cells_N9 = np.zeros((len(labels_N), 9))
        places_N = (3 * (labels_N + 1) + np.nan_to_num(said_N) + 1).astype(np.int64)
        cells_N9[np.flatnonzero(there_N), places_N[there_N]] = 1.0
        found = self._resamples.interval(self._by_block(cells_N9), kappa)
        return _told(found, int(there_N.sum())) | {"tie_up_to": _rounded(limit)} if found else None

    def _calibration(
        self, margins_N: NDArray[np.float64], decided_N: NDArray[np.bool_]
    ) -> dict[str, Any]:
        """Probabilities from the half of the groups that the pair is not in, and their error."""
        labels_N = self.judged.labels_N
        half_G = np.array([derive_seed("half", one) & 1 for one in self.judged.group_ids])
        half_N = half_G[self.judged.groups_N]
        chance_N = np.full(len(labels_N), np.nan)
        for half in (0, 1):
            fitted_N = decided_N & (half_N != half)
            slope = fit_slope(margins_N[fitted_N], labels_N[fitted_N])
            if slope is not None:
                asked_N = decided_N & (half_N == half)
                chance_N[asked_N] = _sigmoid(slope * margins_N[asked_N])
        known_N = np.isfinite(chance_N)
        if not known_N.any():
            return {"ece": None, "reliability": []}
        # By swapping the sides chance becomes 1 - chance; the confidence in the winner stays.
        sure_N = np.maximum(chance_N, 1 - chance_N)[known_N]
        right_N = np.where(chance_N == 0.5, 0.5, (chance_N > 0.5) == (labels_N > 0))[known_N]
        bins_N = equal_mass(sure_N, self.bins)
        sums_B3: NDArray[np.float64] = np.stack(
            [
                np.bincount(bins_N, weights=values_N, minlength=self.bins)
                for values_N in (np.ones(len(sure_N)), sure_N, right_N)
            ],
            axis=1,
        )
        chance = self._ece_by_chance(sure_N, bins_N, sums_B3)
        found = {"n": len(sure_N), "mean": _rounded(ece(sums_B3.reshape(1, -1))[0]), **chance}
        curve = [
            {"n": int(n), "confidence": _rounded(sure / n), "accuracy": _rounded(right / n)}
            for n, sure, right in sums_B3.tolist()
            if n
        ]
        return {"ece": found, "reliability": curve}

    def _ece_by_chance(
        self, sure_N: NDArray[np.float64], bins_N: NDArray[np.int64], sums_B3: NDArray[np.float64]
    ) -> dict[str, float | None]:
        """What the error would be if every probability were right: the mean and 97.5 % quantile."""
        generator = np.random.default_rng(self.seed)
        drawn_RB3 = np.repeat(sums_B3[None], _DRAWS, axis=0)
        for place in range(_DRAWS):
            right_N = (generator.random(len(sure_N)) < sure_N).astype(np.float64)
            drawn_RB3[place, :, 2] = np.bincount(bins_N, weights=right_N, minlength=self.bins)
        errors_R = ece(drawn_RB3.reshape(_DRAWS, -1))
        high = float(np.percentile(errors_R, 97.5))
        return {"by_chance": _rounded(errors_R.mean()), "by_chance_high": _rounded(high)}

    def _by_length(
        self,
        margins_N: NDArray[np.float64],
        decided_N: NDArray[np.bool_],
        agrees_N: NDArray[np.float64],
    ) -> dict[str, Any]:
        labels_N, chars_N2 = self.judged.labels_N, self.judged.chars_N2
        is_a_N = labels_N > 0
        preferred_N = np.where(is_a_N, chars_N2[:, 0], chars_N2[:, 1]) + 1
        other_N = np.where(is_a_N, chars_N2[:, 1], chars_N2[:, 0]) + 1
        ratio_N = preferred_N / other_N
        apart_N = decided_N & (ratio_N != 1)
        longer_N = _agrees(margins_N, np.sign(chars_N2[:, 0] - chars_N2[:, 1]))
        buckets = [
            {"from": low, "to": high if math.isfinite(high) else None, "accuracy": told}
            for low, high in pairwise(LENGTHS)
            if (told := self._mean(agrees_N, decided_N & (ratio_N >= low) & (ratio_N < high)))
        ]
        return {
            "picks_longer": self._mean(longer_N, apart_N),
            "accuracy_where_shorter_is_preferred": self._mean(agrees_N, decided_N & (ratio_N < 1)),
            "accuracy_where_longer_is_preferred": self._mean(agrees_N, decided_N & (ratio_N > 1)),
            "by_length": buckets,
        }

    def _by_position(
        self,
        margins_N: NDArray[np.float64],
        decided_N: NDArray[np.bool_],
        agrees_N: NDArray[np.float64],
    ) -> dict[str, Any]:
        labels_N = self.judged.labels_N
        picks_N = (np.sign(np.nan_to_num(margins_N)) + 1) / 2
        return {
            "picks_a": self._mean(picks_N, decided_N),
            "accuracy_where_a_is_preferred": self._mean(agrees_N, decided_N & (labels_N > 0)),
            "accuracy_where_b_is_preferred": self._mean(agrees_N, decided_N & (labels_N < 0)),
        }

    def _strata(
        self, decided_N: NDArray[np.bool_], agrees_N: NDArray[np.float64]
    ) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for column in self.judged.strata.columns:
            values = self.judged.strata[column]
            counts = values.value_counts().sort(["count", column], descending=[True, False])
            found[column] = [
                {"value": value, "accuracy": told}
                for value in counts[column].head(_MOST_STRATA).to_list()
                if (told := self._mean(agrees_N, decided_N & (values == value).to_numpy()))
            ]
        return found


def fit_slope(margins_N: NDArray[np.float64], labels_N: NDArray[np.float64]) -> float | None:
    """The slope b of P(a is preferred) = 1 / (1 + exp(-b margin)), by maximum likelihood.

    The Bradley-Terry model without an intercept, whose temperature is 1 / b. With r the root mean
    square of the margins, b r has a normal prior of mean 0 and standard deviation 10, so that there
    is a slope where the scorer is always right. Newton's method, halving steps.

    Args:
        margins_N: Score of a less that of b, finite.
        labels_N: 1 where a is preferred, else -1.

    Returns:
        The slope; None without margins, or where all are 0.

    Example:
        >>> margins = np.array([2.0, 2.0, 2.0, -2.0])
        >>> round(fit_slope(margins, np.array([1.0, 1.0, -1.0, -1.0])), 2)  # 3 of 4: ln(3) / 2
        0.54
    """
    if not margins_N.any():
        return None
    size = float(np.sqrt((margins_N**2).mean()))
    signed_N = labels_N * margins_N / size
    slope = 0.0
    for _ in range(100):
        miss_N = _sigmoid(-slope * signed_N)
        gradient = float((signed_N * miss_N).sum()) - slope / _PRIOR**2
        bend = float((signed_N**2 * miss_N * (1 - miss_N)).sum()) + 1 / _PRIOR**2
        change = gradient / bend
        while _loss(slope + change, signed_N) > _loss(slope, signed_N) + 1e-12:
            change /= 2
        slope += change
        if abs(change) < 1e-10:
            break
    return slope / size


def _loss(slope: float, signed_N: NDArray[np.float64]) -> float:
    return float(np.logaddexp(0.0, -slope * signed_N).sum()) + slope**2 / (2 * _PRIOR**2)


def margin_at(slope: float | None, probabilities: tuple[float, ...]) -> dict[str, float | None]:
    """The margins from which a preference is that likely; None where no margin says so.

    Example:
        >>> margin_at(2.0, (0.9, 0.6))
        {'0.9': 1.098612, '0.6': 0.202733}
    """
    return {
        f"{chance:g}": _rounded(math.log(chance / (1 - chance)) / slope)
        if slope is not None and slope > 0
        else None
        for chance in probabilities
    }


def tie_limit(margins_N: NDArray[np.float64], labels_N: NDArray[np.float64]) -> float:
    """The margin up to which a scorer is taken to see a tie: so that it sees as many as people.

    Example:
        >>> tie_limit(np.array([3.0, -0.5, 1.0, 2.0]), np.array([1.0, 0.0, 1.0, -1.0]))
        0.5
    """
    n_ties = int((labels_N == 0).sum())
    return float(np.sort(np.abs(margins_N))[n_ties - 1]) if n_ties else 0.0


def equal_mass(values_N: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The bin of each value, 0 to bins - 1, with as many in each; equal values share a bin.

    Example:
        >>> equal_mass(np.array([0.9, 0.5, 0.6, 0.6]), 2).tolist()
        [1, 0, 1, 1]
    """
    unique, place_N, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    del unique
    middle = np.cumsum(counts) - counts / 2
    found: NDArray[np.int64] = (bins * middle / len(values_N)).astype(np.int64)[place_N]
    return found


def ece(sums_RC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected calibration error from sums by bin: n, confidence, correctness (Guo et al. 2017)."""
    sums_RB3 = sums_RC.reshape(len(sums_RC), -1, 3)
    n_R = sums_RB3[..., 0].sum(axis=1)
    gaps_R = np.abs(sums_RB3[..., 1] - sums_RB3[..., 2]).sum(axis=1)
    found = np.full(len(n_R), np.nan)
    np.divide(gaps_R, n_R, out=found, where=n_R > 0)
    return found


def kappa(sums_R9: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cohen's kappa from counts of 3 by 3 verdicts; NaN where chance alone agrees always."""
    table_R33 = sums_R9.reshape(-1, 3, 3)
    n_R = table_R33.sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        agreed_R = np.trace(table_R33, axis1=1, axis2=2) / n_R
        chance_R = (table_R33.sum(axis=1) * table_R33.sum(axis=2)).sum(axis=1) / n_R**2
        found: NDArray[np.float64] = np.where(
            chance_R < 1 - 1e-12, (agreed_R - chance_R) / (1 - chance_R), np.nan
        )
    return found


def length_margin(judged_chars_N2: NDArray[np.float64]) -> NDArray[np.float64]:
    """The margin of a scorer that finds the longer answer better: ln of the ratio of lengths."""
    logs_N2 = np.log1p(judged_chars_N2)
    return np.asarray(logs_N2[:, 0] - logs_N2[:, 1])


def _agrees(margins_N: NDArray[np.float64], labels_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where the margin has the sign of the label, 0.5 where it is 0, else 0."""
    signs_N = np.sign(np.nan_to_num(margins_N))
    return np.where(signs_N == 0, 0.5, (signs_N == labels_N).astype(np.float64))


def _sigmoid(values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(values_N / 2)))


def _told(found: Interval | None, n: int) -> dict[str, Any]:
    if found is None:
        return {}
    return {"n": n, **{name: _rounded(value) for name, value in found._asdict().items()}}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
