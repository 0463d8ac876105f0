"""The nearest vectors of each of many: each with each, or through an index where they are many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Places = NDArray[np.int64]

PAIRS = {"text": pl.UInt32, "other": pl.UInt32, "score": pl.Float64}
"""A text, another one, and how related they are."""
_BLOCK, _LOOKED_AT = 1024, 256
_MOST_COSINES = 1024 * 20_000
"""Cosines that are in memory at once while each vector is compared with each."""


def nearest(
    vectors_ND: Vectors, n: int, *, exact_up_to: int
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The `n` vectors with the largest cosine to each, less where an index finds fewer.

    Args:
        vectors_ND: Float32 vectors of any length; one of length 0 has the cosine 0 to every other.
        n: How many.
        exact_up_to: Beyond so many vectors an index (`models.cells`) proposes which are compared.

    Returns:
        `text`, `other` (places) and `score`; and what is to be told where an index was asked.

    Raises:
        StepError: An index is needed, and FAISS is not installed.

    Example:
        >>> rows = np.array([[2, 0], [3, 1], [0, 1]], dtype=np.float32)
        >>> found, _ = nearest(rows, 1, exact_up_to=10)
        >>> found.with_columns(pl.col("score").round(2)).rows()
        [(0, 1, 0.95), (1, 0, 0.95), (2, 1, 0.32)]
    """
    total = len(vectors_ND)
    n = min(n, total - 1)
    if n < 1:  # one text has no other
        return pl.DataFrame(schema=PAIRS), {}
    norms = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    has_length = np.isfinite(norms) & (norms > 0)
    unit_ND = np.divide(vectors_ND, norms, out=np.zeros_like(vectors_ND), where=has_length)
    if total <= exact_up_to:
        size = min(_BLOCK, max(1, _MOST_COSINES // total))
        blocks = (np.arange(i, min(i + size, total)) for i in range(0, total, size))
        return pl.concat(_table(at, *_compared(unit_ND, at, n)) for at in blocks), {}
    others_Nn = _proposed(unit_ND, n)
    facts = {"texts": total, "search": "cells", "missed_ratio": _missed(unit_ND, others_Nn)}
    return pl.concat(_verified(unit_ND, others_Nn)), facts


def _compared(unit_ND: Vectors, at_B: Places, n: int) -> tuple[Places, NDArray[np.float64]]:
    """The nearest of all others to some, and their cosines."""
    cosines_BN = unit_ND[at_B] @ unit_ND.T
    cosines_BN[np.arange(len(at_B)), at_B] = -np.inf
    best_Bn = np.argpartition(-cosines_BN, n - 1, axis=1)[:, :n]
    return best_Bn, np.take_along_axis(cosines_BN, best_Bn, axis=1).astype(float)


def _proposed(unit_ND: Vectors, n: int) -> Places:
    """The nearest others by the index; -1 where it found fewer than n."""
    from databuild.models.cells import Cells

    cells = Cells(unit_ND, where="generate.related")
    cells.add(unit_ND)
    found_Nn = cells.near(unit_ND, n + 1)
    # The vector itself goes to the end. Where equal vectors pushed it out, the last one does.
    is_self = found_Nn == np.arange(len(unit_ND))[:, None]
    order = np.argsort(is_self, axis=1, kind="stable")
    others: Places = np.take_along_axis(found_Nn, order, axis=1)[:, :n]
    return others


def _verified(unit_ND: Vectors, others_Nn: Places) -> Iterator[pl.DataFrame]:
    """What was proposed, with its cosine, some vectors at a time."""
    for start in range(0, len(unit_ND), _BLOCK):
        others_Bn = others_Nn[start : start + _BLOCK]
        own_BD = unit_ND[start : start + _BLOCK]
        cosines_Bn = np.einsum("bd,bnd->bn", own_BD, unit_ND[others_Bn]).astype(float)
        pairs = _table(np.arange(start, start + len(own_BD)), others_Bn, cosines_Bn)
        yield pairs.filter(pl.Series((others_Bn >= 0).ravel()))


def _missed(unit_ND: Vectors, others_Nn: Places) -> float:
    """The share of the nearest vectors that were not proposed, of some that are evenly spaced.

    One that is as near as the farthest of the nearest is not missed in its place.
    """
    n = others_Nn.shape[1]
    at_B = np.unique(np.linspace(0, len(unit_ND) - 1, _LOOKED_AT).astype(np.int64))
    _, true_Bn = _compared(unit_ND, at_B, n)
    found_Bn = np.einsum("bd,bnd->bn", unit_ND[at_B], unit_ND[others_Nn[at_B]])
    is_found = (others_Nn[at_B] >= 0) & (found_Bn >= true_Bn.min(axis=1, keepdims=True) - 1e-6)
    return round(1 - float(is_found.mean()), 4)


def _table(at_B: Places, others_Bn: Places, cosines_Bn: NDArray[np.float64]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "text": np.repeat(at_B, others_Bn.shape[1]).astype(np.uint32),
            "other": others_Bn.ravel().astype(np.uint32),
            "score": cosines_Bn.ravel(),
        },
        schema=PAIRS,
    )
