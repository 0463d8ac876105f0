"""Quotes are found where they were copied from, exactly or nearly, and nowhere else."""

from __future__ import annotations

import builtins
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from databuild.errors import StepError
from databuild.text.quotes import find_quote, fold

TEXT = "The mill’s wheel is *six* metres\n  high — and “old”. It has forty-eight paddles of elm."


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("The mill's wheel is six metres high", "The mill’s wheel is *six* metres\n  high"),
        ('"wheel is **six** metres"', "wheel is *six* metres"),
        ('high - and "old"', "high — and “old"),
        ("IT HAS FORTY–EIGHT paddles...", "It has forty-eight paddles"),
        ("paddles of elm.", "paddles of elm."),
        ("ｗｈｅｅｌ", "wheel"),
        ("metres\u200b high", "metres\n  high"),
    ],
)
def test_what_a_copy_may_differ_in_does_not_count(quote, found):
    span = find_quote(quote, TEXT)
    assert (TEXT[span.start : span.end], span.ratio) == (found, 1.0)


def test_a_nearly_copied_quote_is_found_as_whole_words_with_its_ratio():
    span = find_quote("it has forty eight paddle of elm", TEXT, least=0.9)
    assert TEXT[span.start : span.end] == "It has forty-eight paddles of elm"
    assert 0.9 <= span.ratio < 1


@pytest.mark.parametrize("quote", ["", "  ", "...", "Nobody has ever seen such a wheel before.",
                                   "wheel " * 500])  # fmt: skip
def test_what_does_not_stand_there_is_not_found(quote):
    assert find_quote(quote, TEXT, least=0.9) is None


def test_nothing_stands_in_a_blank_text():
    assert find_quote("a quote of words", " \n") is None
    assert find_quote("a quote of words", "") is None


def test_a_quote_longer_than_its_text_counts_what_the_text_lacks():
    assert find_quote("The mill has a wheel of elm", "The mill has a wheel") is not None
    assert find_quote("The mill has a wheel of elm", "The mill has a wheel", least=0.9) is None


def test_chinese_quotes():
    text = "茶坊建于1923年，原来是一座粮仓。沈师傅说：“手上的感觉更准。”"
    for quote in ("原来是一座粮仓", "沈师傅说：「手上的感觉更准」", "建于１９２３年,原来是"):
        span = find_quote(quote, text)
        assert span.ratio == 1.0, quote
    assert find_quote("茶坊建于1950年，原来是一座寺庙", text, least=0.9) is None


@given(st.text(min_size=1, max_size=60), st.integers(0, 59), st.integers(1, 60))
def test_any_copy_is_found_and_its_span_folds_to_the_quote(text, start, length):
    quote = text[start : start + length]
    assume(any(letter.isalnum() for letter in quote))
    span = find_quote(quote, text)
    assert span is not None
    assert span.ratio == 1.0
    assert (
        fold(quote).text.strip(" '\".,;:!?-…。，；：！？、")
        in fold(text[span.start : span.end]).text
    )


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_two_texts_give_a_span_inside_the_text_or_none(quote, text):
    span = find_quote(quote, text)
    assert span is None or (0 <= span.start < span.end <= len(text) and 0 <= span.ratio <= 1)


def test_long_texts_take_moderate_time():
    begun = time.process_time()
    find_quote("no such words in here " * 20, "the wheel turned and turned again " * 3000)
    assert time.process_time() - begun < 5


def test_a_missing_library_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("rapidfuzz"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(StepError, match="databuild\\[generate\\]"):
        find_quote("it has forty paddles", TEXT)
