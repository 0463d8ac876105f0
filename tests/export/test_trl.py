from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild.api import run
from databuild.errors import StepError
from databuild.export.jsonl import JsonlConfig, write_jsonl
from databuild.export.trl import TrlConfig, write_trl_folder
from databuild.schema.rows import MESSAGES

if TYPE_CHECKING:
    from pathlib import Path

SFT = pl.DataFrame(
    {"row_id": ["b", "a"], "prompt": ["Hi", "Yo"], "response": ["Hello", "🙂"], "score": [1.0, 0.5]}
)
PAIRS = pl.DataFrame({
    "row_id": ["b", "a"], "prompt": ["Hi", "Yo"], "chosen": ["x", "y"], "rejected": ["z", ""],
    "margin": [0.5, 0.7], "strength": ["better", "significantly better"],
})  # fmt: skip


def turn(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def test_prompt_and_completion(tmp_path):
    facts = write_trl_folder(SFT, TrlConfig(keep=("score",)), out=tmp_path)
    assert facts == {
        "rows": 2,
        "files": ["data/train-00000.parquet"],
        "columns": ["prompt", "completion", "row_id", "score"],
    }
    assert pl.read_parquet(tmp_path / "data/train-00000.parquet").to_dicts()[0] == {
        "prompt": turn("user", "Yo"),
        "completion": turn("assistant", "🙂"),
        "row_id": "a",
        "score": 0.5,
    }


def test_messages_with_a_system_prompt(tmp_path):
    write_trl_folder(SFT, TrlConfig(layout="messages", system="Be kind."), out=tmp_path)
    messages = pl.read_parquet(tmp_path / "data/train-00000.parquet")["messages"][0].to_list()
    assert messages == turn("system", "Be kind.") + turn("user", "Yo") + turn("assistant", "🙂")


def test_prompts_that_are_messages_already(tmp_path):
    rows = SFT.with_columns(
        prompt=pl.Series(
            [
                [{"content": "Hi", "role": "user", "x": 1}],
                [{"content": "Yo", "role": "user", "x": 2}],
            ]
        )
    )
    write_trl_folder(rows, TrlConfig(), out=tmp_path)
    assert pl.read_parquet(tmp_path / "data/train-00000.parquet")["prompt"][0].to_list() == turn(
        "user", "Yo"
    )


def test_bytes_do_not_depend_on_the_order_of_rows(tmp_path):
    for name, rows in (("a", PAIRS), ("b", PAIRS.reverse())):
        write_trl_folder(rows, TrlConfig(kind="preference"), out=tmp_path / name)
    one, other = ((tmp_path / name / "data/train-00000.parquet").read_bytes() for name in "ab")
    assert one == other


def test_large_sets_are_several_files(tmp_path):
    facts = write_trl_folder(SFT, TrlConfig(max_file_rows=1, split="dev"), out=tmp_path)
    assert facts["files"] == ["data/dev-00000.parquet", "data/dev-00001.parquet"]


def test_no_rows_null_texts_and_clashes_are_clear_errors(tmp_path):
    with pytest.raises(StepError, match="no rows to write"):
        write_trl_folder(SFT.clear(), TrlConfig(), out=tmp_path)
    rows = SFT.with_columns(response=pl.Series([None, "x"]))
    with pytest.raises(StepError, match=r"1 rows lack prompt or response, as \['b'\]"):
        write_trl_folder(rows, TrlConfig(), out=tmp_path)
    with pytest.raises(StepError, match="`keep` names 'prompt', which the export writes itself"):
        write_trl_folder(SFT, TrlConfig(keep=("prompt",)), out=tmp_path)


@pytest.mark.live
@pytest.mark.filterwarnings("ignore")
def test_datasets_and_trl_take_the_folder_as_it_is(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    data_utils = pytest.importorskip("trl.data_utils")
    write_trl_folder(
        PAIRS, TrlConfig(kind="preference", keep=("margin", "strength")), out=tmp_path / "pairs"
    )
    loaded = datasets.load_dataset(str(tmp_path / "pairs"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    row = loaded["train"][0]
    assert data_utils.is_conversational(row)
    assert row["chosen"] == turn("assistant", "y")
    assert row["margin"] == 0.7
    assert "| better | 1 |" in (tmp_path / "pairs" / "README.md").read_text(encoding="utf-8")


SYSTEM = {"role": "system", "content": "s"}
ASKED = {"role": "user", "content": "q"}
CALLED = {"role": "assistant", "tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}]}
RESULT = {"role": "tool", "content": "r", "tool_call_id": "c"}
SAID = {"role": "assistant", "content": "a"}


def _talks(*talks: Any, **columns: Any) -> pl.DataFrame:
    n = len(talks)
    own: dict[str, Any] = {"row_id": [f"r{i}" for i in range(n)], "prompt": ["q"] * n, **columns}
    return pl.DataFrame(own).with_columns(messages=pl.Series(talks, dtype=MESSAGES))


def _written(rows: pl.DataFrame, folder: Path, **options: Any) -> tuple[Any, list[Any]]:
    facts = write_trl_folder(rows, TrlConfig(**options), out=folder)
    return facts, pl.read_parquet(folder / facts["files"][0]).to_dicts()


def test_a_conversation_stands_for_prompt_and_response(tmp_path: Path) -> None:
    rows = _talks([SYSTEM, ASKED, CALLED, RESULT, SAID], None, response=["a", "b"])
    _, (talk, plain) = _written(rows, tmp_path, system="S")
    assert [turn["role"] for turn in talk["prompt"]] == ["system", "user", "assistant", "tool"]
    assert talk["prompt"][2]["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]
    assert [turn["content"] for turn in talk["completion"]] == ["a"]
    assert [turn["content"] for turn in plain["prompt"]] == ["S", "q"]
    assert [turn["content"] for turn in plain["completion"]] == ["b"]


def test_turns_of_texts_get_no_empty_fields(tmp_path: Path) -> None:
    rows = _talks([SYSTEM, ASKED, SAID], response=["a"])
    _, (row,) = _written(rows, tmp_path, layout="messages")
    assert row["messages"] == [SYSTEM, ASKED, SAID]


def test_a_conversation_that_says_something_else_is_named(tmp_path: Path) -> None:
    rows = _talks([ASKED, SAID], [ASKED, SAID], [ASKED], response=["a", "b", "a"])
    facts, written = _written(rows, tmp_path)
    assert [row["row_id"] for row in written] == ["r0"]
    assert facts["rows_skipped"] == [
        {"row_id": "r1", "reason": "response is not what the conversation ends with"},
        {"row_id": "r2", "reason": "the conversation does not end with an answer"},
    ]
    with pytest.raises(StepError, match="no rows to write: response is not what"):
        _written(rows.filter(row_id="r1"), tmp_path)
    facts, _ = _written(rows, tmp_path, messages=None)
    assert facts["rows"] == 3


def test_pairs_may_have_conversations(tmp_path: Path) -> None:
    rows = _talks([SYSTEM, ASKED], None, chosen=["a", "a"], rejected=["b", "b"]).with_columns(
        chosen_messages=pl.Series([[CALLED, RESULT, SAID], None], dtype=MESSAGES)
    )
    _, (talk, plain) = _written(rows, tmp_path, kind="preference")
    assert [turn["role"] for turn in talk["prompt"]] == ["system", "user"]
    assert [turn["role"] for turn in talk["chosen"]] == ["assistant", "tool", "assistant"]
    assert [turn["content"] for turn in talk["rejected"]] == ["b"]
    assert [turn["content"] for turn in plain["chosen"]] == ["a"]


def test_no_rows_are_an_error_unless_they_are_allowed(tmp_path):
    rows = pl.DataFrame(schema={"row_id": pl.String, "prompt": pl.String, "response": pl.String})
    with pytest.raises(StepError, match="allow_empty"):
        write_trl_folder(rows, TrlConfig(), out=tmp_path)
    assert write_trl_folder(rows, TrlConfig(allow_empty=True), out=tmp_path)["rows"] == 0


def test_several_splits_load_as_one_data_set(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lines = [
        {"prompt": f"Question {n}?", "response": f"Answer {n}.", "score": n / 2} for n in range(20)
    ]
    (tmp_path / "qa.jsonl").write_text("\n".join(map(json.dumps, lines)))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "name: splits\nsteps:\n  raw: {use: ingest.files, path: qa.jsonl}\n"
        "  split: {use: sample.split, from: raw, parts: {train: 0.7, dev: 0.2, test: 0.1}}\n"
        "  set: {use: export.trl, from: {train: split.train, dev: split.dev, test: split.test},"
        " keep: score, max_file_rows: 5}\n"
        "  lines: {use: export.jsonl, from: {rows: split.train, dev: split.dev}, kind: sft,"
        " leave_out: [score]}\n"
    )
    result = run(recipe, runs=tmp_path / "runs")
    metrics = result["set"].manifest.metrics
    assert metrics["splits"] == {"dev": 4, "test": 2, "train": 14}
    assert result["set"].manifest.rows.rows_in == 20
    folder = tmp_path / "runs" / result["set"].folder
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {name: split.num_rows for name, split in loaded.items()} == metrics["splits"]
    assert loaded["dev"].features == loaded["train"].features
    held = {row["row_id"] for split in loaded.values() for row in split}
    assert len(held) == 20
    lines = tmp_path / "runs" / result["lines"].folder
    counts = [len((lines / f"{name}.jsonl").read_text().splitlines()) for name in ("train", "dev")]
    assert counts == [14, 4]


def test_splits_have_the_same_columns_though_one_has_more(tmp_path):
    more = SFT.with_columns(pl.lit("x").alias("note"), pl.lit(None).alias("score"))
    config = TrlConfig(keep=("score",))
    write_trl_folder(SFT, config, out=tmp_path, dev=more)
    parts = [pl.read_parquet(tmp_path / f"data/{name}-00000.parquet") for name in ("train", "dev")]
    assert parts[0].schema == parts[1].schema
    assert parts[1]["score"].to_list() == [None, None]


@pytest.mark.parametrize("write", ["trl", "jsonl"])
def test_a_split_without_rows_or_with_a_name_twice_is_refused(tmp_path, write):
    def deliver(rows, out, **options):
        (tmp_path / out).mkdir()
        if write == "trl":
            return write_trl_folder(rows, TrlConfig(), out=tmp_path / out, **options)
        config = JsonlConfig(kind="sft", leave_out=("score",))
        return write_jsonl(rows, config, out=tmp_path / out, **options)

    with pytest.raises(StepError, match="no rows to write in the split 'dev'"):
        deliver(SFT, "a", dev=SFT.head(0))
    with pytest.raises(StepError, match="the split 'train' is named twice"):
        deliver(SFT, "b", train=SFT)
    with pytest.raises(StepError, match="it has no input"):
        deliver(None, "c")
    with pytest.raises(StepError, match="'prompt' is String in one split and Struct"):
        deliver(SFT, "d", dev=SFT.with_columns(prompt=pl.struct("prompt")))


def test_an_empty_split_may_be_left_out(tmp_path):
    config = TrlConfig(allow_empty=True)
    facts = write_trl_folder(None, config, out=tmp_path, train=SFT, dev=SFT.head(0))
    assert facts["splits"] == {"train": 2, "dev": 0}
    assert "split: dev" not in (tmp_path / "README.md").read_text(encoding="utf-8")
