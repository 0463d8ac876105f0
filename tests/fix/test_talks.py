from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.api import run, show
from databuild.fix.edit import EditConfig, edit_answers
from databuild.fix.html import HtmlConfig, turn_html_to_text
from databuild.fix.mask import MaskConfig, mask_text
from databuild.fix.mojibake import MojibakeConfig, mend_mojibake
from databuild.fix.normalize import NormalizeConfig, normalize_text
from databuild.fix.split_fused import SplitFusedConfig, split_fused_rows
from databuild.fix.unmask import unmask_rows
from databuild.schema.rows import MESSAGES
from databuild.text.sealing import Seal
from databuild.train.examples import asked_and_answered

MAIL = "ann.miller@post.org"
FIXES = {
    "normalize": (normalize_text, NormalizeConfig, "two  words", "two words"),
    "mojibake": (mend_mojibake, MojibakeConfig, "CafÃ© au lait", "Café au lait"),
    "html": (turn_html_to_text, HtmlConfig, "<p>Fish &amp; chips</p>", "Fish & chips"),
}


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def table(*talks, **columns):
    """Rows whose prompt and response are the last exchange of their conversation."""
    last = [{t["role"]: t["content"] for t in talk or ()} for talk in talks]
    return pl.DataFrame(
        {
            "row_id": [f"r{n}" for n in range(len(talks))],
            "prompt": [one.get("user", "plain") for one in last],
            "response": [
                (one.get("assistant") or "plain").split("</think>")[-1].strip() for one in last
            ],
            "messages": pl.Series(talks, dtype=MESSAGES),
            **columns,
        }
    )


def contents(made, row=0):
    return [one["content"] for one in made["messages"].to_list()[row]]


@pytest.mark.parametrize("which", FIXES)
def test_the_turns_of_a_conversation_follow_the_columns_that_repeat_them(which):
    function, config, bad, good = FIXES[which]
    talk = [
        turn(role, bad) for role in ("system", "user", "assistant", "tool", "user", "assistant")
    ]
    rows = table(talk, None, [])
    made = function(rows, config(columns=["prompt", "response"])).rows
    assert contents(made) == [good] * 6
    assert made["messages"].to_list()[1:] == [None, []]
    assert made["response"][0] == good
    assert {note["column"] for note in made["fixes"][0]} == {"prompt", "response", "messages"}
    asked = function(rows, config(columns="prompt")).rows
    assert contents(asked) == [good, good, bad, good, good, bad]
    said = function(rows, config(columns="response")).rows
    assert contents(said) == [bad, bad, good, bad, bad, good]
    left = function(rows, config(columns="response", messages=None)).rows
    assert "messages" not in left.columns


@pytest.mark.parametrize("which", FIXES)
def test_reasoning_and_answer_are_fixed_each_by_itself_and_the_tags_stay(which):
    function, config, bad, good = FIXES[which]
    talk = [turn("user", "Why?"), turn("assistant", f"<think>\n{bad}\n</think>\n\n{bad}")]
    made = function(table(talk), config(columns="response")).rows
    assert contents(made)[1] == f"<think>\n{good}\n</think>\n\n{good}"
    assert made["response"].to_list() == [good]


@pytest.mark.parametrize("which", FIXES)
def test_all_turns_of_an_answer_follow_chosen_and_rejected(which):
    function, config, bad, good = FIXES[which]
    answer = [turn("assistant", bad), turn("tool", bad), turn("assistant", bad)]
    rows = pl.DataFrame(
        {"row_id": ["a"], "prompt": [bad], "chosen": [bad], "rejected": ["No."]}
    ).with_columns(
        messages=pl.Series([[turn("assistant", bad), turn("user", bad)]], dtype=MESSAGES),
        chosen_messages=pl.Series([answer], dtype=MESSAGES),
    )
    made = function(rows, config(columns=["prompt", "chosen"])).rows
    assert contents(made) == [good, good]
    assert [t["content"] for t in made["chosen_messages"].to_list()[0]] == [good] * 3


