"""What is kept, by whom the others are represented, and clusters, against plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.dedup.candidates import distinct, packed_pairs
from databuild.dedup.keeping import components, keep_best

EDGES = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: pair[0] != pair[1]),
    max_size=30,
)


def arrays(edges):
    better = np.array([min(edge) for edge in edges], int)
    worse = np.array([max(edge) for edge in edges], int)
    pairs = distinct([packed_pairs(better, worse)])
    return pairs, np.array([0.7 + 0.1 * (int(p) * 7919 % 3) for p in pairs])


@settings(deadline=None)
@given(EDGES)
def test_the_best_are_kept_and_stand_for_the_others(edges):
    pairs, similar = arrays(edges)
    by_worse: dict[int, list[tuple[float, int]]] = {}
    for pair, s in zip(pairs.tolist(), similar.tolist(), strict=True):
        by_worse.setdefault(pair >> 32, []).append((-s, pair & 0xFFFFFFFF))
    wanted, jaccard = list(range(12)), [1.0] * 12
    for j in range(12):
        near = [(s, i) for s, i in by_worse.get(j, []) if wanted[i] == i]
        if near:
            jaccard[j], wanted[j] = -min(near)[0], min(near)[1]
    kept_by, found = keep_best(12, pairs, similar)
    assert kept_by.tolist() == wanted
    assert found.tolist() == jaccard
    kept = set(kept_by.tolist())
    assert all(kept_by[k] == k for k in kept)
    assert not any({pair >> 32, pair & 0xFFFFFFFF} <= kept for pair in pairs.tolist())


@settings(deadline=None)
@given(EDGES)
def test_clusters_are_the_connected_components(edges):
    label = list(range(12))
    for _ in range(12):
        for i, j in edges:
            label[i] = label[j] = min(label[i], label[j])
    assert components(12, arrays(edges)[0]).tolist() == label


def test_a_long_chain_is_one_cluster():
    better = np.arange(100_000)
    assert (components(100_001, packed_pairs(better, better + 1)[::-1].copy()) == 0).all()


def test_nothing_is_kept_of_nothing():
    none = np.empty(0, np.uint64)
    assert keep_best(0, none, np.empty(0))[0].shape == components(0, none).shape == (0,)
    assert keep_best(2, none, np.empty(0))[0].tolist() == [0, 1]
