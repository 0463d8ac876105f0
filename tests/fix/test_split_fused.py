from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.errors import SchemaError
from databuild.fix.split_fused import SplitFusedConfig, split_fused_rows
from databuild.text.fused import take_apart


def split(prompts, responses=None, **options):
    ids = [f"r{i}" for i in range(len(prompts))]
    rows = pl.DataFrame({"row_id": ids, "prompt": pl.Series(prompts, dtype=pl.String)})
    if responses is not None:
        rows = rows.with_columns(response=pl.Series(responses, dtype=pl.String))
    return split_fused_rows(rows, SplitFusedConfig(**options)).rows


def pairs(*args, **options):
    return split(*args, **options).select("prompt", "response").rows()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Q: Why?\nA: So.\n\nQ: How?\nA: Thus.", [("Why?", "So."), ("How?", "Thus.")]),
        ("Question 1: Why?\nAnswer 1: So.\nQuestion 2: How?\nAnswer 2: Thus.", [("Why?", "So."), ("How?", "Thus.")]),
        ("### Instruction:\nAdd.\n### Input:\n1, 2\n### Response:\n3", [("Add.\n\n1, 2", "3")]),
        ("Instruction: Go.\nInput: <noinput>\nOutput: Gone.", [("Go.", "Gone.")]),
        ("问：天？\n答：蓝。\n问：海？\n答：也蓝。", [("天？", "蓝。"), ("海？", "也蓝。")]),
        ("**Q:** Why?\n**A:** So.", [("Why?", "So.")]),
        ("About cats.\nQ: Why?\nA: So.", [("About cats.\n\nWhy?", "So.")]),
        ("Q: Code?\nA: ```\nQ: no\nA: no\n``` yes", [("Code?", "```\nQ: no\nA: no\n``` yes")]),
    ],
)  # fmt: skip
def test_a_prompt_that_holds_its_answers_becomes_pairs(text, wanted):
    assert pairs([text]) == wanted
    assert pairs([text], [" "]) == wanted


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Q: a\nA: b\nQ: c\nA:", "d"),  # examples before a question
        ("Q: a\nA: b\nQ: c\nA:", None),
        ("Q: a\nQ: b\nA: c", None),
        ("A: b\nQ: a", None),
        ("Write a plan: Q: a A: b", None),
        ("make questions", "Sure:\nQ: a\nA: b\nQ: c\nA: d"),
        ("show the format", "Instruction: a\nOutput: b"),  # nothing answers the prompt before it
        (None, None),
        ("", ""),
    ],
)
def test_what_is_no_fused_row_comes_through_as_it_is(prompt, response):
    made = split([prompt], [response])
    assert made.select("prompt", "response", "fixes").rows() == [(prompt, response, [])]


def test_a_model_that_went_on_asking_is_taken_apart_and_a_broken_end_is_noted():
    answer = "First.\n\nInstruction: Next\nOutput: Second.\n\nInstruction: Broken o"
    made = split(["Start", "x"], [answer, "y"])
    assert made.select("parent_ids", "prompt", "response").rows() == [
        (["r0"], "Start", "First."), (["r0"], "Next", "Second."), (["r1"], "x", "y"),
    ]  # fmt: skip
    assert made["fixes"].to_list()[0] == [
        {"column": "prompt", "fix": "split_fused", "n": 2},
        {"column": "prompt", "fix": "split_fused.tail", "n": len("Instruction: Broken o")},
    ]
    assert made["fixes"].to_list()[2] == []


def test_the_labels_can_be_chosen():
    text = "Q: Why?\nA: So."
    assert pairs([text], in_prompt=["instruction"]) == [(text, None)]
    assert pairs(["p"], [f"Yes.\n{text}"], in_response=["question"]) == [
        ("p", "Yes."),
        ("Why?", "So."),
    ]


PIECES = st.sampled_from(
    ["Q: ", "A: ", "\n", "Instruction: ", "Output: ", "Input: ", "问：", "答：", "x", "天", "```", " ", "**Q:** ", "### Response:", "🙂", "<noinput>"]
)  # fmt: skip
TEXT = st.one_of(st.none(), st.lists(PIECES, max_size=14).map("".join))


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3))
def test_a_second_time_changes_nothing_and_no_parent_is_lost(rows):
    once = split(*zip(*rows, strict=True))
    assert once["parent_ids"].explode().unique().len() == len(rows)
    twice = split(once["prompt"].to_list(), once["response"].to_list())
    assert twice.select("prompt", "response").equals(once.select("prompt", "response"))


def test_columns_that_are_no_text_are_refused_and_one_of_nulls_is_text():
    rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Q: a\nA: b"], "response": [None], "n": [1]})
    assert split_fused_rows(rows, SplitFusedConfig()).rows["response"].to_list() == ["b"]
    with pytest.raises(SchemaError, match="the column 'n' is Int64, not text"):
        split_fused_rows(rows, SplitFusedConfig(response="n"))


def test_take_apart_keeps_everything_between_the_labels():
    found = take_apart("head\nQ: a\nA: b\nc\nQ: d")
    assert found is not None
    assert (found.head, found.pairs[0].response, found.tail) == ("head", "b\nc", "Q: d")
