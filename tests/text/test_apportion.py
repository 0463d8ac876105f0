from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from databuild.text.apportion import apportion, largest_remainder

_sizes = st.lists(st.integers(0, 40), min_size=1, max_size=12)
_shares = st.lists(st.floats(0.01, 1), min_size=1, max_size=5)


@given(total=st.integers(0, 1000), shares=_shares)
def test_parts_add_up_and_are_within_one_of_their_share(total, shares):
    parts = largest_remainder(total, shares)
    assert sum(parts) == total
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - total * share / sum(shares)) < 1 + 1e-6


@given(sizes=_sizes, shares=_shares)
def test_both_margins_are_exact(sizes, shares):
    parts = largest_remainder(sum(sizes), shares)
    counts = apportion(sizes, parts)
    assert counts.sum(axis=1).tolist() == sizes
    assert counts.sum(axis=0).tolist() == parts
    assert (counts >= 0).all()


def test_an_exact_quota_is_met_exactly():
    assert largest_remainder(30, [0.1, 0.2, 0.7]) == [3, 6, 21]
    assert apportion([10, 20, 30], [48, 6, 6]).tolist() == [[8, 1, 1], [16, 2, 2], [24, 3, 3]]