@settings(max_examples=20)
@given(
    st.lists(
        st.lists(st.sampled_from([" ", "a", "\n", "\u200b", "`", "Ã", "©", "<p>", "é"]), min_size=1)
        .map("".join)
        .filter(lambda text: text.strip("\u200b \n"))
        .map(lambda text: text.strip("\u200b \n")),
        min_size=2,
        max_size=5,
    ),
    st.sampled_from(sorted(FIXES)),
    st.booleans(),
)
def test_training_never_finds_another_answer_than_the_fixed_one(texts, which, thinks):
    function, config, _, _ = FIXES[which]
    talk = [turn(("assistant", "user")[n % 2], text) for n, text in enumerate(reversed(texts))]
    talk = [
        *talk[::-1][:-1],
        turn("assistant", ("<think>\nA  b\n</think>\n\n" if thinks else "") + texts[-1]),
    ]
    rows = table(talk).with_columns(response=pl.lit(texts[-1]))
    made = function(rows, config(columns=["prompt", "response"])).rows
    parted = asked_and_answered(made.row(0, named=True), ["response"])
    assert not isinstance(parted, str), parted
    twice = function(made.with_columns(row_id=pl.lit("b")), config(columns=["prompt", "response"]))
    assert twice.rows["messages"].to_list() == made["messages"].to_list()


def test_a_masked_prompt_leaves_no_copy_in_any_turn_or_column_that_repeats_one(monkeypatch):
    monkeypatch.setenv("PII_KEY", "correct horse battery staple, or longer")
    talk = [
        turn("system", f"You write for {MAIL}."),
        turn("user", f"I am {MAIL}."),
        turn(
            "assistant",
            f"<think>\n{MAIL}?\n</think>\n\nHello {MAIL}.",
            tool_calls=[{"id": "1", "name": "send", "arguments": json.dumps({"to": MAIL})}],
        ),
        turn("tool", f"sent to {MAIL}", tool_call_id="1"),
        turn("assistant", f"<think>\n{MAIL}?\n</think>\n\nSent to {MAIL}."),
    ]
    rows = table(talk, None).with_columns(
        pl.Series("prompt", [f"I am {MAIL}.", MAIL]),
        pl.Series("response", [f"Sent to {MAIL}.", MAIL]),
        pl.Series("reasoning", [f"{MAIL}?", None]),
    )
    made = mask_text(rows, MaskConfig(columns="prompt", mapping_key_env="PII_KEY"), seed=1).rows
    assert MAIL not in json.dumps(made.drop("pii_mapping").row(0))
    assert made["response"].to_list() == ["Sent to [EMAIL].", MAIL]  # the plain row named no more
    assert not isinstance(asked_and_answered(made.row(0, named=True), ["response"]), str)
    noted = {note["column"]: note["n"] for note in made["fixes"][0]}
    assert noted == {"prompt": 1, "messages": 8, "response": 1, "reasoning": 1}
    back = unmask_rows(made, Seal("correct horse battery staple, or longer"))
    for name in ("prompt", "response", "reasoning", "messages"):
        assert back[name].to_list() == rows[name].to_list()
    alone = mask_text(rows, MaskConfig(columns="prompt", messages=None), seed=1).rows
    assert set(alone.columns) == {"parent_ids", "prompt", "fixes"}


def test_masked_messages_leave_no_copy_in_the_columns_that_repeat_them():
    talk = [turn("user", f"I am {MAIL}."), turn("assistant", f"Hello {MAIL}.")]
    made = mask_text(table(talk), MaskConfig(columns="messages"), seed=1).rows
    assert made.select("prompt", "response").row(0) == ("I am [EMAIL].", "Hello [EMAIL].")


def test_masked_answers_of_a_pair_leave_no_copy_in_their_turns():
    answer = [turn("assistant", MAIL), turn("user", MAIL), turn("assistant", MAIL)]
    rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Hi"], "chosen": [MAIL], "rejected": ["x"]})
    rows = rows.with_columns(
        messages=pl.Series([[turn("user", MAIL)]], dtype=MESSAGES),
        chosen_messages=pl.Series([answer], dtype=MESSAGES),
    )
    made = mask_text(rows, MaskConfig(columns=["chosen", "rejected"]), seed=1).rows
    assert MAIL not in json.dumps(made.row(0))


