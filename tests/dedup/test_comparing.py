"""Sets read from their file some pairs at a time, against all of them in memory."""

from __future__ import annotations

import numpy as np
import pytest

from databuild.dedup import comparing
from databuild.dedup.candidates import packed_pairs
from databuild.dedup.comparing import compare, forget, some_sets
from databuild.dedup.shingles import Shingles
from databuild.dedup.verification import jaccards


@pytest.fixture
def in_a_file(tmp_path):
    """Sets of 0 to 5,000 numbers below 6,000, and the same ones in a file."""
    draw = np.random.default_rng(3)
    sizes = [0, 1, 5_000, *draw.integers(0, 40, 400)]
    sets = [np.sort(draw.choice(6_000, n, replace=False)).astype(np.uint64) for n in sizes]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    flat, none = np.concatenate(sets), np.zeros((0, 2), np.uint64)
    flat.tofile(tmp_path / "sets")
    mapped = np.memmap(tmp_path / "sets", np.uint64, "r")
    return Shingles(flat, offsets, none), Shingles(mapped, offsets, none)


@pytest.fixture
def narrow(monkeypatch):
    """Few pairs and few bytes at once, as of a table that is large."""
    for name, few in (("_MAPPED_BYTES", 0), ("_LEAST_PAIRS", 50), ("_WINDOW", 100)):
        monkeypatch.setattr(comparing, name, few)


@pytest.mark.usefixtures("narrow")
def test_pairs_are_compared_as_in_memory(in_a_file):
    plain, mapped = in_a_file
    draw = np.random.default_rng(4)
    worse, better = draw.integers(0, 403, (2, 900))
    pairs = packed_pairs(better, worse)
    for threshold in (0.0, 0.01):
        wanted = jaccards(plain, pairs, threshold)
        assert wanted.any()
        assert (compare(mapped, pairs, threshold) == wanted).all()
        assert (compare(mapped, pairs, threshold, better=mapped, threads=2) == wanted).all()
        assert (compare(plain, pairs, threshold, better=mapped) == wanted).all()
    assert compare(mapped, pairs[:0], 0.5).tolist() == []


@pytest.mark.usefixtures("narrow")
def test_some_sets_are_those_asked_for(in_a_file):
    plain, mapped = in_a_file
    texts = np.array([0, 2, 3, 4, 50, 51, 300, 402])
    found = some_sets(mapped, texts)
    for k, text in enumerate(texts.tolist()):
        wanted = plain.hashes[plain.offsets[text] : plain.offsets[text + 1]]
        assert found.hashes[found.offsets[k] : found.offsets[k + 1]].tolist() == wanted.tolist()
    assert len(some_sets(mapped, texts[:0]).hashes) == 0


def test_what_is_forgotten_can_be_read_again(in_a_file):
    plain, mapped = in_a_file
    before = mapped.hashes.sum()
    forget(mapped.hashes)
    forget(np.arange(3))  # nothing to forget
    assert mapped.hashes.sum() == before == plain.hashes.sum()
