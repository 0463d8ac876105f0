"""Whatever a model answers, every row of every step is a parent, a failure or dropped."""

from __future__ import annotations

import polars as pl
import pytest

from databuild.generate.critique import CritiqueConfig, revise_answers
from databuild.generate.from_documents import FromDocumentsConfig, write_questions
from databuild.generate.reason import ReasonConfig, reason_out
from databuild.generate.respond import RespondConfig, sample_answers
from databuild.generate.rewrite import RewriteConfig, rewrite_rows
from databuild.generate.self_instruct import SelfInstructConfig, bootstrap_instructions
from databuild.models.protocol import Answer

ROWS = pl.DataFrame(
    {"row_id": ["a", "b"], "prompt": ["Why is tea hot, and how hot?", "为什么茶是热的？"],
     "instruction": ["Name three yellow fruits.", "写一首关于雨的诗。"],
     "response": ["Because of the kettle.", "因为用开水泡。"], "gold": ["12", "7"],
     "text": ["Tea is made with water that has boiled. It cools within an hour.",
              "泡茶用的是开水。一个小时以后茶就凉了。"]},
)  # fmt: skip
LOOP = "and so on " * 60
BAD = {
    "looping": (LOOP, "length"),
    "looping, ended": (LOOP, "stop"),
    "looping steps": ("Step 1: 2 + 2 = 4\n" * 40, "stop"),
    "empty": ("", "stop"),
    "blank": (" \n\t", "stop"),
    "half JSON": ('{"question": "Why', "length"),
    "signs": ("\ufffd\u200b\u202e\x00🙂", "stop"),
    "open thoughts": ("<think>" * 3, "stop"),
    "a refusal": ("I'm sorry, but I can't help with that.", "stop"),
}
SEARCH = {"search": {"width": 2, "branch": 2, "depth": 3}}
STEPS = {
    "rewrite": (rewrite_rows, RewriteConfig(model="m", how=("paraphrase", "deeper"))),
    "critique": (revise_answers, CritiqueConfig(model="m", rounds=2)),
    "reason": (reason_out, ReasonConfig(model="m", answer="gold", k=2)),
    "search": (reason_out, ReasonConfig.model_validate({"model": "m", "k": 2, **SEARCH})),
    "votes": (
        reason_out,
        ReasonConfig.model_validate(
            {"model": "m", "search": {**SEARCH["search"], "score": "votes"}}
        ),
    ),
    "documents": (write_questions, FromDocumentsConfig(model="m")),
    "self_instruct": (
        bootstrap_instructions,
        SelfInstructConfig(model="m", target=2, patience=1, heads=1),
    ),
}


@pytest.mark.parametrize("answer", BAD)
@pytest.mark.parametrize("step", STEPS)
def test_no_answer_is_too_bad(step, answer):
    text, finish = BAD[answer]

    def ask(requests):
        return {one.id: Answer(one.id, text, finish, 5, 9) for one in requests}

    run, config = STEPS[step]
    made = run(ROWS, config, generator=ask, seed=7, models={"model": "m@1"}, files=())
    assert made.rows.is_empty() or step == "critique"
    seen = set(made.rows["parent_ids"].explode()) if made.rows.height else set()
    if made.failed is not None:
        seen |= set(made.failed["parent_ids"].explode())
        assert made.failed["error"].str.len_chars().min() or made.failed.is_empty()
    if made.dropped is not None and made.dropped.height:
        seen |= set(made.dropped["row_id"])
    assert seen == {"a", "b"}


def test_a_looping_answer_is_an_answer_that_says_how_it_ended():
    def ask(requests):
        return {one.id: Answer(one.id, LOOP, "length", 5, 9) for one in requests}

    made = sample_answers(
        ROWS, RespondConfig(model="m"), generator=ask, seed=7, models={"model": "m@1"}
    )
    assert made.rows.select("response", "finish_reason").unique().rows() == [(LOOP, "length")]
