"""Questions are found in whatever a model writes, and nothing is invented."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.generate.from_documents_answers import Draft, read_drafts, read_question

ONE = Draft("Who came?", "Ann.", "Ann came in")


@pytest.mark.parametrize(
    "text",
    [
        "Question: Who came?\nAnswer: Ann.\nQuote: Ann came in",
        'Sure! Here it is:\n\n**Question 1:** Who came?\n**Answer:** Ann.\n**Quote:** "Ann came in"',
        "Q: Who came?\nA: Ann.\nEvidence: “Ann came in”",
        "1. question: Who came?\n   - answer: Ann.\n   - quote: Ann came in\n\nI hope this helps!",
        "### Question\nQuestion: Who came?\n\nAnswer: Ann.\n\nSource: 'Ann came in'",
        "问题1：Who came?\n答案：Ann.\n引文：「Ann came in」",
        "<think>Question: none?\nAnswer: x</think>\nQuestion: Who came?\nQuote: Ann came in\nAnswer: Ann.",
        '{"question": "Who came?", "answer": "Ann.", "quote": "Ann came in"}',
        'Here:\n```json\n[{"Question": "Who came?", "Answer": "Ann.", "Evidence": "Ann came in"}]\n```',
        '{"pairs": [{"question": "Who came?", "answer": "Ann.", "quote": "Ann came in"}]}',
        '[{"question": "Who came?", "answer": "Ann.", "quote": "Ann came in"}, {"question": "And',
        "Answer: Bo.\nQuestion: Who came?\nAnswer: Ann.\nQuote: Ann came in\nQuestion: When?",
    ],
)
def test_one_question_is_found(text):
    assert read_drafts(text) == [ONE]


def test_several_questions_come_in_their_order_and_loops_are_kept_for_the_check():
    text = "\n\n".join(f"Q{n}: Why {n}?\nA{n}: So {n}." for n in (1, 2, 2))
    assert [draft.question for draft in read_drafts(text)] == ["Why 1?", "Why 2?", "Why 2?"]
    assert [draft.quote for draft in read_drafts(text)] == ["", "", ""]


def test_an_answer_may_have_paragraphs_and_a_quote_ends_with_its_own():
    text = "Question: How?\nAnswer: First.\n\nThen.\nQuote: it is so\n\nLet me know!"
    assert read_drafts(text) == [Draft("How?", "First.\n\nThen.", "it is so")]


@pytest.mark.parametrize(
    "text",
    ["", "   ", "I'm sorry, but I can't help with that.", "Question: Who came?", "Answer: Ann.",
     "Question:\nAnswer: Ann.", '{"question": "Who", "answer": ""}', '{"question": ["a"]}', "{" * 999,
     "[" * 999, "the the the the the", "<think>Question: a?\nAnswer: b", '{"a":' * 2000, "Quote: x"],
)  # fmt: skip
def test_nothing_is_found_where_there_is_no_question_with_an_answer(text):
    assert read_drafts(text) == []


def test_numbers_as_answers_are_texts():
    assert read_drafts('{"question": "How many?", "answer": 12}') == [Draft("How many?", "12", "")]


WORDS = st.sampled_from(
    ["Question:", "Answer: ", "Quote:", "问题：", "\n", "\n\n", '{"question": "a"', "}", "[", "x"]
)


@given(st.lists(WORDS | st.text(max_size=5), max_size=30).map("".join))
def test_no_text_raises_and_every_draft_has_a_question_and_an_answer(text):
    for draft in read_drafts(text):
        assert draft.question.strip()
        assert draft.answer.strip()


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)


@given(st.lists(st.tuples(NAMES, NAMES, NAMES), max_size=4))
def test_what_is_written_as_json_is_read_back(pairs):
    keys = ("question", "answer", "quote")
    text = json.dumps([dict(zip(keys, pair, strict=True)) for pair in pairs])
    assert read_drafts(text) == [Draft(*pair) for pair in pairs]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Who came?", "Who came?"),
        ('Sure!\n\n1. "Who came?" Ann did.', "Who came?"),
        ("**Question:** Who came?**", "Who came?"),
        ("<think>Why?</think>\nWho came?\nWhen?", "Who came?"),
        ("问题：谁来了？", "谁来了？"),
        ("She came.", ""), ("", ""), ("?", ""),
    ],
)  # fmt: skip
def test_the_first_question_of_a_text(text, question):
    assert read_question(text) == question
