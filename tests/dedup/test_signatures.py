"""Signatures are datasketch's, bit for bit, where asked for; and estimate Jaccard either way."""

from __future__ import annotations

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import example, given, settings

from databuild.dedup.banding import band_keys
from databuild.dedup.shingles import shingle
from databuild.dedup.signatures import datasketch_signatures, from_lsh, signatures, to_lsh
from databuild.errors import StepError
from tests.dedup.plain import SENTENCES, TEXTS, jaccard, series, sets

EMPTY = 2**32 - 1


def theirs(texts, ngram=3, number=128):
    made = []
    for grams in sets(texts, ngram):
        minhash = MinHash(num_perm=number, seed=1)
        joined = [
            "\x1f".join(g).replace("\x1f\x1f", "\x1f") if g[0] == "\x1f" else "\x1f".join(g)
            for g in grams
        ]
        minhash.update_batch([gram.encode() for gram in joined])
        made.append(minhash)
    return made


@settings(max_examples=60, deadline=None)
@given(SENTENCES | TEXTS)
@example(["\0?", "", "?\0", "a\0b", None])
def test_datasketch_mode_is_bit_identical(texts):
    ours = datasketch_signatures(series(texts))
    wanted = [minhash.hashvalues for minhash in theirs(texts)]
    assert ours.dtype == np.uint32
    assert ours.tolist() == [values.tolist() for values in wanted]


@pytest.mark.parametrize(("ngram", "number"), [(1, 128), (5, 64), (13, 256)])
def test_other_ngrams_and_numbers_of_permutations(ngram, number):
    texts = ["One two three four five " * 3, "世界和平" * 9, "x" * 200, "word " * 300, "é ?", "..."]
    ours = datasketch_signatures(series(texts), ngram, number)
    assert ours.tolist() == [m.hashvalues.tolist() for m in theirs(texts, ngram, number)]


def test_both_modes_estimate_jaccard():
    rng = np.random.default_rng(5)
    words = [f"w{n}" for n in range(400)]
    one = [words[k] for k in rng.integers(0, 400, 300)]
    texts = [" ".join(one), " ".join(one[:250]), " ".join(one[150:])]
    grams = sets(texts)
    for signed in (
        signatures(shingle(series(texts)), 512),
        datasketch_signatures(series(texts), number=512),
    ):
        for other in (1, 2):
            share = float((signed[0] == signed[other]).mean())
            assert abs(share - jaccard(grams[0], grams[other])) < 0.08  # 4 sigma of 512 draws


def test_a_null_text_has_the_signature_of_nothing():
    texts = series([None, "a"])
    for signed in (signatures(shingle(texts)), datasketch_signatures(texts)):
        assert (signed[0] == EMPTY).all()
        assert (signed[1] != EMPTY).any()


def test_threads_and_choices_of_rows_make_no_difference():
    sets_ = shingle(series([f"row {n} of some {n % 7} rows {n * n}" for n in range(20_000)]))
    one = signatures(sets_, threads=1)
    assert (one == signatures(sets_, threads=4)).all()
    rows = np.array([17, 3, 19_999, 3])
    assert (signatures(sets_, rows=rows) == one[rows]).all()
    assert signatures(sets_, rows=rows[:0]).shape == (0, 128)


def test_an_index_goes_to_datasketch_and_back():
    texts = [
        "How does a rainbow form after rain",
        "Explain how a rainbow forms after rain",
        "世界和平",
    ]
    signed = datasketch_signatures(series(texts))
    index = to_lsh(signed, ["a", "b", "c"], 32, 4)
    own = MinHashLSH(num_perm=128, params=(32, 4))
    for key, minhash in zip("abc", theirs(texts), strict=True):
        own.insert(key, minhash)
    for minhash in theirs(texts):
        assert sorted(index.query(minhash)) == sorted(own.query(minhash))
    ids, minima = from_lsh(own)
    assert ids == ["a", "b", "c"]
    assert (minima == signed).all()
    assert (band_keys(minima, 32, 4) == band_keys(signed, 32, 4)).all()


def test_an_index_of_another_scheme_is_refused():
    index = MinHashLSH(num_perm=16, params=(4, 4))
    minhash = MinHash(num_perm=16, seed=1, scheme="legacy")
    minhash.update(b"a")
    index.insert("a", minhash)
    with pytest.raises(StepError, match="legacy"):
        from_lsh(index)
