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


def apportion_within(
    total: int, weights: Sequence[float], least: Sequence[int], most: Sequence[int]
) -> list[int]:
    """Split a whole number by weights, each part between its bounds (water-filling).

    The shares are clip(c * weight, least, most) for the one c at which they add up to the total,
    made whole by largest remainder, the earlier part first where fractions are equal. What a part
    cannot take goes to the others by their weights. Where the bounds forbid the total, the parts
    are as near to it as they allow: all `most`, or the total split in the proportion of `least`.

    Args:
        total: What is divided, 0 or more.
        weights: 0 or more, for each part; they need not add up to 1.
        least: The smallest number of each part.
        most: The largest, at least as large.

    Returns:
        Whole numbers, one for each part.

    Example:
        >>> apportion_within(100, [90, 9, 1], [0, 0, 10], [1000, 1000, 1000])
        [82, 8, 10]
        >>> apportion_within(100, [1, 1, 1], [0, 0, 0], [5, 1000, 1000])
        [5, 48, 47]
    """
    weights_P = np.asarray(weights, dtype=np.float64)
    least_P, most_P = np.asarray(least, dtype=np.int64), np.asarray(most, dtype=np.int64)
    if total <= int(least_P.sum()):
        return largest_remainder(total, [float(n) for n in least_P]) if len(least_P) else []
    reach_P = np.where(weights_P > 0, most_P, least_P)
    if total >= int(reach_P.sum()):
        return [int(n) for n in reach_P]
    low, high = 0.0, float((most_P[weights_P > 0] / weights_P[weights_P > 0]).max())
    for _ in range(200):  # halving a float's range to its last bit
        middle = (low + high) / 2
        is_short = float(np.clip(middle * weights_P, least_P, most_P).sum()) < total
        low, high = (middle, high) if is_short else (low, middle)
    shares_P = np.clip(high * weights_P, least_P, reach_P)
    whole_P = np.floor(shares_P + 1e-6).astype(np.int64)
    order = np.argsort(-(shares_P - whole_P), kind="stable")
    has_room = order[whole_P[order] < reach_P[order]]
    whole_P[has_room[: total - int(whole_P.sum())]] += 1
    return [int(n) for n in whole_P]
