from __future__ import annotations

import polars as pl
import pytest

from databuild.measure.basics import BasicsConfig, measure_basics


def measure(*texts):
    rows = pl.DataFrame({"row_id": [str(i) for i in range(len(texts))], "answer": texts})
    found = measure_basics(rows.cast({"answer": pl.String}), BasicsConfig(column="answer"))
    return {name.removeprefix("answer_"): found[name].to_list() for name in found.columns}


def test_words_are_counted_in_every_script():
    assert measure("It's 12 words", "你好世界", "カナ and kana", "สวัสดี", "é à", "🌈")["words"] == [
        4, 4, 4, 6, 2, 0,
    ]  # fmt: skip


def test_chars_are_code_points_and_null_is_like_empty():
    found = measure("🌈é", "", None, " \n\u3000")
    assert found["chars"] == [2, 0, 0, 3]
    assert found["is_blank"] == [False, True, True, True]
    assert found["non_ascii_ratio"][:3] == [1.0, 0.0, 0.0]


def test_repetition_is_the_share_of_trigrams_seen_before():
    found = measure("a b c a b c", "a b c d", "Go go GO go", "one two", "")["repetition_ratio"]
    assert found == [pytest.approx(1 / 4), 0.0, pytest.approx(1 / 2), 0.0, 0.0]


@pytest.mark.parametrize("text", ["CafÃ©", "itâ€™s", "10 Â°C", "ï»¿x", "a\ufffdb"])
def test_mojibake_is_seen(text):
    assert measure(text)["is_mojibake"] == [True]


@pytest.mark.parametrize("text", ["Café", "it’s", "NÃO É", "pâte", "Âge", "10 °C", "你好", "IRMÃ"])
def test_honest_text_is_no_mojibake(text):
    assert measure(text)["is_mojibake"] == [False]
