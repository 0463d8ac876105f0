"""Forms and their numbers, against a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.dedup.forms import NO_TEXT, Forms
from databuild.dedup.kernels.numbering import close_up, gather

FORM = st.tuples(st.sampled_from([0, 1, 1 << 40, (1 << 40) + 1]), st.integers(0, 2))


@settings(deadline=None)
@given(st.lists(st.lists(FORM, max_size=20), max_size=5))
def test_equal_forms_have_one_number_in_the_order_in_which_they_are_met(batches):
    met, numbers = Forms(), {}
    for batch in batches:
        before = dict(numbers)
        for form in batch:
            if form != (0, 0):
                numbers.setdefault(form, len(numbers))
        found, is_new = met.number(np.array(batch, np.uint64).reshape(-1, 2))
        assert found.tolist() == [numbers.get(form, NO_TEXT) for form in batch]
        first = [batch.index(f) == r and f in numbers and f not in before
                 for r, f in enumerate(batch)]  # fmt: skip
        assert is_new.tolist() == first
        assert len(met) == len(numbers)


def test_numbers_outlive_the_growth_of_the_table():
    forms = np.random.default_rng(1).integers(1, 1 << 63, (30_000, 2)).astype(np.uint64)
    forms[:, 0] &= np.uint64(0xFF)  # all near few places
    met = Forms()
    for at in range(0, len(forms), 7_000):
        met.number(forms[at : at + 7_000])
    again, is_new = met.number(forms[::-1])
    assert again.tolist() == list(range(len(forms)))[::-1]
    assert not is_new.any()
    assert len(met.table) >= 2 * len(met)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12))
def test_lists_are_closed_up_and_gathered(lists):
    counts = np.array([n for n, _ in lists], np.int64)
    stays = np.array([stay for _, stay in lists], np.uint8)
    ends = np.cumsum(counts)
    flat = np.arange(int(counts.sum()), dtype=np.uint64)
    kept = [flat[e - n : e].tolist() for e, (n, stay) in zip(ends, lists, strict=True) if stay]
    wanted = [number for one in kept for number in one]
    chosen = np.flatnonzero(stays)
    places = np.concatenate([[0], np.cumsum(counts[chosen])]).astype(np.int64)
    out = np.empty(len(wanted), np.uint64)
    gather(flat, (ends - counts)[chosen], places, out)
    assert out.tolist() == wanted
    moved = flat.copy()
    assert moved[: close_up(moved, counts, stays)].tolist() == wanted