def test_a_name_that_a_step_found_in_the_prompt_is_masked_in_the_turns_too():
    talk = [turn("user", "I am Li."), turn("assistant", "Hi Li! I like tea, Li.")]
    rows = table(talk).with_columns(
        prompt_names=pl.Series([[{"type": "name", "start": 5, "end": 7}]])
    )
    made = mask_text(rows, MaskConfig(columns="prompt", spans="prompt_names"), seed=1).rows
    assert contents(made) == ["I am [NAME].", "Hi [NAME]! I like tea, [NAME]."]
    assert made["response"].to_list() == ["Hi [NAME]! I like tea, [NAME]."]


def test_an_edited_answer_ends_its_conversation():
    said = "Tomatoes like a lot of warm sun."
    talk = [turn("user", "Hi"), turn("assistant", "Hi."), turn("user", "Sun?")]
    thought = f"<think>\nHm.\n</think>\n\n{said}"
    rows = table([*talk, turn("assistant", thought)], None, talk).with_columns(
        response=pl.lit(said), finish_reason=pl.lit("stop"), topic=pl.lit("tomatoes"),
        about=pl.lit(["tomato"], dtype=pl.List(pl.String)),
        constraints=pl.lit([{"kind": "lowercase", "value": ""}], dtype=pl.List(
            pl.Struct({"kind": pl.String, "value": pl.String})
        )), prompt=pl.Series(["a", "b", "c"]),
    )  # fmt: skip
    made = edit_answers(rows, EditConfig()).rows
    assert made["response"].unique().to_list() == [said.lower()]
    assert contents(made)[-1] == f"<think>\nHm.\n</think>\n\n{said.lower()}"
    assert made["messages"].to_list()[1] is None
    assert contents(made, 2) == ["Hi", "Hi.", "Sun?"]


def test_rows_taken_apart_go_on_from_the_turns_before_or_stand_alone():
    fused = "Yes.\n### Instruction:\nName a fruit.\n### Response:\nA pear."
    before = [turn("system", "Be short."), turn("user", "Hi"), turn("assistant", "Hello.")]
    rows = table(
        [*before, turn("user", "Is it late?"), turn("assistant", fused)],
        [turn("user", "Is it late?"), turn("assistant", fused)],
        [*before, turn("user", "Bye"), turn("assistant", "Bye.")],
    )
    made = split_fused_rows(rows, SplitFusedConfig()).rows
    exchange = ["Is it late?", "Yes."]
    assert made["response"].to_list() == ["Yes.", "A pear.", "Yes.", "A pear.", "Bye."]
    assert contents(made) == ["Be short.", "Hi", "Hello.", *exchange]
    assert made["messages"].to_list()[1:4] == [None] * 3
    assert contents(made, 4) == ["Be short.", "Hi", "Hello.", "Bye", "Bye."]


def test_a_column_messages_that_holds_no_conversations_is_kept_as_it_is():
    rows = pl.DataFrame({"row_id": ["a"], "prompt": [f" {MAIL}"], "messages": ["a  b"]})
    assert normalize_text(rows, NormalizeConfig()).rows["messages"].to_list() == ["a  b"]
    assert mask_text(rows, MaskConfig(), seed=1).rows["messages"].to_list() == ["a  b"]


def test_a_recipe_masks_every_turn_and_exports_the_same_answer_twice(tmp_path):
    talk = [turn("user", f"I am {MAIL}."), turn("assistant", "Hi."), turn("user", "Go on"),
            turn("assistant", f"Dear  {MAIL}")]  # fmt: skip
    lines = [{"messages": talk}, {"prompt": f"Mail {MAIL}", "response": "Done."}]
    (tmp_path / "chats.jsonl").write_text("\n".join(map(json.dumps, lines)))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "name: masks\nsteps:\n"
        "  raw: {use: ingest.files, path: chats.jsonl}\n"
        "  typed: {use: ingest.rows, from: raw}\n"
        "  sizes: {use: measure.basics, from: typed, column: response}\n"
        "  tidy: {use: fix.normalize, from: sizes, columns: [prompt, response]}\n"
        "  masked: {use: fix.mask, from: tidy, columns: [prompt]}\n"
    )
    run(recipe, runs=tmp_path / "runs")
    rows = show("masked", "masks", runs=tmp_path / "runs")
    assert MAIL not in json.dumps(rows.select("prompt", "response", "messages").rows())
    talks = rows.filter(pl.col("messages").is_not_null())
    assert contents(talks)[-1] == talks["response"][0] == "Dear [EMAIL]"
