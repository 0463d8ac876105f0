from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.text.grams import number_grams

WORDS = st.lists(st.sampled_from(["a", "B", "世界", "🙂", "don't", ""]), max_size=6).map(" ".join)


def naive(text: str | None, n: int) -> set[tuple[str, ...]]:
    """The runs of n tokens of one text, counted by hand."""
    if text is None:
        return set()
    words = text.lower().replace("'", " ").replace("世界", "世 界").replace("🙂", " ").split()
    if len(words) < n:
        return {tuple(words)} if words else set()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.none() | WORDS, max_size=8), n=st.integers(1, 4))
def test_rows_share_numbers_exactly_where_they_share_runs(texts, n):
    rows = pl.DataFrame({"t": texts}, schema={"t": pl.String})
    grams = number_grams(rows, ["t"], n)
    wanted = [naive(text, n) for text in texts]
    assert [len(own) for own in wanted] == grams.lengths.tolist()
    assert grams.n_grams == len(set().union(*wanted))
    for i, one in enumerate(wanted):
        for j, other in enumerate(wanted):
            assert len(one & other) == len(set(grams.of(i)) & set(grams.of(j)))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_run_does_not_go_from_one_column_into_the_next(n):
    rows = pl.DataFrame({"s": ["a b c", "a"], "t": ["d e", None]})
    both = number_grams(rows, ["s", "t"], n)
    assert both.lengths.tolist() == [{1: 5, 2: 3, 3: 2}[n], 1]


def test_numbers_depend_on_the_texts_and_not_on_their_order():
    rows = pl.DataFrame({"t": ["b a", "c", "a b c", "Ａ b"]})
    one, other = number_grams(rows, ["t"], 2), number_grams(rows.reverse(), ["t"], 2)
    for row in range(4):
        assert one.of(row).tolist() == other.of(3 - row).tolist()


def test_no_rows_and_no_tokens_have_no_grams():
    for texts in ([], [None], ["?", ""]):
        grams = number_grams(pl.DataFrame({"t": texts}, schema={"t": pl.String}), ["t"], 2)
        assert grams.n_grams == 0
        assert grams.lengths.tolist() == [0] * len(texts)
