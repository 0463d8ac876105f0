"""Dawid-Skene: what is true, and how reliable everybody is, found together.

Dawid and Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm",
Applied Statistics 28 (1979), 20-28. Every annotator has a matrix of the chance to say k where c is
true. The chances of the classes of each unit and these matrices are found in turn, beginning with
the shares of the votes.

It is written here, and not taken from crowd-kit 1.4.2: that brings nltk, transformers and
scikit-learn to loop over pandas frames, and has no smoothing, so that an annotator with few votes
is believed without limit. With `smoothing` 0 both find the same (a test holds crowd-kit's numbers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST = 1e-10
"""No chance is estimated smaller, so that no single vote is a proof."""


@dataclass(frozen=True)
class Truths:
    """What was found: the classes of U units by A annotators; C is true, K was said."""

    posterior_UC: NDArray[np.float64]
    prior_C: NDArray[np.float64]
    confusion_ACK: NDArray[np.float64]
    iterations: int

    def skill(self) -> NDArray[np.float64]:
        """The chance that each annotator says what is true, over all classes as they occur."""
        right_AC = np.diagonal(self.confusion_ACK, axis1=1, axis2=2)
        return np.asarray(right_AC @ self.prior_C)


def dawid_skene(
    units_N: NDArray[np.int64],
    annotators_N: NDArray[np.int64],
    said_N: NDArray[np.int64],
    *,
    n_classes: int,
    smoothing: float = 1.0,
    known_U: NDArray[np.int64] | None = None,
    max_iterations: int = 200,
) -> Truths:
    """Find the classes of units from what annotators said, by expectation maximisation.

    Args:
        units_N: The unit of each vote, numbered from 0 without a gap.
        annotators_N: Who voted, numbered likewise.
        said_N: The class that was said, 0 to n_classes - 1.
        n_classes: How many classes there are.
        smoothing: Votes that every annotator is taken to have cast beforehand for each true class,
            in equal parts on all classes, plus as many on the right one.
        known_U: The class of units that is known (gold questions), -1 of the others.
        max_iterations: It ends when no chance moves by 1e-6, or after so many rounds.

    Example:
        >>> units, who = np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)
        >>> said = np.array([0, 0, 1, 1, 1, 0, 0, 0, 1])   # the third always says the contrary
        >>> found = dawid_skene(units, who, said, n_classes=2)
        >>> found.posterior_UC.argmax(axis=1).tolist(), (found.skill() > 0.5).tolist()
        ([0, 1, 0], [True, True, False])
    """
    n_units, n_people = int(units_N.max()) + 1, int(annotators_N.max()) + 1
    posterior_UC = np.zeros((n_units, n_classes))
    np.add.at(posterior_UC, (units_N, said_N), 1.0)
    posterior_UC /= posterior_UC.sum(axis=1, keepdims=True)
    posterior_UC = _with_known(posterior_UC, known_U)
    pseudo_CK = smoothing * (np.full((n_classes, n_classes), 1 / n_classes) + np.eye(n_classes))
    places_N = annotators_N * n_classes + said_N
    iterations = 0
    for iterations in range(1, max_iterations + 1):  # noqa: B007 -- told in the result
        prior_C = np.clip(posterior_UC.mean(axis=0), _LEAST, None)
        confusion_ACK = _confusion(posterior_UC, units_N, places_N, n_people, pseudo_CK)
        log_UC = np.tile(np.log(prior_C), (n_units, 1))
        log_NC = np.log(confusion_ACK)[annotators_N, :, said_N]
        for c in range(n_classes):
            log_UC[:, c] += np.bincount(units_N, weights=log_NC[:, c], minlength=n_units)
        found_UC = np.exp(log_UC - log_UC.max(axis=1, keepdims=True))
        found_UC = _with_known(found_UC / found_UC.sum(axis=1, keepdims=True), known_U)
        moved = float(np.abs(found_UC - posterior_UC).max())
        posterior_UC = found_UC
        if moved < 1e-6:
            break
    prior_C = np.clip(posterior_UC.mean(axis=0), _LEAST, None)
    confusion_ACK = _confusion(posterior_UC, units_N, places_N, n_people, pseudo_CK)
    return Truths(posterior_UC, prior_C, confusion_ACK, iterations)


def _confusion(
    posterior_UC: NDArray[np.float64],
    units_N: NDArray[np.int64],
    places_N: NDArray[np.int64],
    n_people: int,
    pseudo_CK: NDArray[np.float64],
) -> NDArray[np.float64]:
    n_classes = len(pseudo_CK)
    counts_ACK = np.empty((n_people, n_classes, n_classes))
    for c in range(n_classes):
        weights = posterior_UC[units_N, c]
        counted = np.bincount(places_N, weights=weights, minlength=n_people * n_classes)
        counts_ACK[:, c, :] = counted.reshape(n_people, n_classes)
    counts_ACK = np.clip(counts_ACK + pseudo_CK, _LEAST, None)
    shares: NDArray[np.float64] = counts_ACK / counts_ACK.sum(axis=2, keepdims=True)
    return shares


def _with_known(
    posterior_UC: NDArray[np.float64], known_U: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    if known_U is None:
        return posterior_UC
    sure = known_U >= 0
    posterior_UC = posterior_UC.copy()
    posterior_UC[sure] = np.eye(posterior_UC.shape[1])[known_U[sure]]
    return posterior_UC
