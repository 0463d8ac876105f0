"""text.constraints: every kind tells good from bad and says how nearly it was met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.text.constraints import KINDS, TRAINED, UNTRAINED, check, credit, judge, validate

EXAMPLES = [
    ("lowercase", "", "tea is warm, and 3 cups are enough.", "Tea is warm."),
    ("uppercase", "", "TEA IS WARM.", "TEA is WARM."),
    ("no_commas", "", "Tea is warm and good.", "Tea is warm, and good."),
    ("bullets", "2", "Tea:\n- warm\n* good", "- warm\n- good\n- cheap"),
    ("max_words", "4", "Tea is well-known here.", "Tea is very well-known here."),
    ("starts_with", "In short:", '"in short: tea is warm."', "Tea, in short: warm."),
    ("ends_with", "See you soon.", "Tea is warm. See you SOON.", "See you soon. Tea is warm."),
    ("json_keys", "a,b", '```json\n{"a": "x", "b": "y"}\n```', '{"a": "x", "b": "y", "c": "z"}'),
    ("keyword", "sun", "The Sun, again.", "It was sunny again."),
    ("one_sentence", "", "Tea, e.g. green tea, costs 3.5 euros.", "Tea is warm. It is good."),
    ("sentences", "2", "Tea is warm. Is it good?", "Tea is warm. Is it good"),
    ("title", "", "<<Tea>>\nTea is warm.", "<<Tea>> Tea is warm."),
    ("quoted", "", '"Tea is warm."', '"Tea" is warm.'),
    ("numbered_list", "2", "1. warm\n2) good", "2. warm\n1. good"),
    ("question", "", 'Is tea "warm?"', "Is tea warm? Yes."),
    ("forbidden_word", "can", "Candles burn.", "You can light it."),
    ("two_paragraphs", "", "Tea.\n\nCoffee.\n", "Tea.\nCoffee."),
    ("answer", "42", "Two times 21 is 42.", "Two times 21 is 41."),
]


def test_every_kind_has_an_example() -> None:
    assert [kind for kind, *_ in EXAMPLES] == list(KINDS)
    assert not TRAINED.keys() & UNTRAINED.keys()
    assert len(TRAINED) >= 10
    assert len(UNTRAINED) == 5


@pytest.mark.parametrize(("kind", "value", "good", "bad"), EXAMPLES)
def test_a_kind_tells_good_from_bad(kind: str, value: str, good: str, bad: str) -> None:
    assert check(kind, value, good)
    assert credit(kind, value, good) == 1
    assert not check(kind, value, bad)
    assert 0 <= credit(kind, value, bad) <= 0.9


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("text", ["", " ", "\n", ".", "🍵", "{", '"', "[" * 20_000, "<<", "- "])
def test_odd_texts_get_a_credit_from_0_to_1(kind: str, text: str) -> None:
    value = next(value for name, value, *_ in EXAMPLES if name == kind)
    assert 0 <= credit(kind, value, text) <= 1


@given(
    st.text(), st.sampled_from(EXAMPLES), st.booleans(), st.sampled_from([(), ("tea",), ("t*",)])
)
def test_a_score_is_1_exactly_when_the_answer_passes(
    text: str, example: tuple[str, str, str, str], finished: bool, about: tuple[str, ...]
) -> None:
    found = judge(text, [{"kind": example[0], "value": example[1]}], about, finished=finished)
    assert 0 <= found.score <= 1
    assert (found.score == 1) == found.passed
    assert found.passed <= found.is_obedient


def test_nearer_answers_earn_more() -> None:
    two, one = "- warm\n- good", "- warm"
    assert credit("bullets", "3", two) > credit("bullets", "3", one) > credit("bullets", "3", "no")
    assert credit("lowercase", "", "Tea is warm") > credit("lowercase", "", "Tea Is Warm")
    assert credit("ends_with", "bye", "one bye two") < credit("ends_with", "bye", "one two bye x")
    assert credit("json_keys", "a,b", '{"a": "x", "b":') > credit("json_keys", "a,b", "{}") == 0


def test_each_floor_costs_the_pass() -> None:
    rules = [{"kind": "no_commas", "value": ""}]
    text = "Green tea is warm and good for you."
    assert judge(text, rules, ["tea"], finished=True).passed
    worse = [
        (judge(text, rules, ["coffee"], finished=True), 0.3),
        (judge(text, rules, ["tea"], finished=False), 0.5),
        (judge("Tea is warm.", rules, ["tea"], finished=True), 0.5),
        (judge("tea tea tea tea tea tea", rules, ["tea"], finished=True), 0.25),
    ]
    for found, score in worse:
        assert found.is_obedient
        assert not found.passed
        assert found.score == pytest.approx(score)


@pytest.mark.parametrize(
    ("stem", "text", "is_met"),
    [
        ("bee", "Bees fly.", True),
        ("bee", "It has been.", False),
        ("bus", "two buses", True),
        ("cycl*", "Cycling", True),
        ("cycl*", "a bicycle", False),
        ("first aid", "a First Aid kit", True),
    ],
)
def test_about_means_whole_words_unless_it_ends_in_a_star(
    stem: str, text: str, is_met: bool
) -> None:
    assert judge(text, [], [stem], finished=True).is_on_topic is is_met


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("rhyme", "", "unknown constraint 'rhyme'; known: answer, bullets"),
        ("bullets", "0", "whole number from 1 as value, not '0'"),
        ("bullets", "²", "whole number from 1"),
        ("max_words", "", "whole number from 1"),
        ("keyword", " ", "needs a text as value"),
        ("json_keys", "a,,b", "needs a text as value"),
        ("lowercase", "x", "takes no value"),
    ],
)
def test_a_constraint_that_cannot_be_read_is_refused(kind: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(kind, value)
    with pytest.raises(ValueError, match=message):
        credit(kind, value, "text")
