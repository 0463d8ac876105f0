from __future__ import annotations

import json
import math

import polars as pl
import pytest

from databuild.models.protocol import Answer
from databuild.reward.compare import PairwiseConfig, compare_answers
from tests.laws.examples import FakeAsk
from tests.reward.asked import Scripted

PAIR = {"row_id": "p", "prompt": "2 + 2?", "response_a": "It is 4.", "response_b": "It is 5."}


def compare(rows, say, **options):
    ask = say if isinstance(say, Scripted | FakeAsk) else Scripted(say)
    config = PairwiseConfig(model="start", **options)
    return compare_answers(pl.DataFrame(rows), config, generator=ask, seed=7, files=())


def knows(_request, text):
    """A judge without bias: the answer that says 4 is better."""
    first = text.index("It is 4.") < text.index("It is 5.")
    return "A" if first else "B"


def test_both_orders_are_asked_and_agree():
    ask = Scripted(knows)
    found = compare([PAIR], ask)
    row = found.table.row(0, named=True)
    assert (row["compare_preference"], row["compare_consistent"], row["compare_first"]) == (
        1,
        True,
        0.5,
    )
    texts = [one.messages[-1].content for one in ask.requests]
    assert len(texts) == 2
    assert texts[0].index("It is 4.") < texts[0].index("It is 5.")
    assert texts[1].index("It is 4.") > texts[1].index("It is 5.")
    assert ask.requests[0].sampling.choice == ("A", "B", "tie")
    worse = PAIR | {"response_a": "It is 5.", "response_b": "It is 4."}
    assert compare([worse], knows).table["compare_preference"].to_list() == [-1]


def test_a_judge_who_always_picks_the_first_prefers_nothing_and_is_found_out():
    pairs = [PAIR | {"row_id": f"p{i}"} for i in range(40)]
    found = compare(pairs, lambda *_: "A")
    assert set(found.table["compare_preference"]) == {0.0}
    assert not any(found.table["compare_consistent"])
    assert set(found.table["compare_first"]) == {1.0}
    assert found.facts["position"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 80}
    assert (found.facts["pairs"], found.facts["ties"], found.facts["consistent"]) == (40, 0, 0)


def test_the_interval_of_the_position_bias_holds_the_half_of_a_fair_judge():
    pairs = [PAIR | {"row_id": f"p{i}"} for i in range(20)]
    told = compare(pairs, knows).facts["position"]
    assert told == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 40}


def test_ties_count_half_and_are_told():
    found = compare([PAIR], lambda *_: "tie")
    row = found.table.row(0, named=True)
    assert (row["compare_preference"], row["compare_consistent"], row["compare_first"]) == (
        0,
        True,
        0.5,
    )
    assert found.facts["ties"] == 1
    assert "position" not in found.facts
    one_tie = compare([PAIR], lambda r, _: "tie" if r.id.endswith("ba-0") else "A")
    assert one_tie.table["compare_preference"].to_list() == [0.5]
    assert one_tie.table["compare_consistent"].to_list() == [False]


def test_without_ties_a_tie_cannot_be_read():
    ask = Scripted(lambda *_: "tie")
    found = compare([PAIR], ask, ties=False)
    assert ask.requests[0].sampling.choice == ("A", "B")
    assert "tie" not in ask.requests[0].messages[-1].content
    assert found.table["error"].to_list() == ["the judgement cannot be read"]
    assert (found.facts["unreadable"], found.facts["pairs"]) == (1, 0)


def test_one_order_without_a_judgement_fails_the_pair():
    def say(request, text):
        return "Hm." if request.id.endswith("ba-0") else knows(request, text)

    found = compare([PAIR, PAIR | {"row_id": "q", "response_b": " "}], say)
    assert found.table["compare_preference"].to_list() == [None, None]
    assert found.table["error"].to_list() == [
        "the judgement cannot be read",
        "there are no two answers",
    ]
    assert (found.facts["unreadable"], found.facts["failed"]) == (1, 1)
    timed = compare([PAIR], lambda r, _: Answer(r.id, None, "error", error="timed out"))
    assert timed.table.select("error", "retry").rows() == [("timed out", True)]


def test_the_expectation_cancels_a_position_bias_that_is_only_strong():
    def say(request, text):
        (word,) = request.sampling.choice
        likes = {"A": 9.0, "B": 1.0, "tie": 0.0001}  # nine to one for the first shown ...
        likes["A" if knows(request, text) == "A" else "B"] *= 2  # ... and the right one twice that
        return Answer(request.id, word, "stop", 5, 1, logprob=math.log(likes[word] / 30))

    found = compare([PAIR], say, expectation=True)
    ab, ba = (18 - 1) / 19, (9 - 2) / 11
    assert found.table["compare_preference"][0] == pytest.approx((ab - ba) / 2, abs=1e-4)
    assert found.table["compare_preference"][0] > 0
    assert found.table["compare_first"].to_list() == [1.0]


def test_reasons_of_both_orders_are_kept():
    def say(request, text):
        return json.dumps({"reasons": f"in {request.id[-4:-2]}", "verdict": knows(request, text)})

    row = compare([PAIR], say, reasons=True, name="c").table.row(0, named=True)
    assert (row["c_preference"], row["c_reason"]) == (1.0, "in ab\n\nin ba")


@pytest.mark.parametrize("reasons", [False, True])
@pytest.mark.parametrize("structured", [False, True])
def test_the_fake_model_compares_in_every_form(reasons, structured):
    pairs = [
        PAIR | {"prompt": "Why does rain fall?", "response_a": "Rain falls since drops are heavy."},
        PAIR | {"row_id": "zh", "prompt": "为什么下雨？", "response_a": "因为水滴很重，所以下雨。"},
    ]
    found = compare(pairs, FakeAsk(skill_ratio=1), reasons=reasons, structured=structured)
    assert found.table["compare_preference"].to_list() == [1.0, 1.0]
    assert found.table["compare_consistent"].to_list() == [True, True]
