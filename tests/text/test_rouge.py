"""Novelty by ROUGE-L: the same verdicts as comparing every pair."""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.errors import StepError
from databuild.text import rouge
from databuild.text.rouge import Novelty, mean_rouge

WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=9).map(" ".join)


def longest_common(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for at, with_ in enumerate(other):
            above = row[at + 1]
            row[at + 1] = before + 1 if word == with_ else max(above, row[at])
            before = above
    return row[-1]


def judged_by_force(
    seeds: list[str], texts: list[str], threshold: float
) -> list[tuple[int, float] | None]:
    known = [seed.split() for seed in seeds]
    found: list[tuple[int, float] | None] = []
    for text in texts:
        words = text.split()
        best: tuple[int, float] | None = None
        for place, other in enumerate(known):
            both = len(words) + len(other)
            common = longest_common(words, other)
            if both and Fraction(2 * common, both) >= Fraction(str(threshold)):
                score = 2 * common / both
                best = (place, score) if best is None or score > best[1] else best
        found.append(best)
        if best is None:
            known.append(words)
    return found


@settings(max_examples=60, deadline=None)
@given(
    seeds=st.lists(WORDS, max_size=6),
    texts=st.lists(WORDS, max_size=30),
    threshold=st.sampled_from([0.05, 0.3, 0.5, 0.6, 0.7, 0.9, 1]),
    size=st.integers(1, 12),
)
def test_the_verdicts_are_those_of_comparing_every_pair(seeds, texts, threshold, size):
    seen = Novelty(threshold)
    seen.add(seeds)
    found = []
    for start in range(0, len(texts), size):
        found += seen.judge(texts[start : start + size])
    assert [near and tuple(near) for near in found] == judged_by_force(seeds, texts, threshold)
    assert len(seen) == len(seeds) + sum(near is None for near in found)


@pytest.mark.parametrize("limit", ["_HITS", "_CODE_POINTS"])
def test_neither_small_pieces_nor_many_tokens_change_a_verdict(limit, monkeypatch):
    rng = np.random.default_rng(3)
    first = [" ".join(rng.choice(list("abcde"), 8)) for _ in range(100)]
    texts = [*first, *(" ".join(rng.choice(list("abcdefgh"), 8)) for _ in range(200))]

    def verdicts() -> list[Any]:
        seen = Novelty(0.7)
        return [near for start in (0, 100, 200) for near in seen.judge(texts[start : start + 100])]

    plain = verdicts()
    assert sum(near is not None for near in plain) > 50
    monkeypatch.setattr(rouge, limit, 5)
    assert verdicts() == plain


def test_a_score_at_the_threshold_is_not_new_and_one_below_is():
    seen = Novelty(0.7)
    seen.add(["a b c d e f g h i j"])
    assert seen.judge(["a b c d e f g x y z"]) == [(0, 0.7)]
    assert seen.judge(["a b c d e f x y z w"]) == [None]


def test_chinese_is_compared_by_character_and_case_and_width_do_not_count():
    seen = Novelty(0.7)
    seen.add(["写一首关于春天的诗", "Name a Fruit"])
    found = seen.judge(["写一首关于秋天的诗。", "ＮＡＭＥ a fruit!", "翻译这句话"])
    assert found == [(0, 2 * 8 / 18), (1, 1.0), None]


def test_a_text_without_a_token_is_like_none():
    seen = Novelty(0.7)
    assert seen.judge(["", "?!", "🙂"]) == [None, None, None]
    assert seen.judge([]) == []


def test_the_first_of_several_equally_near_is_named():
    seen = Novelty(0.5)
    assert seen.judge(["a b c x", "a b c x", "k l m n"]) == [None, (0, 1.0), None]
    seen.add(["k l m n"])
    assert seen.judge(["k l m n"]) == [(1, 1.0)]


def test_mean_rouge_of_pairs():
    assert mean_rouge(["a b", "a b", "c d"]) == pytest.approx(1 / 3)
    assert mean_rouge(["", "?"]) == 1.0


def test_without_rapidfuzz_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(StepError, match=r"rapidfuzz.*databuild\[generate\]"):
        Novelty(0.7)
