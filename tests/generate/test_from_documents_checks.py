"""An answer has grounds, or a reason why it has none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.generate.from_documents_answers import Draft
from databuild.generate.from_documents_checks import (
    Grounds,
    content_words,
    ground,
    refers_to_passage,
    sentences_to_ask_about,
    strange_number,
    support_of,
)

PASSAGE = "The wheel has forty-eight paddles of elm. It was built in 1786 and cost 1,200 pounds."
TEA = "干茶装进陶罐，罐口用棉纸和木盖封好。石灰每两个月换一次。"


def grounds(question, answer, quote="", passage=PASSAGE, related=()):
    draft = Draft(question, answer, quote)
    return ground(draft, passage, related, least_match=0.9, least_support=0.6)


@pytest.mark.parametrize(
    ("answer", "quote", "passage", "stands"),
    [
        ("They are of elm.", "paddles of elm.", PASSAGE, "paddles of elm."),
        ("In 1786.", "It was built in 1786", PASSAGE, "It was built in 1786"),
        ("1200 pounds", '"cost 1,200 pounds"', PASSAGE, "cost 1,200 pounds"),
        ("The wheel has 48 paddles of elm", "", PASSAGE, None),  # 48 is written in words
        ("The wheel has forty-eight paddles.", "", PASSAGE, "The wheel has forty-eight paddles"),
        ("Yes.", "the wheel has forty eight paddles", PASSAGE, "The wheel has forty-eight paddles"),
        ("用棉纸和木盖封好。", "罐口用棉纸和木盖封好", TEA, "罐口用棉纸和木盖封好"),
    ],
)
def test_an_answer_that_its_quote_proves_has_grounds(answer, quote, passage, stands):
    found = grounds("What of the wheel?", answer, quote, passage)
    if stands is None:
        assert isinstance(found, str)
    else:
        assert isinstance(found, Grounds)
        assert passage[found.start : found.end] == stands
        assert 0.9 <= found.match <= 1
        assert 0.6 <= found.support <= 1


@pytest.mark.parametrize(
    ("question", "answer", "quote", "told"),
    [
        ("Why?", "why?", PASSAGE, "the answer repeats the question"),
        ("Who?", "The passage does not mention it.", PASSAGE, "says that there is none"),
        ("Who?", "I'm sorry, I cannot tell.", PASSAGE, "says that there is none"),
        ("谁？", "文中没有提到。", PASSAGE, "says that there is none"),
        ("Of what?", "Elm", "elm.", "the quote is too short: elm."),
        ("Of what?", "Elm", "", "the quote is too short: Elm"),
        ("Of what?", "Oak", "The wheel has many paddles made of oak", "its best match is 0."),
        ("When?", "In 1787.", "It was built in 1786", "does not stand in the passage: 1787"),
        ("Who built it?", "A farmer from Norway.", "It was built in 1786", "0.00 of its words"),
    ],
)
def test_an_answer_without_grounds_has_a_reason(question, answer, quote, told):
    found = grounds(question, answer, quote)
    assert isinstance(found, str)
    assert told in found


def test_related_passages_support_an_answer_and_cannot_be_quoted():
    related = ("A miller named Orrin Vale sharpened the stones.",)
    answer = ("Who owned the wheel?", "Orrin Vale, the miller.", "It was built in 1786")
    assert isinstance(grounds(*answer), str)
    assert isinstance(grounds(*answer, related=related), Grounds)
    quoted = grounds("Who?", "Orrin Vale", "A miller named Orrin Vale", related=related)
    assert "the quote does not stand in the passage" in quoted


def test_support_is_a_share_of_content_words():
    assert support_of("The paddles are made of oak", [PASSAGE]) == pytest.approx(1 / 3)
    assert support_of("Yes, it was.", [PASSAGE]) == 1.0
    assert support_of("陶罐和竹席", [TEA]) == pytest.approx(2 / 4)
    assert content_words("The Wheels, burning") == content_words("wheel burned")


@pytest.mark.parametrize(("answer", "found"), [("3.5", "3.5"), ("1,200 or 1200", None), ("１７８６", None),
                                               ("12", "12"), ("none", None)])  # fmt: skip
def test_every_number_of_an_answer_must_be_known(answer, found):
    assert strange_number(answer, [PASSAGE]) == found


@pytest.mark.parametrize(
    ("question", "refers"),
    [
        ("According to the passage, who came?", True), ("What does this article say?", True),
        ("What is mentioned above?", True), ("Which of the following is true?", True),
        ("根据上文，谁来了？", True), ("这段文字讲了什么？", True), ("作者怎么看？", True),
        ("Who wrote the article on mills?", True),  # a false alarm, known
        ("How do you cut a passage through a wall?", False), ("Who passed the mill?", False),
        ("茶坊建于哪一年？", False),
    ],
)  # fmt: skip
def test_questions_that_speak_of_the_passage_are_flagged(question, refers):
    assert refers_to_passage(question) is refers


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30), st.text(max_size=80))
def test_any_texts_have_grounds_inside_the_passage_or_a_reason(question, answer, quote, passage):
    found = grounds(question, answer, quote, passage)
    if isinstance(found, Grounds):
        assert 0 <= found.start < found.end <= len(passage)
    else:
        assert found


GUIDE = """# Oven

Load the oven slowly and keep the door shut for an hour. Mind it.

- Sweep every shelf with a soft brush
- 1. Set the pots on three small balls of clay.

| a table with many words | is no sentence to ask about |

```
code with several long words is none
```
"""


def test_sentences_to_ask_about_come_from_paragraphs_and_lists():
    found = sentences_to_ask_about(GUIDE, 9, 7)
    assert sorted(found) == [
        "Load the oven slowly and keep the door shut for an hour.",
        "Set the pots on three small balls of clay.",
        "Sweep every shelf with a soft brush",
    ]
    assert sentences_to_ask_about(GUIDE, 2, 7) == found[:2]
    assert {tuple(sentences_to_ask_about(GUIDE, 9, seed)) for seed in range(20)} > {tuple(found)}
    assert sentences_to_ask_about("🙂 \n", 3, 7) == []
