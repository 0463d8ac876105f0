"""text.edits: an edit passes, keeps what was said, or is not made."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.text.constraints import TRAINED, UNTRAINED, judge
from databuild.text.edits import edit
from databuild.text.sentences import words

TEXT = (
    "Sure! Here is a note about tomatoes:\n\n**Tomatoes**\nTomatoes are easy to grow, and they love"
    " warm sun. They need water every day, which keeps the soil moist. I hope this reply helps you."
    " In summer, tomatoes taste best with salt, oil and fresh bread. Never water the lea"
)
VALUES = {
    "bullets": "3",
    "max_words": "12",
    "starts_with": "In short:",
    "ends_with": "See you soon.",
    "json_keys": "topic,fact",
    "keyword": "summer",
    "sentences": "2",
}


def rules_of(*kinds: str) -> list[dict[str, str]]:
    return [{"kind": kind, "value": VALUES.get(kind, "")} for kind in kinds]


@pytest.mark.parametrize("kind", sorted(TRAINED))
def test_every_trained_kind_has_a_rule(kind: str) -> None:
    made = edit(TEXT, rules_of(kind), ["tomato*"], "tomatoes")
    assert made is not None
    assert judge(made, rules_of(kind), ["tomato*"], finished=True).passed
    assert "Here is" not in made
    assert "reply" not in made
    assert "lea" not in words(made)


@pytest.mark.parametrize("kind", sorted(UNTRAINED))
def test_kinds_that_are_not_trained_have_none(kind: str) -> None:
    value = "3" if kind == "numbered_list" else "word" if kind == "forbidden_word" else ""
    assert edit(TEXT, [{"kind": kind, "value": value}], ["tomato*"], "") is None


@pytest.mark.parametrize(
    ("kinds", "made"),
    [
        (["lowercase", "max_words"], "tomatoes are easy to grow, and they love warm sun."),
        (["one_sentence", "uppercase"], "TOMATOES ARE EASY TO GROW, AND THEY LOVE WARM SUN."),
        (["keyword", "no_commas", "one_sentence"],
         "In summer tomatoes taste best with salt and oil and fresh bread."),
        (["json_keys"],
         '{"topic": "tomatoes", "fact": "Tomatoes are easy to grow, and they love warm sun."}'),
        (["starts_with", "ends_with", "one_sentence"], None),
        (["starts_with", "one_sentence"],
         "In short: Tomatoes are easy to grow, and they love warm sun."),
    ],
)  # fmt: skip
def test_rules_work_together(kinds: list[str], made: str | None) -> None:
    assert edit(TEXT, rules_of(*kinds), ["tomato*"], "tomatoes") == made


def test_a_phrase_that_is_there_already_is_not_said_twice() -> None:
    text = "In short: tomatoes love the warm summer sun. See you soon!"
    made = edit(text, rules_of("starts_with", "ends_with"), ["tomato*"], "")
    assert made == "In short: Tomatoes love the warm summer sun. See you soon."


def test_nothing_is_invented() -> None:
    assert edit("Tomatoes love the warm sun.", rules_of("bullets"), ["tomato*"], "") is None
    assert edit(TEXT, rules_of("lowercase"), ["coffee"], "coffee") is None
    assert edit("", rules_of("lowercase"), [], "") is None


def test_json_values_are_escaped() -> None:
    text = "Tomatoes have a back\\slash and love the sun."
    made = edit(text, rules_of("json_keys"), ["tomato*"], 'to"mato')
    assert made is not None
    assert json.loads(made) == {"topic": 'to"mato', "fact": text}


@given(st.text(), st.lists(st.sampled_from(sorted(TRAINED)), unique=True, max_size=3))
def test_an_edit_passes_whatever_the_text(text: str, kinds: list[str]) -> None:
    rules = rules_of(*kinds)
    made = edit(f"{text} {TEXT}", rules, [], "tomatoes")
    assert made is None or judge(made, rules, [], finished=True).passed


def test_an_unknown_kind_has_no_rule() -> None:
    assert edit(TEXT, [{"kind": "rhyme", "value": ""}], [], "") is None
