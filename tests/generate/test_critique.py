from __future__ import annotations

import json

import polars as pl

from databuild.generate.critique import CritiqueConfig, revise_answers
from databuild.models.protocol import Answer
from databuild.pairs.graded import GradedConfig, make_graded_pairs
from tests.generate.test_rewrite import Scripted

ROW = {"row_id": "r", "prompt": "How many legs do 4 spiders have?", "response": "They have 30."}


def revise(rows, say, **options):
    ask = say if isinstance(say, Scripted) else Scripted(say)
    config = CritiqueConfig(model="start", **options)
    models = {"model": "fake@1"}
    table = pl.DataFrame(rows)
    return revise_answers(table, config, generator=ask, seed=7, models=models, files=())


def by_stage(**told):
    """Answers by the beginning of a stage's name, the longest first."""

    def say(name, _):
        stage = name.partition("-")[2]
        return next(
            told[key]
            for key in sorted(told, key=len, reverse=True)
            if stage.startswith(key.replace("_", "-"))
        )

    return Scripted(say)


def test_an_answer_is_read_then_written_again():
    ask = by_stage(critique="30 is wrong.\nVERDICT: REVISE", revise="They have 32.")
    made = revise([ROW], ask, principles=["Count well."])
    row = made.rows.row(0, named=True)
    assert (row["response"], row["critique"], row["critique_rounds"]) == (
        "They have 32.",
        "30 is wrong.",
        1,
    )
    assert (row["origin"], row["parent_ids"], row["prompt_tokens"]) == ("revised", ["r"], 10)
    asked = [r.messages[-1].content for r in ask.requests]
    assert all("- Count well." in one and "They have 30." in one for one in asked)
    assert "30 is wrong." in asked[1]
    assert "VERDICT" not in asked[1]


def test_a_content_critic_ends_the_rounds():
    ask = by_stage(critique_0="Wrong. VERDICT: REVISE", revise_0="32.", critique_1="VERDICT: FINE")
    made = revise([ROW], ask, rounds=5)
    assert made.rows["response"].to_list() == ["32."]
    assert made.dropped.is_empty()
    assert len(ask.requests) == 3
    content = revise([ROW], lambda *_: "Looks good.")
    assert content.rows.is_empty()
    assert content.dropped.rows() == [("r", "the critic finds nothing to change")]


def test_a_revision_that_changes_nothing_is_dropped_by_name():
    made = revise([ROW], by_stage(critique="Hm.", revise=" They have 30.\n"))
    assert made.dropped.rows() == [("r", "the revision changes nothing")]


def test_a_bad_revision_fails_and_a_later_one_leaves_the_round_before():
    refusal = "I'm sorry, but I can't do that."
    first = revise([ROW], by_stage(critique="Hm.", revise=refusal))
    assert first.failed.rows() == [(["r"], 0, "revision, a refusal", False)]
    later = by_stage(critique="Hm.", revise_0="32.", revise_1=refusal)
    made = revise([ROW], later, rounds=2, tries=1)
    assert made.rows.select("response", "critique_rounds").rows() == [("32.", 1)]
    assert made.failed.is_empty()
    empty = revise([ROW], by_stage(critique=" ", revise="32."), tries=3)
    assert empty.failed["error"].to_list() == ["critique, no words"]


def test_rows_without_question_or_answer_fail_and_errors_may_be_retried():
    rows = [ROW, {**ROW, "row_id": "a", "prompt": None}, {**ROW, "row_id": "b", "response": " "}]
    made = revise(rows, lambda name, _: Answer(name, None, "error", error="timed out"))
    told = {row["parent_ids"][0]: (row["error"], row["retry"]) for row in made.failed.to_dicts()}
    assert told == {
        "r": ("timed out", True),
        "a": ("the prompt is empty", False),
        "b": ("there is no answer", False),
    }


def test_conversations_end_with_the_new_answer_and_chinese_is_asked_in_chinese():
    talk = [
        {"role": "user", "content": "蜘蛛有几条腿？"},
        {"role": "assistant", "content": "八条。"},
        {"role": "user", "content": "四只呢？"},
        {"role": "assistant", "content": "三十条。"},
    ]
    row = {
        "row_id": "r",
        "prompt": "四只呢？",
        "response": "三十条。",
        "messages": talk,
        "reasoning": "x",
    }
    ask = by_stage(critique="算错了。结论：需要修改", revise="修改后的回答：三十二条。")
    made = revise([row], ask).rows.row(0, named=True)
    assert made["response"] == "三十二条。"
    assert made["messages"] == [*talk[:3], {"role": "assistant", "content": "三十二条。"}]
    assert made["reasoning"] is None
    assert "蜘蛛有几条腿" in ask.requests[0].messages[-1].content


def test_original_and_revised_make_a_pair_by_their_scores():
    made = revise([ROW], by_stage(critique="30 is wrong.", revise="They have 32.")).rows
    pool = pl.DataFrame(
        {
            "row_id": ["r", "new"],
            "prompt": [ROW["prompt"]] * 2,
            "response": [ROW["response"], made["response"][0]],
            "origin": ["sampled", made["origin"][0]],
            "verify_score": [0.1, 0.9],
        }
    )
    pairs = make_graded_pairs(pool, GradedConfig(passes=None)).rows
    assert pairs.select("chosen", "rejected", "chosen_origin").rows() == [
        ("They have 32.", "They have 30.", "revised")
    ]


def test_a_recipe_asks_each_thing_once(tmp_path, monkeypatch):
    """Killed between its stages and resumed, a run finds what it paid for in the journal."""
    from databuild.models.fake import FakeGenerator
    from tests.cli.conftest import Terminal

    asked: list[str] = []
    limit: int | None = 15
    answer = FakeGenerator.answer

    def counted(self, request):
        asked.append(request.id)
        if limit is not None and len(asked) > limit:
            raise KeyboardInterrupt
        return answer(self, request)

    monkeypatch.setattr(FakeGenerator, "answer", counted)
    rows = [
        {"prompt": f"Write about the river {name}.", "response": "It is long."} for name in "abcdef"
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(
        "name: own\nmodels: {start: {fake: {}}}\nsteps:\n"
        "  raw: {use: ingest.files, path: rows.jsonl}\n"
        "  new: {use: generate.rewrite, from: raw, model: start, max_failure_ratio: 1.0,\n"
        "        how: [back_translation, harder]}\n"
        "  better: {use: generate.critique, from: raw, model: start, max_failure_ratio: 1.0}\n"
    )
    terminal = Terminal(tmp_path)
    terminal("run", code=130)
    cut = len(asked)
    limit = None
    terminal("run")
    # The request that was interrupted had no answer; all others were asked once.
    assert len(asked) - 1 == len(set(asked)) or len(asked) == len(set(asked))
    assert len(set(asked)) > cut
    n = len(asked)
    terminal("run")
    assert len(asked) == n
