from __future__ import annotations

import json
import math

import polars as pl
import pytest
from pydantic import ValidationError

from databuild.errors import RecipeError
from databuild.models.protocol import Answer
from databuild.reward.judge import PROMPTS, JudgeConfig, judge_answers
from tests.laws.examples import FakeAsk
from tests.reward.asked import Scripted

ROW = {"row_id": "r", "prompt": "How many legs do 4 spiders have?", "response": "They have 32."}


def judge(rows, say, files=(), **options):
    ask = say if isinstance(say, Scripted | FakeAsk) else Scripted(say)
    config = JudgeConfig(model="start", **options)
    table = pl.DataFrame(rows, schema_overrides={"prompt": pl.String, "response": pl.String})
    return judge_answers(table, config, generator=ask, seed=7, files=files)


def test_the_scale_is_mapped_to_0_and_1_and_the_reply_held_to_it():
    ask = Scripted(lambda *_: "7")
    row = judge([ROW], ask).row(0, named=True)
    assert row["judge_level"] == 7
    assert row["judge_score"] == pytest.approx(6 / 9)
    request = ask.requests[0]
    assert request.sampling.choice == tuple(map(str, range(1, 11)))
    assert (request.sampling.temperature, request.seed) == (0.0, 0)
    ends = {said: judge([ROW], lambda *_, s=said: s, low=-1, high=3) for said in ("-1", "3")}
    assert [one["judge_score"][0] for one in ends.values()] == [0.0, 1.0]


def test_what_is_asked_shows_question_answer_reference_criteria_and_rubric():
    ask = Scripted(lambda *_: "3")
    row = ROW | {"gold": "32"}
    judge([row], ask, reference="gold", criteria=("It counts well.",), rubric={1: "wrong"}, high=5)
    text = ask.requests[0].messages[-1].content
    for shown in (
        *(row[c] for c in ("prompt", "response", "gold")),
        "- It counts well.",
        "1: wrong",
    ):
        assert shown in text
    judge([ROW], ask)
    plain = ask.requests[1].messages[-1].content
    assert "Reference" not in plain
    assert "Criteria" not in plain
    judge([ROW | {"prompt": "四只蜘蛛有几条腿？", "response": "三十二条。"}], ask)
    assert "请评判" in ask.requests[2].messages[-1].content


def test_reasons_come_first_and_are_kept():
    reply = json.dumps({"reasons": "It counts well.", "score": 10})
    ask = Scripted(lambda *_: reply)
    row = judge([ROW], ask, reasons=True, name="rm").row(0, named=True)
    assert (row["rm_score"], row["rm_reason"]) == (1.0, "It counts well.")
    schema = json.loads(ask.requests[0].sampling.json_schema)
    assert list(schema["properties"]) == ["reasons", "score"]
    free = Scripted(lambda *_: "It counts well.\nSCORE: 1")
    row = judge([ROW], free, reasons=True, structured=False).row(0, named=True)
    assert (row["judge_score"], row["judge_reason"]) == (0.0, "It counts well.")
    assert not free.requests[0].sampling.has_form
    assert "SCORE" in free.requests[0].messages[-1].content


def test_a_judge_that_never_answers_in_the_format_fails_the_row_and_not_the_run():
    ask = Scripted(lambda _, text: "7" if "32" in text else "As an AI I love spiders.")
    rows = [ROW, ROW | {"row_id": "s", "response": "They have legs."}]
    found = judge(rows, ask, temperature=0.7, tries=3)
    assert found["judge_score"].to_list() == [pytest.approx(6 / 9), None]
    assert found["error"].to_list() == [None, "the judgement cannot be read"]
    assert found["retry"].to_list() == [False, False]
    assert len(ask.requests) == 4
    assert len({(one.id, one.seed) for one in ask.requests}) == 4


def test_at_temperature_0_another_try_would_say_the_same():
    ask = Scripted(lambda *_: "?")
    judge([ROW], ask, tries=3)
    assert len(ask.requests) == 1


def test_a_second_try_is_taken():
    ask = Scripted(lambda request, _: "5" if "try1" in request.id else "Well ...")
    assert judge([ROW], ask, temperature=0.7)["judge_level"].to_list() == [5.0]


def test_a_passing_trouble_is_worth_another_run_and_a_cut_reply_is_named():
    rows = [ROW | {"row_id": name} for name in ("cut", "refused", "timed")]

    def say(request, _):
        kind = request.id.split("-")[0]
        if kind == "cut":
            return Answer(request.id, '{"reasons": "It is', "length")
        finish = "refused" if kind == "refused" else "error"
        return Answer(request.id, None, finish, error=f"{kind} out")

    found = judge(rows, say, reasons=True)
    told = found.select("row_id", "error", "retry").rows()
    assert told == [
        ("cut", "the judgement was cut at max_tokens", False),
        ("refused", "refused out", False),
        ("timed", "timed out", True),
    ]


