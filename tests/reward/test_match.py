from __future__ import annotations

import polars as pl
import pytest
from pydantic import ValidationError

from databuild.reward.match import MatchConfig, measure_match

PERSON = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}


def match(
    said: list, wanted: list | None = None, gold: list | None = None, **options
) -> pl.DataFrame:
    rows = pl.DataFrame({"row_id": [str(n) for n in range(len(said))]}).with_columns(
        pl.Series("response", said, dtype=pl.String)
    )
    if wanted is not None:
        rows = rows.with_columns(pl.Series("wanted", wanted))
        options["against"] = "wanted"
    if gold is not None:
        rows = rows.with_columns(pl.Series("gold", gold, dtype=pl.String))
        options["gold"] = "gold"
    return measure_match(rows, MatchConfig(**options))


def passed(*args, **options) -> list:
    return match(*args, **options)["match_pass"].to_list()


def test_exact_is_every_character():
    assert passed(
        ["Nile", "nile", " Nile", "", "尼罗河"], ["Nile", "Nile", "Nile", "", "尼罗河"], how="exact"
    ) == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("said", "wanted", "same"),
    [
        ("The Nile.", "nile", True),
        ("**Nile**", "Nile", True),
        ("  a   dark\n\nriver! ", "Dark River", True),
        ("Ｎｉｌｅ", "nile", True),
        ("“尼罗河”。", "尼罗河", True),
        ("3.5", "35", False),
        ("-5", "5", False),
        ("- 5", "5", True),
        ("5%", "5", False),
        ("c++", "c", False),
        ("C#.", "c#", True),
        ("C#", "c", False),
        ("#tag", "tag", True),
        ("don't", "dont", False),
        ("Niles", "nile", False),
    ],
)  # fmt: skip
def test_normalised_forgives_case_marks_articles_and_blanks_only(said, wanted, same):
    assert passed([said], [wanted]) == [same]


def test_contains_looks_inside_after_normalisation():
    said = ["It is the Nile, of course.", "It is the Rhine.", "Nile"]
    assert passed(said, ["NILE"] * 3, how="contains") == [True, False, True]
    assert passed(["用尼罗河的水"], value="尼罗河", how="contains") == [True]


def test_of_several_texts_one_suffices():
    wanted = [["Nile", None, "Nil"], ["Rhone", "Rhine"], [], [None], None]
    found = match(["nil", "Po", "Po", "Po", "Po"], wanted)
    assert found["match_pass"].to_list() == [True, False, None, None, None]
    assert found["match_score"].to_list() == [1.0, 0.0, None, None, None]
    assert found["error"].to_list()[2:] == ["there is nothing to compare it with"] * 3


def test_a_text_without_words_matches_nothing_and_says_so():
    for how in ("normalised", "contains"):
        assert match(["?!", "tea"], ["...", " "], how=how)["error"].null_count() == 0


def test_no_answer_is_an_error_and_a_blank_one_a_miss():
    found = match([None, ""], ["tea", "tea"])
    assert found["error"].to_list() == ["there is no answer", None]
    assert found["match_pass"].to_list() == [None, False]


def test_a_pattern_is_found_anywhere_unless_it_is_anchored():
    said = ["on 2021-05-06.", "2021-05-06", "soon", "二〇二一年"]
    assert passed(said, how="regex", value=r"\d{4}-\d\d-\d\d") == [True, True, False, False]
    assert passed(said, how="regex", value=r"^\d{4}-\d\d-\d\d$") == [False, True, False, False]
    found = match(["a1", "b", "c"], [r"\d", "[", r"^c$"], how="regex")
    assert found["match_pass"].to_list() == [True, None, True]
    assert found["error"][1] == "there is no regular expression to compare it with"


def test_a_pattern_that_takes_other_engines_for_ever_takes_no_time():
    assert passed(["a" * 5000 + "!"], how="regex", value="^(a+)+$") == [False]


def test_a_schema_may_be_an_option_or_a_column():
    said = ['{"name": "Ann"}', '```json\n{"name": "Bo"}\n```', '{"name": 3}', "Ann", "[" * 90_000]
    found = match(said, how="json_schema", json_schema=PERSON)
    assert found["match_pass"].to_list() == [True, True, False, False, False]
    assert found["match_reason"].to_list()[:3] == [
        None,
        None,
        "does not fit the json_schema: name: 3 is not of type 'string'",
    ]
    assert found["match_reason"][3] == "is no JSON"
    own = match(["1", "1", "1"], ['{"type":"integer"}', '{"type":"text"}', "no"], how="json_schema")
    assert own["match_pass"].to_list() == [True, None, None]
    assert own["error"].to_list()[1:] == ["there is no JSON schema to compare it with"] * 2


def test_a_gold_answer_must_pass():
    gold = ["a 7", "seven", None]
    found = match(["7", "8", "9"], gold=gold, how="regex", value=r"\d")
    assert found["match_pass"].to_list() == [True, None, None]
    assert found["error"].to_list() == [
        None,
        "the gold answer does not match",
        "there is no gold answer",
    ]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "give one of"),
        ({"value": "a", "against": "b"}, "give one of"),
        ({"value": "(", "how": "regex"}, "no regular expression"),
        ({"json_schema": PERSON}, "goes with"),
        ({"json_schema": {"type": "person"}, "how": "json_schema"}, "json_schema, at type"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, match):
    with pytest.raises(ValidationError, match=match):
        MatchConfig(**options)
