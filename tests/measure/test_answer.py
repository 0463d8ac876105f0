from __future__ import annotations

import pytest

from databuild.measure.answer import measure_answer
from tests.measure.columns import measured

LONG = "Roses need sun and water. In May they also need a careful hand that cuts the old wood and feeds"


def measure(response, asked=None, **options):
    columns = {"response": [response], "prompt": [asked]}
    return measured(measure_answer, "response", columns, **options)


def faults(response, asked=None, **options):
    [found] = measure(response, asked, **options)["faults"]
    return found


@pytest.mark.parametrize(
    ("response", "fault"),
    [
        (None, "empty"),
        (" \u200b\n", "empty"),
        ("N/A", "placeholder"),
        ("<nooutput> That is not possible.", "placeholder"),
        ("[your answer here]", "placeholder"),
        ("...", "placeholder"),
        ("此处省略", "placeholder"),
        ("Output: red roses.", "label"),
        ("助手：红玫瑰。", "label"),
        ("I'm sorry, but I can't help with roses.", "refusal"),
        ("I’m unable to provide a rose.", "refusal"),
        ("抱歉，我无法回答这个问题。", "refusal"),
        ("Well, my training data says roses are red.", "ai_talk"),
        ("作为人工智能语言，玫瑰对于我来说没有气味。", "ai_talk"),
        ("Roses. Click here. © 2020 Garden, all rights reserved.", "boilerplate"),
        ("点击查看更多玫瑰。", "boilerplate"),
        ("I have booked your flight.", "claims_deed"),
        ("I created a logo for the garden club.", "claims_deed"),
        ("Roses need sun and", "cut"),
        ("Roses need sun, water, and the", "cut"),
        (LONG, "cut"),
        ("玫瑰需要阳光、水和", "cut"),
        ("So:\n```\nwater()", "open_fence"),
        ("Roses need sun (and some rain.", "open_bracket"),
        ("玫瑰（红色", "open_bracket"),
        ('She said: "Roses need sun.', "open_quote"),
        ("她说：“玫瑰需要阳光。", "open_quote"),
    ],
)
def test_answers_that_are_none_or_break_off(response, fault):
    assert faults(response) == [fault]


@pytest.mark.parametrize(
    "response",
    [
        "Roses need sun.",
        "red",
        "Rosa canina",
        "- roses\n- beans and peas of the old kind that my grandmother grew in her garden by the sea",
        "# Roses for the small garden: what they need, and what they can live without in winter",
        "Water them! Then wait for the bees and the sun of the long days to come #roses",
        "玫瑰需要阳光和水。",
        "玫瑰，月季",
        "1) sun 2) rain :(",
        'The 5" pot, the 6" pot.',
        "Use `water()`",
        "def water(roses):\n    for rose in roses:\n        x = 1\n    return a",
        "玫瑰（Rosa)是红色的。",
        "```\nwater(\n```",
        "None",
        "0",
        "The gardener was unable to help with the roses.",
        "An aid worker said: as an aid, roses do little.",
        "🌹",
    ],
)
def test_good_answers(response):
    assert faults(response) == []


@pytest.mark.parametrize(
    ("prompt", "response", "fault"),
    [
        ("What do roses need in May?", "What do roses  need in may? Sun.", "copies_prompt"),
        ("What do roses need in May?\nBe brief.", "What do roses need in May?", "copies_prompt"),
        ("Write a function that waters roses.", "Take a can and pour.", "no_code"),
        ("What is 12 * 12?", "144", "unworked"),
        ("Find the average.\n3, 4, 8", "The average is 5.", "unworked"),
        (
            "Design a garden for two.",
            "The garden should have two beds and a bench.",
            "describes_only",
        ),
        ("Write an essay on roses.", "Roses are red.", "too_short"),
    ],
)
def test_answers_that_miss_what_was_asked(prompt, response, fault):
    assert faults(response, prompt) == [fault]
    assert faults(response, prompt, ignore=fault) == []
    assert faults(response, prompt, prompt=None) == []


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Define rain.", "Rain is water that falls."),
        ("Define rain.", "define rain."),
        ("Write a function that waters roses.", "def water(roses): ..."),
        ("What is 12 * 12?", "12 * 10 = 120 and 12 * 2 = 24, so it is 144."),
        ("Name three roses.", "Gallica, Alba, Damask"),
        ("Write a short story on roses.", "A rose grew. It was picked."),
    ],
)
def test_answers_that_hit_it(prompt, response):
    assert faults(response, prompt) == []


def test_the_copied_share_is_of_distinct_tokens():
    assert measure("red roses, red", "Are roses red or blue?")["copy_ratio"] == [1]
    assert measure("玫瑰红", "玫瑰")["copy_ratio"] == [2 / 3]
    assert measure(None, "Are roses red?")["copy_ratio"] == [0]
    assert measure("red", None)["copy_ratio"] == [0]


def test_material_may_be_a_column():
    columns = {"prompt": ["Find the sum."], "input": ["3, 4"], "response": ["7"]}
    found = measured(measure_answer, "response", columns, input="input")
    assert found["faults"] == [["unworked"]]
    assert found["copy_ratio"] == [0]


def test_limits_are_options():
    assert faults("The sum is 7.", "Find the sum of 3 + 4.", worked_words=3) == []
    assert faults("Roses are red.", "Write an essay on roses.", long_words=2) == []
    with pytest.raises(ValueError, match="did you mean 'refusal'"):
        faults("x", ignore="refusals")


def test_flags_are_columns():
    found = measure("I'm sorry, but I can't help; as an AI I have no")
    assert (found["is_refusal"], found["is_ai_talk"], found["is_cut"]) == ([True], [True], [False])
