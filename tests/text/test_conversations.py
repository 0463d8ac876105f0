"""Steps that compare prompts tell conversations apart by what was said before."""

from __future__ import annotations

import polars as pl
import pytest

from databuild.dedup.exact import ExactConfig, drop_exact_duplicates
from databuild.dedup.minhash import MinhashConfig, drop_near_duplicates
from databuild.generate.respond import RespondConfig, sample_answers
from databuild.models.protocol import Answer
from databuild.pairs.best import BestConfig, select_best_answers
from databuild.pairs.graded import GradedConfig, make_graded_pairs
from databuild.schema.rows import MESSAGES
from databuild.text.conversations import asked, context

RAIN = [("user", "Why does it rain?"), ("assistant", "Clouds cool down."), ("user", "Go on")]
SNOW = [("system", "Be brief."), ("user", "What is snow made of?"), ("user", "Go on")]


def talk(turns, answer=None):
    turns = [*turns, ("assistant", answer)] if answer else turns
    return [{"role": role, "content": content} for role, content in turns]


def answers():
    """Four answers to "Go on" in two conversations, two to the text alone."""
    said = [(RAIN, "x"), (RAIN, "y"), (SNOW, "x"), (SNOW, "z"), (None, "x"), (None, "w")]
    return pl.DataFrame({
        "row_id": list("abcdef"),
        "prompt": ["Go on"] * 6,
        "response": [answer for _, answer in said],
        "messages": pl.Series([talk(t, a) if t else None for t, a in said], dtype=MESSAGES),
        "verify_score": [0.9, 0.1, 0.4, 0.6, 0.3, 0.2],
    })  # fmt: skip


def test_the_best_answer_is_that_of_its_conversation():
    out = select_best_answers(answers(), BestConfig(origin=None)).table
    assert out.filter(part="kept")["row_id"].to_list() == ["a", "d", "e"]
    out = select_best_answers(answers(), BestConfig(origin=None, messages=None)).table
    assert out.filter(part="kept")["row_id"].to_list() == ["a"]


def test_pairs_are_of_one_conversation_and_keep_what_was_said_before():
    config = GradedConfig(origin=None, passes=None)
    rows = answers().with_columns(tools=pl.lit("[]"))
    made = make_graded_pairs(rows, config).rows.sort("parent_ids")
    assert made["parent_ids"].to_list() == [["a", "b"], ["d", "c"], ["e", "f"]]
    roles = made["messages"].list.eval(pl.element().struct.field("role")).to_list()
    assert roles == [["user", "assistant", "user"], ["system", "user", "user"], None]
    assert made["tools"].to_list() == ["[]"] * 3
    plain = make_graded_pairs(answers().drop("messages"), config).rows
    assert plain.height == 1
    assert "messages" not in plain.columns


@pytest.mark.parametrize("columns", [("prompt",), ("prompt", "response")])
def test_equal_prompts_of_different_conversations_are_no_duplicates(columns):
    rows = answers()
    out = drop_exact_duplicates(rows, ExactConfig(columns=columns)).table
    kept = out.filter(part="kept").height
    assert kept == (3 if columns == ("prompt",) else 6)
    found = drop_exact_duplicates(rows, ExactConfig(columns=("response",))).table
    assert found["part"].to_list() == [*("kept", "kept", "dropped", "kept", "dropped", "kept")]


def test_near_duplicates_are_those_of_the_whole_conversation():
    out = drop_near_duplicates(answers(), MinhashConfig()).table
    assert out.filter(part="kept").height == 3
    bare = drop_near_duplicates(answers(), MinhashConfig(messages=None)).table
    assert bare.filter(part="kept").height == 1


def test_a_conversation_is_asked_whole_and_a_prompt_as_it_is():
    rows = answers().filter(pl.col("row_id").is_in(["a", "c", "e"]))
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "name": "f"}]}
    turns = pl.Series([[called, *talk(RAIN)], talk([("system", "Hm.")])], dtype=MESSAGES)
    odd = pl.DataFrame({"row_id": ["g", "h"], "prompt": ["Go on"] * 2, "messages": turns})
    asked_for = {}

    def ask(requests):
        asked_for.update({r.id[0]: [(m.role, m.content) for m in r.messages] for r in requests})
        return {r.id: Answer(r.id, "Then it snows.", "stop") for r in requests}

    config = RespondConfig(model="m", temperature=0, system="Be kind.")
    rows = pl.concat([rows, odd], how="diagonal")
    made = sample_answers(rows, config, generator=ask, seed=1, models={"model": "m@1"})
    assert asked_for == {
        "a": [("system", "Be kind."), *RAIN],
        "c": SNOW,
        "e": [("system", "Be kind."), ("user", "Go on")],
    }
    said = made.rows["messages"].list.eval(pl.element().struct.field("content")).to_list()
    assert said[0] == [*(content for _, content in RAIN), "Then it snows."]
    assert said[2] is None
    assert made.rows.schema["messages"] == MESSAGES
    assert made.failed is not None
    assert dict(made.failed.select(pl.col("parent_ids").list.first(), "error").rows()) == {
        "g": "the prompt has calls of tools, which cannot be asked", "h": "the prompt is empty",
    }  # fmt: skip


@pytest.mark.parametrize("column", [["Hi"], [["Hi"]], [[{"from": "me"}]], [None]])
def test_other_columns_of_that_name_are_left_alone(column):
    rows = pl.DataFrame({"prompt": ["Hi"], "messages": column})
    assert rows.select(context(rows, "messages")).item() is None
    assert rows.select(asked(rows, "prompt", "messages")).item() == "Hi"
    assert context(rows.head(0), "messages") is not None
    assert rows.head(0).select(asked(rows, "prompt", "messages")).is_empty()


def test_pairs_without_conversations_keep_their_tools():
    rows = answers().drop("messages").with_columns(tools=pl.lit("[]"))
    made = make_graded_pairs(rows, GradedConfig(origin=None, passes=None)).rows
    assert made["tools"].to_list() == ["[]"]
