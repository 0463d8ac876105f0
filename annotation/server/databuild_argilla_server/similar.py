"""Similar records, found by comparing one vector with all of the data set's."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Fetch = Callable[[str, Sequence[Any]], Awaitable[list[tuple[Any, ...]]]]
_MOST_SETS = 4  # matrices kept: 50,000 vectors of 384 numbers are 77 MB


@dataclass(frozen=True)
class _Vectors:
    state: tuple[Any, ...]
    record_ids: list[str]
    unit_ND: NDArray[np.float32]


_kept: dict[str, _Vectors] = {}


async def scores(fetch: Fetch, settings_id: str, value: Sequence[float]) -> dict[str, float]:
    """(1 + cosine) / 2 of a vector and each record's, as Elasticsearch scores it, by record id."""
    vectors = await _vectors(fetch, settings_id)
    if not vectors.record_ids:
        return {}
    unit_D = _unit(np.asarray([value], dtype=np.float32))[0]
    scored = (1.0 + vectors.unit_ND @ unit_D) / 2.0
    return dict(zip(vectors.record_ids, scored.tolist(), strict=True))


async def _vectors(fetch: Fetch, settings_id: str) -> _Vectors:
    """All vectors of one setting; read again only when one was added, changed or deleted."""
    count = "SELECT count(*), max(updated_at) FROM vectors WHERE vector_settings_id = ?"
    state = (await fetch(count, [settings_id]))[0]
    kept = _kept.get(settings_id)
    if kept is not None and kept.state == state:
        return kept
    read = "SELECT record_id, value FROM vectors WHERE vector_settings_id = ?"
    rows = await fetch(read, [settings_id])
    matrix = np.asarray([json.loads(value) for _, value in rows], dtype=np.float32)
    made = _Vectors(state, [record for record, _ in rows], _unit(matrix) if rows else matrix)
    _kept.pop(settings_id, None)
    _kept[settings_id] = made
    while len(_kept) > _MOST_SETS:
        _kept.pop(next(iter(_kept)))
    return made


def _unit(matrix_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(matrix_ND, axis=1, keepdims=True)
    unit: NDArray[np.float32] = matrix_ND / np.where(lengths == 0, 1, lengths)
    return unit
