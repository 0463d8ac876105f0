"""Related passages: by rare words, by vectors; never the text itself."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.errors import SchemaError
from databuild.generate.related import RelatedConfig, find_related

TEXTS = ["Elm rots slowly in water.", "The paddles of the wheel are of elm.", "锅烧到二百度，放入鲜叶。",
         "鲜叶摊在竹席上，晾六个小时。", "Elm rots slowly in water.", " ", None, "🙂"]  # fmt: skip


def related(rows, **options):
    found = find_related(rows, RelatedConfig(**options))
    assert found["row_id"].to_list() == rows["row_id"].to_list()
    column = found["text_related"].to_list()
    return [row if row is None else [one["row_id"] for one in row] for row in column]


def table(texts, **columns):
    ids = [f"r{n}" for n in range(len(texts))]
    return pl.DataFrame(
        {"row_id": ids, "text": texts, **columns}, schema_overrides={"text": pl.String}
    )


def test_texts_that_share_rare_words_are_related_and_equal_ones_are_one():
    found = related(table(TEXTS), n=1)
    assert found == [["r1"], ["r0"], ["r3"], ["r2"], ["r1"], None, None, []]


def test_the_text_of_what_is_related_comes_with_it():
    found = find_related(table(TEXTS), RelatedConfig(n=1))["text_related"].to_list()
    assert found[0][0]["text"] == TEXTS[1]


WORDS = st.lists(st.sampled_from(["oak", "elm", "ash", "fir", "yew", "box"]), max_size=7).map(
    " ".join
)


def bm25(query: list[str], text: list[str], texts: list[list[str]]) -> float:
    """The formula, written down once more."""
    score, mean = 0.0, sum(map(len, texts)) / len(texts)
    for term in sorted(set(query) & set(text)):
        df = sum(term in one for one in texts)
        idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
        n = text.count(term)
        score += idf * n * 2.2 / (n + 1.2 * (1 - 0.75 + 0.75 * len(text) / mean))
    return score


@given(st.lists(WORDS, max_size=8, unique=True))
def test_scores_are_those_of_the_formula(texts):
    found = find_related(table(texts), RelatedConfig(n=9))["text_related"].to_list()
    split = [one.split() for one in texts if one]
    for text, row in zip(texts, found, strict=True):
        if not text:
            assert row is None
            continue
        expected = {
            other: round(bm25(text.split(), other.split(), split), 4)
            for other in texts
            if other and other != text and set(other.split()) & set(text.split())
        }
        got = {one["text"]: one["score"] for one in row}
        assert got == pytest.approx(expected, abs=2e-4)
        assert sorted(got.values(), reverse=True) == [one["score"] for one in row]


def test_vectors_that_point_the_same_way_are_related():
    vectors = [[1.0, 0.0], [3.0, 0.1], [0.0, 1.0], [0.0, 0.0], None]
    rows = table(["a", "b", "c", "d", "e"], vector=vectors)
    assert related(rows, n=2, embedding="vector") == [["r1"], ["r0", "r2"], ["r1"], [], None]
    assert related(rows, n=2, embedding="vector", min_score=0.5) == [["r1"], ["r0"], [], [], None]


def test_vectors_agree_with_each_with_each():
    draw = np.random.default_rng(3)
    vectors = draw.normal(size=(1500, 8)).astype(np.float32)  # more than one block
    rows = table([f"t{n}" for n in range(1500)], vector=vectors.tolist())
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    best = cosines.argmax(axis=1)
    found = related(rows, n=1, embedding="vector")
    assert (
        sum(row == [f"r{n}"] for row, n in zip(found, best, strict=True)) >= 1495
    )  # ties of 4 digits


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(SchemaError, match="'text' is Int64, not text"):
        find_related(pl.DataFrame({"row_id": ["a"], "text": [1]}), RelatedConfig())
    with pytest.raises(SchemaError, match="'vector' is String, not a list of floats"):
        related(table(["a"], vector=["x"]), embedding="vector")
    with pytest.raises(SchemaError, match="the vectors have \\[1, 2\\] numbers"):
        related(table(["a", "b"], vector=[[1.0], [1.0, 2.0]]), embedding="vector")


def test_tables_with_little_in_them():
    assert related(table([])) == []
    assert related(table(["one alone"])) == [[]]
    assert related(table(["a"], vector=[[1.0]]), embedding="vector") == [[]]
    assert related(table([None], vector=[None]), embedding="vector") == [None]


def test_blocks_change_nothing_and_rare_terms_go_first(monkeypatch):
    words = [f"w{i}" for i in range(40)]
    draw = np.random.default_rng(5)
    texts = [" ".join(draw.choice(words, size=6)) for _ in range(60)]
    whole = find_related(table(texts), RelatedConfig(n=3))
    monkeypatch.setattr("databuild.generate.related._BLOCK", 7)
    assert whole.equals(find_related(table(texts), RelatedConfig(n=3)))
    monkeypatch.setattr("databuild.generate.related._MOST_PAIRS", 1)
    told = table(["rare often a", "rare b", "often c", "often d", "often e", "f"])
    assert related(told, n=4)[0] == ["r1"]  # it asks with its rarest term alone


def test_beyond_exact_up_to_an_index_finds_nearly_the_same_and_says_what_it_missed():
    pytest.importorskip("faiss")
    draw = np.random.default_rng(5)
    topics_TD = draw.normal(size=(30, 32))
    vectors_ND = topics_TD[draw.integers(30, size=900)] + 0.4 * draw.normal(size=(900, 32))
    vectors_ND[5] = 0.0
    vectors_ND[7:11] = vectors_ND[6]  # more equal ones than are asked for
    rows = table([f"text {i}" for i in range(900)], vector=vectors_ND.astype(np.float32).tolist())
    config = RelatedConfig(n=3, embedding="vector")
    exact = find_related(rows, config)
    found = find_related(rows, config.model_copy(update={"exact_up_to": 100}))
    assert found.table.columns == exact.columns
    same = [
        len({one["row_id"] for one in a} & {one["row_id"] for one in b})
        for a, b in zip(exact["text_related"], found.table["text_related"], strict=True)
    ]
    assert 0.9 <= sum(same) / (3 * 900) <= 1.0
    assert found.facts["search"] == "cells"
    assert found.facts["texts"] == 900
    assert abs(found.facts["missed_ratio"] - (1 - sum(same) / (3 * 900))) < 0.05
    for row_id, related_to in found.table.rows():
        assert row_id not in {one["row_id"] for one in related_to}
    shuffled = find_related(rows.reverse(), config.model_copy(update={"exact_up_to": 100}))
    assert shuffled.table.reverse().equals(found.table)
