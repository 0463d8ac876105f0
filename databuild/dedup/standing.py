"""How each row stands while the search goes on: open, dropped so far, or fruitless.

A row is fruitless when it was compared with many others and hardly any was near: a row of a
template, whose keys it shares with thousands. From then on it is paired with few rows of a run, so
the work for a template is a number of comparisons per row, however many rows it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PATIENCE = 48
"""Comparisons in vain, for each near row that was found and one more, after which a row is
fruitless. Of a million instruction rows hardly any has so many."""


class Standing:
    """How n rows stand.

    Args:
        n: How many rows there are.
        both: Whether both sides of the pairs are such rows, or the worse ones only.
    """

    def __init__(self, n: int, *, both: bool = True) -> None:
        self.codes: NDArray[np.uint8] = np.zeros(n, np.uint8)
        """For each row one of `OPEN`, `DROPPED` and `FRUITLESS`, of `kernels.pairing`."""
        self._both = both
        self._compared = np.zeros(n, np.int32)
        self._near = np.zeros(n, np.int32)

    @property
    def is_fruitless(self) -> NDArray[np.bool_]:
        """Which rows are."""
        from databuild.dedup.kernels.pairing import FRUITLESS

        return np.asarray(self.codes == FRUITLESS)

    def learn(
        self,
        compared: NDArray[np.uint64],
        near: NDArray[np.uint64],
        is_dropped: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take in what was compared last, and which rows are dropped as far as it is known."""
        from databuild.dedup.kernels.pairing import DROPPED, FRUITLESS, OPEN, count_rows

        count_rows(compared, self._both, self._compared)
        count_rows(near, self._both, self._near)
        is_open = self._compared < PATIENCE * (1 + self._near)
        self.codes[:] = np.where(is_open, OPEN, FRUITLESS)
        if is_dropped is not None:
            self.codes[is_dropped] = DROPPED

    def worth_knowing(self, pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The pairs, in order, without those of worse rows that are fruitless.

        Such a row is paired with so few that comparing some once more is cheaper than knowing them.
        """
        is_fruitless = self.is_fruitless
        if not is_fruitless.any():
            return pairs
        return np.asarray(pairs[~is_fruitless[pairs >> np.uint64(32)]])
