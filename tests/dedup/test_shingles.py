"""Sets of hashed n-grams equal those of plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.dedup.shingles import joined, shingle, shingle_batches
from tests.dedup.plain import SENTENCES, TEXTS, series, sets, token_lists


def rows_of(found):
    n = len(found.offsets) - 1
    return [found.hashes[found.offsets[r] : found.offsets[r + 1]].tolist() for r in range(n)]


@settings(max_examples=200, deadline=None)
@given(SENTENCES | TEXTS, st.integers(1, 5))
def test_sets_equal_those_of_plain_python(texts, ngram):
    found, wanted = rows_of(shingle(series(texts), ngram)), sets(texts, ngram)
    assert [len(row) for row in found] == [len(row) for row in wanted]
    assert all(row == sorted(set(row)) for row in found)
    for one, a in zip(found, wanted, strict=True):
        for two, b in zip(found, wanted, strict=True):
            assert len(set(one) & set(two)) == len(a & b)


@settings(max_examples=200, deadline=None)
@given(SENTENCES | TEXTS)
def test_forms_are_equal_where_the_tokens_are(texts):
    forms = [tuple(form) for form in shingle(series(texts)).form.tolist()]
    plain = [
        None if cut is None else tuple(cut) or tuple(sets([text])[0])
        for cut, text in zip(token_lists(texts), texts, strict=True)
    ]
    for a, form_a in zip(plain, forms, strict=True):
        assert (a is None) == (form_a == (0, 0))
        for b, form_b in zip(plain, forms, strict=True):
            assert (a == b) == (form_a == form_b)


def test_long_texts_are_sorted_and_distinct():
    rng = np.random.default_rng(3)
    texts = [" ".join(map(str, rng.integers(0, 50, n).tolist())) for n in (12, 13, 70, 999, 70_000)]
    found, wanted = rows_of(shingle(series(texts))), sets(texts)
    assert [len(row) for row in found] == [len(row) for row in wanted]
    assert all(row == sorted(row) for row in found)


@pytest.mark.slow
def test_slices_batches_and_threads_give_what_the_whole_gives():
    texts = ["One two three four 世界 和平", None, "", "?", "e\u0301 x", "five six"] * 30_000
    whole = shingle(series(texts), threads=1)
    parts = [series(texts[a : a + 7_001]) for a in range(0, len(texts), 7_001)]
    others = [
        shingle(series(texts), threads=4),
        shingle_batches(iter(parts), threads=1),
        joined(shingle(part) for part in parts),
    ]
    for other in others:
        assert all((a == b).all() for a, b in zip(whole, other, strict=True))


@pytest.mark.parametrize("texts", [[], [None], [""], ["🙂"], ["世"], ["word " * 200_000 + "end"]])
def test_edges(texts):
    found = shingle(series(texts))
    assert np.diff(found.offsets).tolist() == [len(row) for row in sets(texts)]
    assert found.form.shape == (len(texts), 2)


def test_texts_without_a_word_equal_only_what_reads_the_same():
    forms = shingle(series(["?  !", "? !", "!?", "", " "])).form.tolist()
    assert forms[0] == forms[1] != forms[2]
    assert forms[3] == forms[4] not in forms[:3]


def test_a_short_text_is_no_part_of_a_longer_one():
    one, two = rows_of(shingle(series(["a b", "a b c"])))
    assert not set(one) & set(two)


def test_hashes_of_a_million_grams_do_not_collide():
    text = " ".join(map(str, range(1_000_000)))
    assert len(shingle(series([text])).hashes) == 999_998
