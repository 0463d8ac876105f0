"""The normal forms met so far, each with its number: a text is signed once, however often it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_TEXT = np.uint32(0xFFFFFFFF)
_LEAST = 1 << 12


class Forms:
    """A table of forms, 40 to 80 bytes each at most; it doubles when half of it is taken.

    Example:
        >>> met = Forms()
        >>> forms = np.array([[7, 1], [8, 1], [7, 1], [0, 0]], np.uint64)
        >>> number, is_new = met.number(forms)
        >>> number.tolist()[:3], is_new.tolist(), len(met), bool(number[3] == NO_TEXT)
        ([0, 1, 0], [1, 1, 0, 0], 2, True)
    """

    def __init__(self) -> None:
        self.table: NDArray[np.uint64] = np.zeros((_LEAST, 2), np.uint64)
        """The forms, each near the place that its bits name; (0, 0) where there is none."""
        self._numbers: NDArray[np.uint32] = np.zeros(_LEAST, np.uint32)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def number(self, form: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        """Number forms in order, those that are new after those met before.

        Args:
            form: N rows of two numbers; (0, 0) for a null text.

        Returns:
            The number of each, `NO_TEXT` for a null text; and 1 for each that was met first here.
        """
        from databuild.dedup.kernels.numbering import number_forms

        self._make_room(len(form))
        number, is_new = np.empty(len(form), np.uint32), np.empty(len(form), np.uint8)
        form = np.ascontiguousarray(form)
        self._n = int(number_forms(form, self._n, self.table, self._numbers, number, is_new))
        return number, is_new

    def _make_room(self, more: int) -> None:
        size = len(self.table)
        while size < 2 * (self._n + more):
            size *= 2
        if size == len(self.table):
            return
        from databuild.dedup.kernels.numbering import number_forms

        there = (self.table[:, 0] | self.table[:, 1]) != 0
        old = np.empty((self._n, 2), np.uint64)
        old[self._numbers[there]] = self.table[there]
        # A new table, not the old one made longer: other threads may be reading that one.
        table, self._numbers = np.zeros((size, 2), np.uint64), np.zeros(size, np.uint32)
        unused = np.empty(self._n, np.uint32), np.empty(self._n, np.uint8)
        number_forms(old, 0, table, self._numbers, *unused)
        self.table = table
