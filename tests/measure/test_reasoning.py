from __future__ import annotations

import pytest

from databuild.measure.reasoning import measure_reasoning
from tests.measure.columns import measured


def measure(*texts, **options):
    return measured(measure_reasoning, "t", {"t": list(texts)}, column="t", **options)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("<think>2 and 2</think>4", []),
        ("4", []),
        (None, []),
        ("<think>2 and 2", ["unclosed", "no_answer"]),
        ("2 and 2</think>4", ["unopened"]),
        ("<think> \n</think>4", ["empty_thinking"]),
        ("<think>2</think> \n", ["no_answer"]),
        ("<think>a<think>b</think>c</think>4", ["nested"]),
        ("<think>a<think>b</think>4", ["unclosed", "nested"]),
        ("<think>a</think>4<think>b</think>5", ["repeated"]),
        ("Well. <think>a</think>4", ["text_before"]),
    ],
)
def test_tags(text, faults):
    assert measure(text)["reasoning_faults"] == [faults]


def test_lengths_are_without_tags_and_outer_space():
    found = measure("<think> abc </think>\n\nde", "abc", "<think>ab", None)
    assert found["thinking_chars"] == [3, 0, 2, 0]
    assert found["answer_chars"] == [2, 3, 0, 0]


def test_a_prompt_may_open_the_thoughts():
    assert measure("a</think>4", opened_by_prompt=True)["reasoning_faults"] == [[]]


def test_thoughts_may_be_required():
    assert measure("4", required=True)["reasoning_faults"] == [["no_thinking"]]


def test_other_tags():
    found = measure("[思考]a[/思考]4", opens="[思考]", closes="[/思考]")
    assert found["thinking_chars"] == [1]
    assert found["reasoning_faults"] == [[]]
