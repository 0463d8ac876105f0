"""Answers against references: hand-worked metrics, several references, Chinese, what cannot be."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.errors import SchemaError
from databuild.evaluate.match import MatchConfig, measure_agreement


def matched(pairs: list[tuple[Any, Any]], **options: Any) -> pl.DataFrame:
    answers, references = zip(*pairs, strict=True)
    rows = pl.DataFrame({"response": answers, "reference": references}, strict=False)
    rows = rows.with_row_index("row_id").cast({"row_id": pl.String, "response": pl.String})
    return measure_agreement(rows, MatchConfig(**options))


def test_metrics_by_hand() -> None:
    made = matched([("The cat sat on a mat!", "A cat sat on the mat"), ("a cat", "cat sat down")])
    assert made["match_exact"].to_list() == [True, False]
    assert made["match_f1"].to_list() == [1.0, pytest.approx(2 * 1 / (1 + 3))]
    # Common subsequence of "the cat sat on a mat" and "a cat sat on the mat": cat sat on mat.
    assert made["match_rouge_l"].to_list() == [pytest.approx(8 / 12), pytest.approx(2 / 5)]


def test_bleu_is_sacrebleus() -> None:
    """All 1- to 4-gram precisions of this pair: 5/6, 3/5, 2/4, 1/3; lengths equal."""
    made = matched([("the cat sat on a mat", "the cat sat on the mat")])
    expected = (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert made["match_bleu"].item() == pytest.approx(expected)


def test_of_several_references_the_best_counts() -> None:
    made = matched([("blue", ["red", "blue"]), ("green", ["red", None])], name="gold")
    assert made["gold_exact"].to_list() == [True, False]
    assert made["gold_bleu"].to_list() == [pytest.approx(1.0), 0.0]


def test_chinese_goes_by_character() -> None:
    made = matched([("我喜欢苹果。", "我喜欢香蕉")])
    assert made["match_f1"].item() == pytest.approx(2 * 3 / 10)
    assert made["match_bleu"].item() > 0.3


def test_a_missing_answer_or_reference_is_an_error_and_an_empty_answer_is_wrong() -> None:
    made = matched([(None, "x"), ("x", None), ("x", "?!"), ("", "x")])
    known = ["no answer", "no reference with a word", "no reference with a word", None]
    assert made["error"].to_list() == known
    assert made["match_exact"].to_list() == [None, None, None, False]
    assert made["match_bleu"].to_list() == [None, None, None, 0.0]


def test_references_that_are_numbers_are_refused() -> None:
    with pytest.raises(SchemaError, match="are Int64"):
        matched([("4", 4)])


@given(st.text(), st.text())
def test_any_texts_give_shares(answer: str, reference: str) -> None:
    made = matched([(answer, reference), (reference, reference)])
    found = made.filter(pl.col("error").is_null())
    for metric in ("f1", "rouge_l", "bleu"):
        assert found[f"match_{metric}"].is_between(0, 1 + 1e-9).all()
    assert found.filter(row_id="1")["match_exact"].all()
