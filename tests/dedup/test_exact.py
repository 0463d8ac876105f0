from __future__ import annotations

import json

import polars as pl
import pytest

from databuild.dedup.exact import ExactConfig, drop_exact_duplicates


def kept(texts, **options) -> list[int]:
    n = len(texts)
    rows = pl.DataFrame({"row_id": [f"{i:02d}" for i in range(n)], "prompt": texts})
    out = drop_exact_duplicates(rows.cast({"prompt": pl.String}), ExactConfig(**options))
    return [int(i) for i in out.filter(pl.col("part") == "kept")["row_id"].sort()]


@pytest.mark.parametrize(
    ("option", "texts"),
    [
        ("width", ["ＡＢＣ", "ABC"]),
        ("case", ["Abc", "aBC"]),
        ("whitespace", ["a  b", " a\nb "]),
        ("punctuation", ["a, b!", "a b"]),
    ],
)
def test_what_counts_as_equal_is_an_option(option, texts):
    assert kept(texts, **{option: True}) == [0]
    assert kept(texts, **{option: False}) == [0, 1]


def test_composed_and_decomposed_letters_are_always_equal():
    assert kept(["é", "e\u0301"], width=False, case=False) == [0]


def test_null_text_is_never_a_duplicate():
    assert kept([None, None, "", ""]) == [0, 1, 2]


def test_texts_of_punctuation_alone_stay_different():
    assert kept(["?", "!", "?"], punctuation=True) == [0, 1]


def test_all_columns_must_agree_and_their_borders_count():
    rows = pl.DataFrame({
        "row_id": ["a", "b", "c", "d"], "p": ["x", "x", "xy", "x"], "q": ["yz", "yz", "z", None],
    })  # fmt: skip
    out = drop_exact_duplicates(rows, ExactConfig(columns=("p", "q"))).sort("row_id")
    assert out["part"].to_list() == ["kept", "dropped", "kept", "kept"]
    assert json.loads(out["evidence"][1]) == {"kept": "a"}


def test_the_preferred_row_stays_and_nan_never_wins():
    rows = pl.DataFrame({
        "row_id": ["a", "b", "c", "d"], "prompt": ["x"] * 4, "q": [float("nan"), None, 0.2, 0.1],
    })  # fmt: skip
    out = drop_exact_duplicates(rows, ExactConfig(prefer="q"))
    assert out.filter(pl.col("part") == "kept")["row_id"].to_list() == ["c"]
    assert set(out["evidence"].drop_nulls()) == {'{"kept":"c"}'}
