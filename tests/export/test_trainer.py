"""Each format, row by row: what is written, what is left out and why, and that the sums agree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from pydantic import ValidationError

from databuild.errors import StepError
from databuild.export.records import SHAPES
from databuild.export.trainer import TrainerConfig, write_for_trainer
from tests.export.openai_rules import faults_of
from tests.export.rows import DOCUMENTS, FEEDBACK, PAIRS, PROMPTS, SFT, STEPS, WHOLE

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {"prompt": PROMPTS, "sft": SFT, "preference": PAIRS, "feedback": FEEDBACK,
          "steps": STEPS, "document": DOCUMENTS}  # fmt: skip
CASES = [
    (form, name, kind)
    for form, shapes in SHAPES.items()
    for name, shape in shapes.items()
    for kind in shape.kinds
]


def written(rows: pl.DataFrame, out: Path, **options: Any) -> tuple[dict[str, Any], list[Any]]:
    out.mkdir(exist_ok=True)
    facts = write_for_trainer(rows, TrainerConfig(**options), out=out)
    path = out / facts["files"][0]
    if path.suffix == ".parquet":
        return facts, pl.read_parquet(path).to_dicts()
    return facts, [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("form", "name", "kind"), CASES)
def test_every_row_is_written_or_named_with_its_reason(tmp_path, form, name, kind):
    rows = TABLES[kind]
    truth = {"ground_truth": "row_id"} if form == "verl" and name == "rl" else {}
    facts, records = written(rows, tmp_path, format=form, type=name, kind=kind, **truth)
    skipped = [one["row_id"] for one in facts["rows_skipped"]]
    assert facts["rows"] == len(records) >= 1
    assert len(set(skipped)) == len(skipped) == rows.height - len(records)
    if form != "openai":
        ids = [one.get("row_id") or one["extra_info"]["row_id"] for one in records]
        assert sorted([*ids, *skipped]) == sorted(rows["row_id"])
    assert (tmp_path / "README.md").read_text(encoding="utf-8").startswith("---\nconfigs:")


@pytest.mark.parametrize("form", sorted(SHAPES))
def test_files_do_not_depend_on_the_order_of_rows(tmp_path, form):
    truth = {"ground_truth": "response"} if form == "verl" else {}
    for name, rows in (("a", SFT), ("b", SFT.reverse())):
        written(rows, tmp_path / name, format=form, **truth)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def reasons(facts: dict[str, Any]) -> dict[str, str]:
    return {one["row_id"]: one["reason"] for one in facts["rows_skipped"]}


def test_rows_that_nothing_holds_are_named(tmp_path):
    facts, _ = written(SFT, tmp_path, format="sharegpt")
    assert facts["rows"] == WHOLE
    assert reasons(facts) == {
        "r4": "empty: response is blank",
        "r5": "no value: prompt is null",
        "r6": "two answers: response is not what the conversation ends with",
    }


def test_alpaca_has_no_place_for_tools(tmp_path):
    facts, records = written(SFT, tmp_path, format="alpaca")
    assert reasons(facts)["r2"] == "cannot hold: tools"
    assert records[1] == {
        "system": "Be brief.", "instruction": "你好吗？", "input": "", "output": "Good.",
        "history": [["Hi", "Hello."]], "row_id": "r1",
    }  # fmt: skip


def test_reasoning_stands_in_think_tags(tmp_path):
    _, records = written(SFT, tmp_path, format="trl")
    assert records[3]["completion"][0]["content"] == "<think>\none, two\n</think>\n\nDone."


def test_openai_files_obey_the_documented_rules(tmp_path):
    _, records = written(SFT, tmp_path / "a", format="openai")
    assert len(records) == WHOLE
    assert [faults_of(one) for one in records] == [[]] * WHOLE
    facts, pairs = written(PAIRS, tmp_path / "b", format="openai")
    assert [faults_of(one) for one in pairs] == [[]] * 2
    assert reasons(facts)["r2"].startswith("cannot hold: an answer of 3 turns")


def test_the_rules_bite():
    assert faults_of({"messages": [{"role": "user", "content": "Hi"}]}) == ["no assistant message"]
    turn = {"role": "assistant", "content": "a", "row_id": "r"}
    assert faults_of({"messages": [turn]}) == ["message 0 has the unknown key row_id"]
    called = {
        "role": "assistant",
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert "message 0 calls without an id" in faults_of({"messages": [called]})


def test_calls_without_ids_get_some_and_results_theirs(tmp_path):
    bare = [{**turn, "tool_calls": [{"name": "weather", "arguments": "{}"}]} if turn.get("tool_calls")
            else {k: v for k, v in turn.items() if k in {"role", "content"}}
            for turn in SFT["messages"][2].to_list()]  # fmt: skip
    rows = SFT[2:3].with_columns(messages=pl.Series([bare], dtype=SFT.schema["messages"]))
    _, (record,) = written(rows, tmp_path, format="openai")
    assert faults_of(record) == []
    assert record["messages"][1]["tool_calls"][0]["id"] == record["messages"][2]["tool_call_id"]


def test_standard_trl_holds_texts_and_no_more(tmp_path):
    facts, records = written(SFT, tmp_path, format="trl", style="standard")
    assert records[0] == {"prompt": "What is 2 + 2?", "completion": "4.", "row_id": "r0"}
    assert reasons(facts)["r1"] == "cannot hold: a prompt of 4 turns"
    assert reasons(facts)["r2"] == "cannot hold: tools"


def test_stepwise_labels_are_right_or_wrong(tmp_path):
    facts, records = written(STEPS, tmp_path, format="trl")
    assert records[0]["labels"] == [True, False]
    assert reasons(facts) == {"r1": "cannot hold: the rating 0.0 of step 0"}


def test_verl_needs_a_ground_truth_and_keeps_the_rest_apart(tmp_path):
    rows = SFT.with_columns(answer=pl.Series(["4", None, "x", "y", "z", "q", "w"]))
    options = {"format": "verl", "ground_truth": "answer", "data_source": "sums", "ability": "math"}
    facts, records = written(rows, tmp_path, **options)
    assert records[0] == {
        "data_source": "sums", "prompt": [{"role": "user", "content": "What is 2 + 2?"}],
        "ability": "math", "reward_model": {"style": "rule", "ground_truth": "4"},
        "extra_info": {"row_id": "r0", "split": "train", "index": 0},
    }  # fmt: skip
    assert reasons(facts)["r1"] == "no ground truth: a rule's reward needs one in answer"


def test_values_without_a_place_are_counted(tmp_path):
    facts, _ = written(PAIRS, tmp_path / "a", format="trl")
    assert facts["columns_left_out"] == {"margin": 1, "strength": 1}
    facts, records = written(PAIRS, tmp_path / "b", format="openrlhf", keep=("row_id", "strength"))
    assert "columns_left_out" not in facts
    assert (records[0]["margin"], records[0]["strength"]) == (0.5, "better")


def test_what_fits_nowhere_is_an_error(tmp_path):
    with pytest.raises(StepError, match="openai has no place for document rows; it has sft"):
        written(DOCUMENTS, tmp_path, format="openai")
    mixed = SFT.with_columns(row_kind=pl.Series(["sft"] * 6 + ["prompt"]))
    with pytest.raises(StepError, match="of several kinds: prompt, sft"):
        written(mixed, tmp_path)
    assert written(mixed, tmp_path, kind="sft")[0]["rows"] == WHOLE
    with pytest.raises(StepError, match=r"no rows to write: cannot hold: tools \(1\)"):
        written(SFT[2:3], tmp_path, format="alpaca")
    with pytest.raises(StepError, match="allow_empty"):
        written(SFT.clear(), tmp_path)
    assert (
        write_for_trainer(SFT.clear(), TrainerConfig(allow_empty=True), out=tmp_path)["rows"] == 0
    )
    with pytest.raises(StepError, match="no kind of row has the columns"):
        written(SFT.select("row_id"), tmp_path)
    with pytest.raises(StepError, match="`keep` names 'prompt', which trl writes itself"):
        written(SFT, tmp_path, keep=("prompt",))
    with pytest.raises(ValidationError):
        TrainerConfig(format="gguf")


def test_sampled_answers_are_learnt_only_on_request(tmp_path):
    rows = SFT[:1].with_columns(row_kind=pl.lit("response"))
    with pytest.raises(StepError, match="trl has no place for response rows"):
        written(rows, tmp_path)
    assert written(rows, tmp_path, kind="response")[0]["type"] == "prompt_completion"


def test_settings_name_what_is_there(tmp_path):
    write_for_trainer(
        None, TrainerConfig(format="llamafactory"), out=tmp_path, train=SFT, dev=SFT[:1]
    )
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert info["train"]["columns"] == {"messages": "conversations", "tools": "tools"}
    assert info["dev"] == {"file_name": "data/dev.jsonl", "formatting": "sharegpt",
                           "columns": {"messages": "conversations"}}  # fmt: skip
