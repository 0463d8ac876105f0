"""text.sentences: borders where a reader sees them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from databuild.text.sentences import is_whole, list_items, repetition_ratio, sentences, words


def test_abbreviations_and_decimals_end_no_sentence() -> None:
    text = "Dr. Lee paid 3.5 euros (e.g. for tea). Really? Yes…"
    assert sentences(text) == ["Dr. Lee paid 3.5 euros (e.g. for tea).", "Really?", "Yes…"]


def test_a_line_end_ends_a_sentence() -> None:
    assert sentences("one\ntwo. three") == ["one", "two.", "three"]


@given(st.text())
def test_no_visible_character_is_lost(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@given(st.text())
def test_repetition_is_a_share(text: str) -> None:
    assert 0 <= repetition_ratio(text) < 1


def test_items_are_lines_with_a_mark_and_something_after_it() -> None:
    assert list_items("- a\n* b\n10. c\n-\n-d\n2024 was") == ["a", "b", "c"]


def test_whole_sentences_end_in_a_terminator_and_closing_marks() -> None:
    assert all(map(is_whole, ["Go.", 'He said "go!"', "Why?)", "Well… "]))
    assert not any(map(is_whole, ["", "Go", "Go,", "Go:"]))


def test_words_keep_inner_apostrophes_and_hyphens() -> None:
    assert words("don't over-think: it’s 9–5") == ["don't", "over-think", "it’s", "9", "5"]
