"""What all steps that ask a model share."""

from __future__ import annotations

import polars as pl
import pytest
from pydantic import ValidationError

from databuild.generate.answering import Failures, SamplingConfig, answers_to, asked_in, want
from databuild.models.protocol import Answer, Message, Sampling

HI = (Message("user", "Hi"),)


def test_the_seed_of_a_draw_is_that_of_its_row_stage_and_place():
    sampling = Sampling(temperature=1.0)
    draws = [
        want("a", 0, HI, sampling, 7),
        want("a", 1, HI, sampling, 7),
        want("b", 0, HI, sampling, 7),
        want("a", 0, HI, sampling, 8),
        want("a", 0, HI, sampling, 7, stage="again"),
    ]
    assert len({one.request.seed for one in draws}) == 5
    assert [one.request.id for one in draws] == ["a-0", "a-1", "b-0", "a-0", "a-again-0"]
    assert want("a", 3, HI, Sampling(temperature=0.0), 7).request.seed == 0


def test_what_has_no_text_is_a_failure_and_the_rest_keeps_its_order():
    wanted = [want(row, 0, HI, Sampling(), 7, about=row.upper()) for row in "abcd"]
    answers = {
        "d-0": Answer("d-0", "yes", "stop"),
        "a-0": Answer("a-0", "", "stop"),
        "b-0": Answer("b-0", None, "refused", error="too long"),
        "c-0": Answer("c-0", None, "error", error="timed out"),
    }
    failures = Failures()
    found = answers_to(wanted, lambda _: answers, failures)
    assert [(one.about, answer.text) for one, answer in found] == [("A", ""), ("D", "yes")]
    assert failures.frame().rows() == [
        (["b"], 0, "too long", False),
        (["c"], 0, "timed out", True),
    ]


def test_an_answer_that_never_came_is_tried_again():
    failures = Failures()
    assert answers_to([want("a", 0, HI, Sampling(), 7)], lambda _: {}, failures) == []
    assert failures.frame().rows() == [(["a"], 0, "the model gave no answer", True)]


def test_sampling_out_of_range_is_refused_with_the_options():
    with pytest.raises(ValidationError, match="temperature"):
        SamplingConfig(model="start", temperature=-1)


def test_the_language_to_ask_in():
    rows = pl.DataFrame(
        {
            "prompt": [
                "请解释 Python 的 GIL",
                "Explain 世界 in one word please",
                None,
                "😀",
                "空は青い",
            ],
            "text": ["", None, "为什么天空是蓝色的?", None, "なぜ"],
        }
    )
    found = rows.select(asked_in("auto", ["prompt", "text"]))["language"].to_list()
    assert found == ["zh", "en", "zh", "en", "en"]
    assert rows.select(asked_in("zh", ["prompt"]))["language"].unique().to_list() == ["zh"]
