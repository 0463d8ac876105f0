from __future__ import annotations

import polars as pl
import pytest

from databuild.generate.respond import RespondConfig, sample_answers
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.protocol import Answer, Request, Sampling
from databuild.schema.identity import derive_seed


class Asked:
    """Answers through the fake model and remembers what was asked."""

    def __init__(self, **options) -> None:
        self.options, self.requests = FakeOptions(**options), []

    def __call__(self, requests):
        self.requests += requests
        return {answer.id: answer for answer in FakeGenerator(self.options).stream(requests)}


def respond(prompts, ask, **options):
    rows = pl.DataFrame({"row_id": [f"r{i}" for i in range(len(prompts))], "prompt": prompts})
    config = RespondConfig(model="start", **options)
    return sample_answers(rows, config, generator=ask, seed=7, models={"model": "fake@1"})


def test_requests_carry_the_derived_seed_and_the_sampling():
    ask = Asked()
    respond(["Hi"], ask, k=2, temperature=0.7, max_tokens=9, stop="END", system="Be kind.")
    assert [r.id for r in ask.requests] == ["r0-0", "r0-1"]
    assert [r.seed for r in ask.requests] == [derive_seed(7, "r0", k) for k in range(2)]
    assert [(m.role, m.content) for m in ask.requests[0].messages] == [
        ("system", "Be kind."),
        ("user", "Hi"),
    ]
    assert ask.requests[0].sampling == Sampling(temperature=0.7, max_tokens=9, stop=("END",))


def test_every_answer_says_how_it_was_drawn():
    made = respond(["Hi", "Write two bullets"], Asked(), k=3, temperature=0.5)
    assert made.rows.height == 6
    row = made.rows.row(4, named=True)
    assert row["parent_ids"] == ["r1"]
    assert {k: row[k] for k in ("k", "model", "temperature", "top_p", "max_tokens", "origin")} == {
        "k": 1,
        "model": "fake@1",
        "temperature": 0.5,
        "top_p": 1.0,
        "max_tokens": 256,
        "origin": "sampled",
    }
    assert row["sample_seed"] == derive_seed(7, "r1", 1)
    assert row["completion_tokens"] > 0


def test_every_request_ends_as_an_answer_or_failed():
    prompts = [f"prompt {i}" for i in range(40)]
    made = respond(prompts, Asked(refuse_ratio=0.2, time_out_ratio=0.2, truncate_ratio=0.2), k=2)
    assert made.rows.height + made.failed.height == 80
    assert set(made.rows["finish_reason"]) == {"stop", "length"}
    tried_again = dict(made.failed.select("error", "retry").rows())
    assert tried_again == {"timed out": True, "refused": False} or set(tried_again.values()) == {
        True,
        False,
    }
    assert made.failed["k"].is_between(0, 1).all()


def test_a_prompt_that_is_too_long_fails_and_is_not_tried_again():
    made = respond(["word " * 500], Asked(max_model_len=100))
    assert made.failed.select("error", "retry").rows() == [
        ("the prompt has 500 tokens, the context 100", False)
    ]


def test_an_empty_prompt_fails_once_and_is_not_asked():
    ask = Asked()
    made = respond([None, "  ", "Hi"], ask, k=2)
    assert len(ask.requests) == 2
    assert made.failed.select("parent_ids", "k", "error", "retry").rows() == [
        (["r0"], None, "the prompt is empty", False), (["r1"], None, "the prompt is empty", False),
    ]  # fmt: skip


def test_an_answer_that_never_came_is_tried_again_and_an_empty_one_is_an_answer():
    def ask(requests: list[Request]):
        return {requests[0].id: Answer(requests[0].id, "", "stop")}

    made = respond(["Hi", "Ho"], ask)
    assert made.rows["response"].to_list() == [""]
    assert made.failed.rows() == [(["r1"], 0, "the model gave no answer", True)]


def test_prompts_may_be_messages():
    ask = Asked()
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Go"},
    ]
    respond([turns], ask)
    assert [m.role for m in ask.requests[0].messages] == ["user", "assistant", "user"]
    made = respond([[{"role": "tool", "content": "x"}]], ask)
    assert made.failed["error"].to_list() == ["unknown role 'tool' in the prompt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0, "k": 2}, "temperature 0 gives the same answer 2 times"),
        ({"temperature": -1}, "greater than or equal to 0"),
        ({"top_p": 0}, "greater than 0"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
        ({"k": 0}, "greater than or equal to 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RespondConfig(model="start", **options)


def test_further_sampling_reaches_the_request_and_leaves_the_keys_of_old_recipes():
    ask = Asked()
    respond(["Hi"], ask, top_k=5, min_p=0.1, presence_penalty=0.5, repetition_penalty=1.2)
    sampling = ask.requests[0].sampling
    assert (sampling.top_k, sampling.min_p, sampling.presence_penalty) == (5, 0.1, 0.5)
    assert RespondConfig(model="start").model_dump(mode="json", exclude_defaults=True) == {
        "model": "start"
    }


def test_the_log_probability_is_kept_on_request():
    made = respond(["Hi", "Ho"], Asked(), logprobs=True).rows
    assert (made["logprob"] < 0).all()
    by_token = made["logprob"] / made["completion_tokens"]
    assert made["mean_logprob"].to_list() == pytest.approx(by_token.to_list())
    assert "logprob" not in respond(["Hi"], Asked()).rows.columns


def test_an_answer_that_breaks_the_form_is_a_failure_with_its_reason():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    made = respond(["Tell me of tea."] * 6, Asked(truncate_ratio=0.5), json_schema=schema)
    assert made.rows.height + made.failed.height == 6
    assert made.rows.height > 0
    assert set(made.failed.select("error", "retry").rows()) == {
        ("the answer was cut at max_tokens and is no JSON", False)
    }
    assert made.rows["response"].str.json_path_match("$.a").is_not_null().all()
    chosen = respond(["Is tea hot?"] * 9, Asked(), choice=["yes", "no"])
    assert set(chosen.rows["response"]) == {"yes", "no"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": -1}, "greater than or equal to 0"),
        ({"min_p": 1.5}, "less than or equal to 1"),
        ({"presence_penalty": 3}, "less than or equal to 2"),
        ({"repetition_penalty": 0}, "greater than 0"),
        ({"json_schema": {"type": "objct"}}, "json_schema, at type"),
        ({"regex": "(a"}, "missing \\)"),
        ({"choice": "yes", "regex": "yes"}, "one form, not regex and choice"),
    ],
)
def test_forms_and_sampling_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RespondConfig(model="start", **options)
