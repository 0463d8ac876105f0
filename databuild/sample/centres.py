"""Choose rows that lie far apart: k-centre greedy over vectors, exact on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Vectors = NDArray[np.float32]

SCALE = 2000
"""A unit vector is rounded to whole multiples of 1 / SCALE. A squared distance is then a whole
number of at most (2 * SCALE)^2 < 2^24, up to which float32 counts without a gap."""
_CHUNK = 16_384


@dataclass(frozen=True)
class Chosen:
    """Which rows are kept, which could be compared at all, and what is told of the others."""

    is_kept_N: Flags
    is_known_N: Flags
    evidence: pl.Series
    facts: Mapping[str, Any]


def unit_vectors(column: pl.Series) -> tuple[Vectors, Flags]:
    """Vectors of length 1, in whole multiples of 1 / SCALE; and which rows have one.

    A null, a vector with a null, NaN or infinity in it, and one of length 0 are none.

    Raises:
        SchemaError: The column does not hold vectors of numbers, all of one length.

    Example:
        >>> vectors, is_known = unit_vectors(pl.Series("v", [[3.0, 4.0], None, [0.0, 0.0]]))
        >>> vectors.tolist(), is_known.tolist()
        ([[1200.0, 1600.0], [0.0, 0.0], [0.0, 0.0]], [True, False, False])
    """
    dtype = column.dtype
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    if inner is None or not (inner.is_numeric() or inner == pl.Null):
        what = f"the column {column.name!r} holds {dtype}, not vectors of numbers"
        raise SchemaError("sample.diverse", what, fix="name a column that measure.embedding made")
    lists = column.cast(pl.List(pl.Float32))
    widths = lists.list.len().drop_nulls().unique()
    if len(widths) > 1:
        what = f"the vectors of {column.name!r} have the lengths {widths.sort().to_list()[:3]} ..."
        raise SchemaError("sample.diverse", what, fix="use vectors of one model")
    width = int(widths[0]) if len(widths) else 0
    vectors_ND = np.zeros((len(lists), width), dtype=np.float32)
    for start in range(0, len(lists) if width else 0, _CHUNK):
        piece = lists.slice(start, _CHUNK)
        flat = piece.fill_null([0.0] * width).list.to_array(width).explode().fill_null(float("nan"))
        vectors_ND[start : start + len(piece)] = flat.to_numpy().reshape(len(piece), width)
    for start in range(0, len(vectors_ND), _CHUNK):
        piece_ND = vectors_ND[start : start + _CHUNK]
        lengths_N = np.sqrt(np.square(piece_ND, dtype=np.float64).sum(axis=1))
        is_usable_N = np.isfinite(lengths_N) & (lengths_N > 0)
        piece_ND[~is_usable_N] = 0
        piece_ND /= np.where(is_usable_N, lengths_N, 1)[:, None] / SCALE
        np.rint(piece_ND, out=piece_ND)
    is_known_N: Flags = np.asarray(vectors_ND.any(axis=1), dtype=np.bool_)
    return vectors_ND, is_known_N


def choose_centres(
    vectors_ND: Vectors, is_known_N: Flags, take: int, weights_N: Floats, row_ids: pl.Series
) -> Chosen:
    """Choose `take` rows, each time the one farthest from those chosen before.

    Args:
        vectors_ND: From `unit_vectors`, in the order that decides between equal distances.
        is_known_N: The rows that have a vector; no other is chosen.
        take: How many; fewer where fewer have a vector.
        weights_N: Multiplies the distance of a row.
        row_ids: Names the nearest chosen row in the evidence.

    Example:
        >>> rows = pl.Series("v", [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> ids = pl.Series("row_id", ["a", "b", "c"])
        >>> choose_centres(*unit_vectors(rows), 2, np.ones(3), ids).is_kept_N.tolist()
        [True, False, True]
    """
    n = len(vectors_ND)
    squares_N = np.einsum("nd,nd->n", vectors_ND, vectors_ND)
    nearest_N = np.full(n, -1, dtype=np.int64)
    distance_N = np.full(n, np.inf, dtype=np.float32)
    is_kept_N = np.zeros(n, dtype=bool)
    for _ in range(min(take, int(is_known_N.sum()))):
        # The first is the first of the best weight: all distances are infinite before.
        reach_N = np.where(np.isinf(distance_N), 1.0, np.sqrt(distance_N)) * weights_N
        row = int(np.argmax(np.where(is_known_N & ~is_kept_N, reach_N, -1.0)))
        is_kept_N[row] = True
        found_N = squares_N + squares_N[row] - 2 * (vectors_ND @ vectors_ND[row])
        is_nearer_N = found_N < distance_N
        nearest_N[is_nearer_N] = row
        np.minimum(distance_N, found_N, out=distance_N)
    away_N = np.sqrt(distance_N[is_known_N & np.isfinite(distance_N)]) / SCALE
    told = pl.DataFrame({
        "nearest": row_ids.gather(pl.Series(nearest_N).replace(-1, None)) if n else row_ids,
        "distance": pl.Series(np.sqrt(distance_N) / SCALE).round(4),
    })  # fmt: skip
    return Chosen(
        is_kept_N,
        is_known_N,
        told.select(pl.struct("nearest", "distance").struct.json_encode()).to_series(),
        {
            "radius": round(float(away_N.max(initial=0)), 4),
            "mean_distance": round(float(away_N.mean()), 4) if len(away_N) else 0.0,
        },
    )
