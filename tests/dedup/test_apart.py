from __future__ import annotations

import numpy as np
import pytest

from databuild.dedup.apart import keep_apart, missed_ratio, unit_rows
from databuild.models.cells import Cells


def clustered(n: int, seed: int = 0, width: int = 48) -> np.ndarray:
    """Unit vectors, of which four in ten are copies of others at cosines from 0.7 to 1."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, width))
    for row in range(1, n):
        if rng.random() < 0.4:
            rows[row] = rows[rng.integers(row)] + rng.uniform(0, 0.15) * rng.standard_normal(width)
        rows[row] /= np.linalg.norm(rows[row])
    return unit_rows(rows.astype(np.float32))[0]


def one_by_one(rows: np.ndarray, threshold: float, n_earlier: int = 0) -> list[int]:
    """The definition, row by row, in float64."""
    exact = rows.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    kept, stands = list(range(n_earlier)), list(range(n_earlier))
    for row in range(n_earlier, len(exact)):
        cosines = exact[kept] @ exact[row] if kept else np.zeros(1)
        best = int(np.argmax(cosines))
        if kept and cosines[best] >= threshold:
            stands.append(kept[best])
        else:
            kept.append(row)
            stands.append(row)
    return stands


@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.95])
@pytest.mark.parametrize("n_earlier", [0, 70])
def test_the_result_is_that_of_comparing_all_and_no_block_changes_it(threshold, n_earlier):
    rows = clustered(400, seed=int(threshold * 100))
    wanted = one_by_one(rows, threshold, n_earlier)
    found = [
        keep_apart(rows.copy(), threshold, n_earlier=n_earlier, block=block)
        for block in (1, 7, 128, 2048)
    ]
    assert len(set(wanted)) < len(rows)
    for one in found:
        assert one.kept_N.tolist() == wanted
        assert one.cosine_N.tolist() == found[0].cosine_N.tolist()
        assert (one.cosine_N[one.kept_N != np.arange(400)] >= threshold).all()


def test_a_cosine_at_the_threshold_is_decided_in_float64():
    """Thresholds of exactly a pair's cosine, and the next number above: float32 cannot tell."""
    rows = clustered(300, seed=3, width=384)
    first = keep_apart(rows.copy(), 0.5)
    gone = np.flatnonzero(first.kept_N != np.arange(300))
    assert len(gone) > 50
    for row in gone[:40]:
        pair = rows[[first.kept_N[row], row]]
        at = float(first.cosine_N[row])
        for copies in (1, 40):  # alone, and in a matrix of another shape
            beside = np.concatenate([pair, np.eye(384, dtype=np.float32)[: copies - 1]])
            assert keep_apart(beside.copy(), at).kept_N[1] == 0
            above = np.nextafter(at, 2)
            assert above > 1 or keep_apart(beside.copy(), above).kept_N[1] == 1


def test_equal_vectors_have_a_cosine_of_exactly_one():
    rows = np.repeat(clustered(50, seed=5), 3, axis=0)
    found = keep_apart(rows, 1.0, block=16)
    assert found.kept_N.tolist() == np.repeat(np.arange(0, 150, 3), 3).tolist()
    assert set(found.cosine_N) == {1.0}


def test_no_vector_and_one():
    for n in (0, 1):
        found = keep_apart(clustered(1)[:n], 0.9)
        assert found.kept_N.tolist() == list(range(n))


def test_earlier_vectors_stay_however_near_they_are():
    rows = np.repeat(clustered(2, seed=8), [3, 1], axis=0)[[0, 1, 2, 2, 3]]
    found = keep_apart(rows, 0.99, n_earlier=3)
    assert found.kept_N.tolist() == [0, 1, 2, 0, 4]


def test_rows_without_a_direction_are_said():
    rows = np.array([[3, 4], [0, 0], [np.nan, 1], [np.inf, 1], [1e-30, 0]], dtype=np.float32)
    unit, has = unit_rows(rows)
    assert has.tolist() == [True, False, False, False, True]
    assert unit[~has].any() == np.False_
    assert unit[4].tolist() == [1, 0]


def test_cells_find_nearly_all_and_say_the_same_twice():
    pytest.importorskip("faiss")
    rows = clustered(6_000, seed=11, width=64)
    exact = keep_apart(rows.copy(), 0.85)
    once, twice = (rows.copy(), rows.copy())
    found = keep_apart(once, 0.85, index=Cells(once))
    again = keep_apart(twice, 0.85, index=Cells(twice))
    assert found.kept_N.tolist() == again.kept_N.tolist()
    is_gone, was_gone = (one.kept_N != np.arange(6_000) for one in (found, exact))
    assert was_gone.sum() > 1_000
    assert (is_gone & was_gone).sum() >= 0.99 * was_gone.sum()
    assert missed_ratio(once, found, 0.85) <= 0.01


class Blind:
    """An index that finds nothing."""

    def add(self, vectors_ND: np.ndarray) -> None:
        """Forget them."""

    def near(self, vectors_ND: np.ndarray) -> np.ndarray:
        return np.full((len(vectors_ND), 1), -1)


def test_what_an_index_misses_is_estimated():
    rows = clustered(1_000, seed=12)
    exact = keep_apart(rows.copy(), 0.85)
    dropped = int((exact.kept_N != np.arange(1_000)).sum())
    found = keep_apart(rows, 0.85, index=Blind(), block=1)
    assert (found.kept_N == np.arange(1_000)).all()
    assert missed_ratio(rows, found, 0.85) == 1.0
    half = clustered(1_000, seed=12)
    found = keep_apart(half, 0.85, index=Blind(), block=500)  # pairs within a block are exact
    estimated = missed_ratio(half, found, 0.85, sample=1_000)
    caught = int((found.kept_N != np.arange(1_000)).sum())
    assert estimated == pytest.approx(1 - caught / dropped, abs=0.1)
    assert 0.1 < estimated < 0.9
