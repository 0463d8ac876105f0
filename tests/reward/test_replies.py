from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.reward.replies import read_level, read_verdict


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("7", 7),
        (" **7** ", 7),
        ("7/10", 7),
        ("7 out of 10", 7),
        ("7分。", 7),
        ("7.5", 7.5),
        ("Score: 8", 8),
        ("**Score:** 8", 8),
        ("The score is 8.", 8),
        ("得分：9分", 9),
        ("评分为 9", 9),
        ("Rating: [[6]]", 6),
        ("Good.\n[[6]]", 6),
        ("Score: 3 at first, but on reflection\nScore: 5", 5),
        ('```json\n{"reasons": "ok", "score": 4}\n```', 4),
        ('{"score": "4"}', 4),
        ("Score the answer from 1 to 10. SCORE: 2", 2),
        ("score: 1 to 10", None),
        ("11", None),
        ("0", None),
        ("-3", None),
        ("seven", None),
        ("It has 7 legs.", None),
        ("", None),
        ("🙂", None),
        ('{"score": true}', None),
        ('{"score": null}', None),
        ('{"score": NaN}', None),
        ('{"reasons": "score: 9"}', None),
        ("[1, 2]", None),
        ('{"score": 4', None),
    ],
)
def test_a_score_is_read_where_there_is_one_and_nowhere_else(text, level):
    said = read_level(text, 1, 10)
    assert (said.value if said else None) == level


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("A", "a"),
        ("**B**", "b"),
        ("Answer B", "b"),
        ("回答 A", "a"),
        ("tie", "tie"),
        ("C", "tie"),
        ("平局", "tie"),
        ("[[A]]", "a"),
        ("Both try.\nVERDICT: B", "b"),
        ("Verdict: A? No.\nVerdict: B", "b"),
        ("结论：A", "a"),
        ('{"reasons": "x", "verdict": "tie"}', "tie"),
        ('{"verdict": "D"}', None),
        ("A good answer", None),
        ("Verdict: Acceptable", None),
        ("Both are fine.", None),
        ("", None),
    ],
)
def test_a_verdict_is_read_where_there_is_one_and_nowhere_else(text, verdict):
    said = read_verdict(text)
    assert (said.value if said else None) == verdict


def test_reasons_are_what_stands_before():
    assert read_level("It is short.\n\nSCORE: 4", 1, 5).reasons == "It is short."
    assert read_level('{"reasons": " Clear. ", "score": 8}', 1, 10).reasons == "Clear."
    assert read_verdict("A is right.\nVERDICT: A").reasons == "A is right."
    assert read_level("4", 1, 5).reasons is None


@given(st.text(max_size=60))
def test_any_text_is_read_or_not_and_never_off_the_scale(text):
    said = read_level(text, 1, 5)
    assert said is None or 1 <= float(said.value) <= 5
    verdict = read_verdict(text)
    assert verdict is None or verdict.value in {"a", "b", "tie"}
