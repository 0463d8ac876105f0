"""Divide whole things by shares, so that every margin is as near as whole numbers allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def largest_remainder(total: int, shares: Sequence[float]) -> list[int]:
    """Split a whole number by shares (Hamilton's method); the parts add up to the total exactly.

    Every part gets the whole part of its quota, and what is left goes, one each, to the largest
    fractions, the earlier part first where they are equal. Shares need not add up to 1.

    Example:
        >>> largest_remainder(10, [0.8, 0.1, 0.1]), largest_remainder(3, [1, 1])
        ([8, 1, 1], [2, 1])
    """
    quotas = total * np.asarray(shares, dtype=np.float64) / max(sum(shares), 1e-12)
    # 0.1 * 30 is 3.0000000000000004 in binary: what is that near to a whole number is one.
    whole = np.floor(quotas + 1e-9).astype(np.int64)
    order = np.argsort(-(quotas - whole), kind="stable")
    whole[order[: total - int(whole.sum())]] += 1
    return [int(n) for n in whole]


def apportion(sizes: Sequence[int], parts: Sequence[int]) -> np.ndarray:
    """Divide strata among parts: rows add up to the strata, columns to the parts, both exactly.

    Every cell gets the whole part of size * part / total; the units that are left go to the cells
    of the largest fractions whose stratum and part both still have room (controlled rounding), and
    where that ends too early, to any such cell.

    Args:
        sizes: The size of every stratum.
        parts: The size of every part; they add up to the same total.

    Returns:
        Counts, one row per stratum and one column per part.

    Example:
        >>> apportion([5, 5], [8, 1, 1]).tolist()
        [[4, 1, 0], [4, 0, 1]]
    """
    quotas_SP = np.outer(sizes, parts) / max(sum(sizes), 1)
    counts_SP = np.floor(quotas_SP + 1e-9).astype(np.int64)
    rows_S = np.asarray(sizes) - counts_SP.sum(axis=1)
    room_P = np.asarray(parts) - counts_SP.sum(axis=0)
    order = np.argsort(-(quotas_SP - counts_SP).ravel(), kind="stable")
    for at_most in (1, max(sum(sizes), 1)):
        for cell in order:
            stratum, part = divmod(int(cell), len(parts))
            more = min(int(rows_S[stratum]), int(room_P[part]), at_most)
            counts_SP[stratum, part] += more
            rows_S[stratum] -= more
            room_P[part] -= more
    return counts_SP
