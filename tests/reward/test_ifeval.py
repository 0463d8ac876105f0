from __future__ import annotations

import json

import polars as pl
import pytest

from databuild.reward.ifeval import IfevalConfig, measure_instructions

ASKED = ["punctuation:no_comma", "length_constraints:number_words"]
WORDS = {"num_words": 3, "relation": "at least"}


def check(response, names=ASKED, kwargs=({}, WORDS)) -> dict:
    """One row, with kwargs as JSON."""
    rows = pl.DataFrame(
        {
            "row_id": ["a"],
            "response": pl.Series([response], dtype=pl.String),
            "instruction_id_list": pl.Series(
                [None if names is None else list(names)], dtype=pl.List(pl.String)
            ),
            "kwargs": [json.dumps(kwargs)],
        }
    )
    return measure_instructions(rows, IfevalConfig()).row(0, named=True)


def test_all_followed_is_a_pass_and_a_share_is_a_score():
    good = check("Rain falls today.")
    assert (good["ifeval_pass"], good["ifeval_loose"], good["ifeval_score"]) == (True, True, 1.0)
    assert (good["ifeval_missed"], good["error"]) == ([], None)
    half = check("Rain, sun, fog.")
    assert (half["ifeval_pass"], half["ifeval_loose"], half["ifeval_score"]) == (False, False, 0.5)
    assert half["ifeval_missed"] == ["punctuation:no_comma"]


def test_loose_is_another_column():
    late = check("Sure, here it is:\nRain falls today.")
    assert (late["ifeval_pass"], late["ifeval_loose"]) == (False, True)


@pytest.mark.parametrize(
    ("response", "names", "kwargs", "error"),
    [
        (None, ASKED, ({}, WORDS), "there is no answer"),
        ("Rain.", None, (), "there are none"),
        ("Rain.", [], (), "there are none"),
        ("Rain.", ASKED, ({},), "2 ids and 1 kwargs"),
        ("Rain.", ["punctuation:no_dots"], ({},), "unknown instruction"),
        ("Rain.", [None], ({},), "unknown instruction None"),
        ("Rain.", ["length_constraints:number_words"], ({},), "needs `num_words`"),
        ("Rain.", ["punctuation:no_comma"], (3,), "kwargs are a mapping"),
        ("Rain.", ["punctuation:no_comma"], ("x",), "'x' is no JSON"),
        ("Rain.", ["punctuation:no_comma"], 7, "a list is needed"),
    ],
)
def test_what_cannot_be_checked_has_nulls_and_an_error(response, names, kwargs, error):
    found = check(response, names, kwargs)
    assert error in found["error"]
    assert [found[f"ifeval_{fact}"] for fact in ("pass", "loose", "score", "missed")] == [None] * 4


def test_an_empty_answer_follows_nothing():
    empty = check("  ")
    assert (empty["ifeval_score"], empty["ifeval_missed"], empty["error"]) == (0.0, ASKED, None)


def test_kwargs_may_be_structs_with_nulls_as_parquet_holds_them():
    rows = pl.DataFrame(
        {
            "row_id": ["a", "b"],
            "text": ["Rain falls today.", "Rain, sun."],
            "ids": [ASKED, ASKED[:1]],
            "about": [
                [{"num_words": None, "relation": None}, {"num_words": 3.0, "relation": "at least"}],
                [{"num_words": None, "relation": None}],
            ],
        }
    )
    options = {"response": "text", "instructions": "ids", "kwargs": "about", "name": "rules"}
    found = measure_instructions(rows, IfevalConfig(**options))
    assert found["rules_pass"].to_list() == [True, False]
    assert found["error"].null_count() == 2


@pytest.mark.parametrize(
    ("gold", "error"),
    [
        ("Rain falls today.", None),
        ("Rain, again.", "the gold answer fails: punctuation:no_comma"),
        (None, "there is no gold answer"),
    ],
)
def test_a_row_whose_gold_answer_fails_says_so(gold, error):
    rows = pl.DataFrame(
        {
            "row_id": ["a"],
            "response": ["Rain falls today."],
            "instruction_id_list": [ASKED],
            "kwargs": [json.dumps([{}, WORDS])],
            "gold": pl.Series([gold], dtype=pl.String),
        }
    )
    found = measure_instructions(rows, IfevalConfig(gold="gold")).row(0, named=True)
    assert (found["error"] or "").startswith(error or "")
    assert found["ifeval_pass"] is (None if error else True)