def test_a_score_that_may_have_been_cut_is_none():
    # "SCORE: 1" may have become "SCORE: 10".
    found = judge([ROW], lambda r, _: Answer(r.id, "Fine. SCORE: 1", "length"), structured=False)
    assert found["error"].to_list() == ["the judgement was cut at max_tokens"]
    whole = judge([ROW], lambda r, _: Answer(r.id, "SCORE: 1. Next", "length"), structured=False)
    assert whole["judge_level"].to_list() == [1.0]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"prompt": None}, "the prompt is empty"),
        ({"prompt": " "}, "the prompt is empty"),
        ({"response": None}, "there is no answer"),
        ({"response": "\n"}, "there is no answer"),
    ],
)
def test_nothing_is_asked_about_nothing(change, error):
    ask = Scripted(lambda *_: "7")
    found = judge([ROW | change], ask)
    assert found.select("judge_score", "error").rows() == [(None, error)]
    assert not ask.requests


def weighted(shares):
    """A judge whose model finds each level as likely as `shares` say."""

    def say(request, _):
        (level,) = request.sampling.choice
        return Answer(request.id, level, "stop", 5, 1, logprob=math.log(shares[level]))

    return say


def test_the_expectation_weighs_every_level_by_its_probability():
    # G-Eval, section 3.3: 1 with 0.1, 2 with 0.2, 3 with 0.1; the rest of the mass is elsewhere.
    found = judge([ROW], weighted({"1": 0.1, "2": 0.2, "3": 0.1}), expectation=True, high=3)
    assert found["judge_level"][0] == pytest.approx(2.0)
    assert found["judge_score"][0] == pytest.approx(0.5)
    found = judge([ROW], weighted({"1": 0.3, "2": 0.1}), expectation=True, high=2)
    assert found["judge_level"][0] == pytest.approx(1.25)


def test_an_engine_without_log_probabilities_or_choices_is_named():
    no_logprobs = judge([ROW], lambda r, _: r.sampling.choice[0], expectation=True)
    assert "log-probability" in no_logprobs["error"][0]
    assert no_logprobs["judge_score"][0] is None
    no_choice = judge([ROW], lambda *_: "Well", expectation=True)
    assert no_choice["error"].to_list() == ["the judgement cannot be read"]
    # Every forced reply is certain after it was forced: that is no expectation of 1.5.
    after = judge([ROW], weighted({"1": 1.0, "2": 1.0}), expectation=True, high=2)
    assert "after the choice" in after["error"][0]
    assert after["judge_score"].to_list() == [None]


def test_the_turns_before_the_answer_are_shown():
    talk = [
        {"role": "user", "content": "How many legs has a spider?"},
        {"role": "assistant", "content": "Eight."},
        {"role": "user", "content": "And four of them?"},
        {"role": "assistant", "content": "32."},
    ]
    ask = Scripted(lambda *_: "7")
    judge(
        [{"row_id": "r", "prompt": "And four of them?", "response": "32.", "messages": talk}], ask
    )
    assert "How many legs has a spider?" in ask.requests[0].messages[-1].content


def test_what_cannot_be_is_refused_before_anything_runs(tmp_path):
    for options, message in (
        ({"low": 5, "high": 5}, "has to rise"),
        ({"rubric": {11: "superb"}}, "11 is not on the scale"),
        ({"expectation": True, "reasons": True}, "reasons: true"),
        ({"expectation": True, "structured": False}, "structured: false"),
        ({"name": "1st"}, "name"),
        ({"temperature": -1}, "temperature"),
    ):
        with pytest.raises(ValidationError, match=message):
            JudgeConfig(model="start", **options)
    wrong = tmp_path / "score.en.md"
    wrong.write_text("## user\n{{ answer }}\n", "utf-8")
    with pytest.raises(RecipeError, match="unknown placeholder 'answer'"):
        PROMPTS.check([wrong])


def test_a_prompt_of_the_users_own_is_asked(tmp_path):
    own = tmp_path / "score.md"
    own.write_text("## user\nRate {{ response }} from {{ low }} to {{ high }}.\n", "utf-8")
    ask = Scripted(lambda *_: "3")
    judge([ROW], ask, files=(own,), high=5)
    assert ask.requests[0].messages[-1].content == "Rate They have 32. from 1 to 5."


@pytest.mark.parametrize("reasons", [False, True])
@pytest.mark.parametrize("structured", [False, True])
def test_the_fake_model_judges_in_every_form(reasons, structured):
    rows = [
        ROW | {"row_id": "good", "response": "Four spiders have many legs, that is 32 of them."},
        ROW | {"row_id": "bad", "response": "no"},
        {"row_id": "zh", "prompt": "蜘蛛有几条腿？", "response": "蜘蛛有八条腿。"},
    ]
    found = judge(rows, FakeAsk(skill_ratio=1), reasons=reasons, structured=structured)
    assert found["error"].to_list() == [None] * 3
    good, bad, _ = found["judge_score"].to_list()
    assert good > bad
