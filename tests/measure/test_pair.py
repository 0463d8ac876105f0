from __future__ import annotations

import pytest

from databuild.measure.pair import measure_pair
from tests.measure.columns import measured

LONG = "Roses need sun, water, good soil, a little shade at noon and a careful hand in spring"


def measure(chosen, rejected, prompt=None, **options):
    columns = {"chosen": [chosen], "rejected": [rejected], "prompt": [prompt]}
    return measured(measure_pair, "chosen", columns, prompt="prompt", **options)


@pytest.mark.parametrize(
    ("chosen", "rejected", "faults"),
    [
        ("Roses need sun.", "Beans need rain.", []),
        ("Roses  need SUN.", "roses need sun. ", ["equal"]),
        (LONG, LONG + ".", ["near_equal"]),
        ("Roses.", " \u200b", ["empty_rejected"]),
        (None, "Roses.", ["empty_chosen"]),
        ("", None, ["equal", "empty_chosen", "empty_rejected"]),
        ("Sun.", LONG, ["length"]),
        ("\n\nHuman: a\n\nAssistant: sun", "\n\nHuman: a\n\nAssistant: rain", []),
        (
            "\n\nHuman: a\n\nAssistant: sun",
            "\n\nHuman: b\n\nAssistant: rain",
            ["different_prompts"],
        ),
        ("\n\nHuman: a\n\nAssistant: sun", "\n\nHuman: a\n\nAssistant:", ["empty_rejected"]),
    ],
)
def test_pairs(chosen, rejected, faults):
    assert measure(chosen, rejected)["pair_faults"] == [faults]


def test_an_answer_that_begins_with_the_prompt():
    prompt = "What do roses need in May?"
    found = measure(f"{prompt.upper()} Sun.", "Rain and shade.", prompt)
    assert found["pair_faults"] == [["prompt_inside"]]


def test_messages_are_compared_by_their_last_turn():
    def talk(*contents):
        return [{"role": "user", "content": text} for text in contents]

    found = measured(
        measure_pair,
        "chosen",
        {
            "chosen": [talk("a", "sun"), talk("a", "sun"), talk(), None],
            "rejected": [talk("a", "SUN"), talk("b", "rain"), talk("a", "x"), talk("a", "x")],
        },
    )
    assert found["pair_faults"] == [
        ["equal"], ["different_prompts"], ["empty_chosen", "different_prompts"],
        ["empty_chosen", "different_prompts"],
    ]  # fmt: skip


def test_similarity_and_length():
    found = measure("roses need sun", "roses need rain now")
    assert found["pair_similarity"] == [2 / 5]
    assert found["pair_length_ratio"] == [14 / 19]
    assert measure("roses", "")["pair_length_ratio"] == [None]
    assert measure("🌹", "🌧")["pair_similarity"] == [0]


def test_thresholds_are_options():
    assert measure("Sun.", LONG, max_length_ratio=100)["pair_faults"] == [[]]
    assert measure("roses need sun", "roses need rain", near_similarity=0.5)["pair_faults"] == [
        ["near_equal"]
    ]
