"""Rows that must stay together: who belongs to whom, and how whole groups are dealt to parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


def name_units(rows: pl.DataFrame, keys: Sequence[str]) -> pl.Series:
    """Name what each row is dealt with: itself, its value, or the group that it belongs to.

    Two rows belong together when they agree in one of the `keys`, or both belong to a third (the
    connected components); a null agrees with nothing. A unit is called after the row
    (`row:<row_id>`), with one key after its value (`value:<value>`), with several after the
    smallest row_id of the group (`group:<row_id>`).

    Args:
        rows: n rows with `row_id: str`, all different, and the keys as texts.
        keys: The columns.

    Returns:
        n names, the column `unit`.

    Example:
        >>> rows = pl.DataFrame({"row_id": list("abc"), "s": ["x", None, "x"], "t": ["u", "u", ""]})
        >>> name_units(rows, ["s"]).to_list()
        ['value:x', 'row:b', 'value:x']
        >>> name_units(rows, ["s", "t"]).to_list()
        ['group:a', 'group:a', 'group:a']
    """
    alone = pl.concat_str(pl.lit("row:"), "row_id")
    if not keys:
        return rows.select(unit=alone).to_series()
    if len(keys) == 1:
        value = pl.concat_str(pl.lit("value:"), keys[0])
        return rows.select(unit=pl.coalesce(value, alone)).to_series()
    ordered = rows.select("row_id", *keys).sort("row_id")
    first_N = _first_of_group([ordered[key] for key in keys])
    sizes_N = np.bincount(first_N, minlength=ordered.height)[first_N]
    named = ordered.select(
        "row_id",
        unit=pl.when(pl.Series(sizes_N > 1, dtype=pl.Boolean))
        .then(pl.concat_str(pl.lit("group:"), ordered["row_id"].gather(first_N)))
        .otherwise(alone),
    )
    return rows.select("row_id").join(named, on="row_id", how="left", maintain_order="left")["unit"]


def _first_of_group(keys: Sequence[pl.Series]) -> Ints:
    """For every row the place of the first row of its group: labels spread until they rest."""
    n = len(keys[0])
    label_N: Ints = np.arange(n, dtype=np.int64)
    linked = []
    for key in keys:
        place_K = np.flatnonzero(key.is_not_null().to_numpy())
        code_K = key.drop_nulls().rank("dense").cast(pl.Int64).to_numpy() - 1
        linked.append((place_K, code_K))
    while True:
        before_N = label_N.copy()
        for place_K, code_K in linked:
            if len(place_K):
                least_C = np.full(int(code_K.max()) + 1, n)
                np.minimum.at(least_C, code_K, label_N[place_K])
                label_N[place_K] = least_C[code_K]
        label_N = label_N[label_N]  # a label's own label is of the same group, and smaller
        if np.array_equal(before_N, label_N):
            return label_N


def deal_groups(strata: Sequence[pl.DataFrame], wanted_SP: Ints) -> list[tuple[str, int]]:
    """Deal whole groups so that every part comes near to what it wants.

    In each stratum the groups of 2^k rows and more come before smaller ones, in drawn order within
    one k. Each goes, among the parts that still lack as many rows, to the one that lacks the
    largest share of what it wants in all; where none does, to the one that lacks the most rows.
    What a stratum leaves open is carried to the next, so that errors do not add up. So big groups
    come to small parts too, and single rows make the sizes even at the end.

    Args:
        strata: One table each, with `unit` and `size`, in drawn order.
        wanted_SP: Rows that each part wants of each stratum.

    Returns:
        (unit, part) for every unit.

    Example:
        >>> units = pl.DataFrame({"unit": ["a", "b", "c"], "size": [1, 1, 2]})
        >>> deal_groups([units], np.array([[2, 2]]))
        [('c', 0), ('a', 1), ('b', 1)]
    """
    totals = [int(n) for n in wanted_SP.sum(axis=0)]
    parts = [part for part, n in enumerate(totals) if n > 0]
    lacking = [0] * len(totals)
    dealt = []
    for units, wanted_P in zip(strata, wanted_SP, strict=True):
        lacking = [one + int(n) for one, n in zip(lacking, wanted_P, strict=True)]
        power = pl.col("size").log(2).add(1e-9).floor()
        ordered = units.sort(power, descending=True, maintain_order=True)
        for unit, size in ordered.select("unit", "size").rows():
            fits = [part for part in parts if lacking[part] >= size]
            part = (
                max(fits, key=lambda p: lacking[p] / totals[p])
                if fits
                else max(parts, key=lambda p: lacking[p])
            )
            lacking[part] -= size
            dealt.append((unit, part))
    return dealt
