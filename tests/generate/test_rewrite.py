from __future__ import annotations

import polars as pl
import pytest
from pydantic import ValidationError

from databuild.generate.rewrite import EVOLVING, RewriteConfig, rewrite_rows
from databuild.models.protocol import Answer

SKY = "Why is the sky blue?"


class Scripted:
    """Answers what a function says of (stage, text asked); remembers the requests."""

    def __init__(self, say) -> None:
        self.say, self.requests = say, []

    def __call__(self, requests):
        self.requests += requests
        told = {r.id: self.say(r.id, r.messages[-1].content) for r in requests}
        return {
            name: one if isinstance(one, Answer) else Answer(name, one, "stop", 5, 2)
            for name, one in told.items()
        }


def rewrite(rows, say, files=(), **options):
    ask = say if isinstance(say, Scripted) else Scripted(say)
    config = RewriteConfig(model="start", **options)
    table = pl.DataFrame(rows)
    models = {"model": "fake@1"}
    return rewrite_rows(table, config, generator=ask, seed=7, models=models, files=files)


def one(text, **more):
    return [{"row_id": "r", "prompt": text, **more}]


def test_a_rewrite_says_how_it_was_made():
    made = rewrite(one(SKY), lambda *_: "#New Text#\nWhat makes the sky blue?").rows.row(
        0, named=True
    )
    assert made["parent_ids"] == ["r"]
    assert made["prompt"] == "What makes the sky blue?"
    assert (made["how"], made["origin"], made["k"]) == ("paraphrase", "rewritten", 0)
    assert made["prompt_name"] == "paraphrase.en"
    assert len(made["prompt_digest"]) == 16


def test_rows_are_asked_in_their_language():
    ask = Scripted(lambda *_: "x")
    rewrite(one("为什么天是蓝的？"), ask, how="harder", tries=1)
    assert "#给定提示#\n为什么天是蓝的？" in ask.requests[0].messages[-1].content


def test_back_translation_goes_there_and_back_and_pays_for_both():
    def say(name, prompt):
        if "translate_back" in name:
            assert "天为什么是蓝的？" in prompt
            assert "into English" in prompt
            return "What makes the sky look blue?"
        assert "into Chinese" in prompt
        return "天为什么是蓝的？"

    made = rewrite(one(SKY), say, how="back_translation").rows.row(0, named=True)
    assert made["prompt"] == "What makes the sky look blue?"
    assert (made["prompt_tokens"], made["completion_tokens"]) == (10, 4)
    assert made["prompt_name"] == "translate_back.en"


def test_an_answer_survives_where_the_meaning_does_and_nowhere_else():
    talk = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": SKY},
        {"role": "assistant", "content": "Air scatters it."},
    ]
    rows = one(SKY, response="Air scatters it.", chosen="c", messages=talk, note="n")
    new = {"paraphrase": "What makes the sky blue?", "deeper": "Why is a clear sky blue at noon?"}
    made = rewrite(rows, lambda name, _: new[name.split("-")[1]], how=["paraphrase", "deeper"]).rows
    kept, asked = made.sort("how", descending=True).iter_rows(named=True)
    assert kept["response"] == "Air scatters it."
    assert kept["chosen"] == "c"
    assert kept["messages"] == [talk[0], {"role": "user", "content": new["paraphrase"]}, talk[2]]
    assert asked["response"] is None
    assert asked["chosen"] is None
    assert asked["messages"] == [talk[0], {"role": "user", "content": new["deeper"]}]


def test_an_answer_can_be_paraphrased_and_its_conversation_says_so():
    talk = [{"role": "user", "content": SKY}, {"role": "assistant", "content": "Air scatters it."}]
    rows = one(SKY, response="Air scatters it.", messages=talk)
    made = rewrite(rows, lambda *_: "The air spreads blue light.", column="response").rows
    assert (
        made["messages"][0][-1]["content"] == made["response"][0] == "The air spreads blue light."
    )


def test_a_fault_is_asked_again_and_named_when_it_stays():
    ask = Scripted(lambda name, _: "What makes it blue?" if "try1" in name else SKY)
    made = rewrite(one(SKY), ask)
    assert made.rows["prompt"].to_list() == ["What makes it blue?"]
    assert made.rows["prompt_tokens"].to_list() == [10]
    assert len({r.seed for r in ask.requests}) == 2
    stays = rewrite(one(SKY), Scripted(lambda *_: SKY), tries=3)
    assert stays.rows.is_empty()
    assert stays.failed.rows() == [(["r"], 0, "paraphrase, equal to the original", False)]
    greedy = Scripted(lambda *_: SKY)
    rewrite(one(SKY), greedy, tries=3, temperature=0)
    assert len(greedy.requests) == 1


def test_trouble_with_the_engine_may_be_tried_again_and_a_refusal_not():
    ends = {"a": "error", "b": "refused"}
    rows = [{"row_id": name, "prompt": SKY} for name in ends]
    say = lambda name, _: Answer(name, None, ends[name[0]], error="trouble")  # noqa: E731
    failed = rewrite(rows, say, how="back_translation").failed
    assert dict(failed.select(pl.col("parent_ids").list.first(), "retry").iter_rows()) == {
        "a": True,
        "b": False,
    }


def test_a_failed_translation_is_not_translated_back():
    ask = Scripted(lambda *_: "I'm sorry, but I can't help with that.")
    failed = rewrite(one(SKY), ask, how="back_translation", tries=1).failed
    assert failed["error"].to_list() == ["back_translation, the translation is a refusal"]
    assert not [r for r in ask.requests if "translate_back" in r.id]


def test_equal_rewrites_of_a_row_count_once():
    made = rewrite(one(SKY), lambda *_: "What makes the sky blue?", k=3)
    assert made.rows["k"].to_list() == [0]
    assert set(made.failed["error"]) == {"paraphrase, nearly equal to another rewrite of the row"}


def test_every_row_is_accounted_for_in_any_batch():
    rows = [
        {"row_id": f"r{i}", "prompt": text} for i, text in enumerate([SKY, None, "", "🌈", "?"])
    ]
    say = lambda *_: "What makes the sky blue?"  # noqa: E731
    made = rewrite(rows, say)
    failed = made.failed["parent_ids"].list.first().to_list()
    assert made.rows["parent_ids"].list.first().to_list() == ["r0"]
    assert failed == ["r1", "r2", "r3", "r4"]
    alone = rewrite(rows[:1], say)
    assert alone.rows.equals(made.rows)


def test_own_prompts_are_sent_and_named(tmp_path):
    own = tmp_path / "paraphrase.md"
    own.write_text("## user\nAnders: {{ text }}\n")
    ask = Scripted(lambda *_: "What makes it blue?")
    made = rewrite(one(SKY), ask, files=(own,))
    assert ask.requests[0].messages[-1].content == f"Anders: {SKY}"
    assert made.rows["prompt_name"].to_list() == ["paraphrase"]


@pytest.mark.parametrize(
    "options",
    [
        {"how": []},
        {"how": ["deeper", "deeper"]},
        {"how": "shorter"},
        {"how": "deeper", "column": "response"},
        {"temperature": 0, "k": 2},
        {"length_ratio": [1.5, 2]},
    ],
)
def test_senseless_options_are_refused(options):
    with pytest.raises(ValidationError):
        RewriteConfig(model="start", **options)


def test_the_ways_that_evolve_are_the_ones_of_the_paper():
    assert {"deeper", "broader", "harder"} == EVOLVING
