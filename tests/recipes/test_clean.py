"""The recipe that newcomers copy: what it keeps and drops of its files, counted by hand."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner

import databuild
from databuild.cli.main import app
from databuild.errors import StepError
from databuild.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

FILES = shipped("recipes/clean")

# Of every prompt in the files that does not come through `good`, the clause that it breaks.
AT_FAULT = {
    "Summarize the following article.": "prompt_faults",  # there is none
    "Draw a picture of a lighthouse.": "prompt_faults",
    "请画一张长城的图片。": "prompt_faults",
    "What is the capital of Norway?": "prompt_faults",  # it has its answer inside
    "Give an example of a palindrome.": "response_faults",  # N/A
    "Describe how to plant a tree.": "response_faults",  # "Click here to subscribe"
    "Name the largest ocean.": "response_markup_faults",  # <|im_start|>
    "What is 17 times 6?": "response_arithmetic_faults",  # 112
    "Tell me a short story about a fox.": "response_repetition_ratio",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the recipe was run, as a user has it after `init`."""
    folder = tmp_path_factory.mktemp("clean")
    shutil.copytree(FILES, folder / "clean")
    shutil.copyfile(shipped("recipes/clean.yaml"), folder / "clean.yaml")
    databuild.run(folder / "clean.yaml", runs=folder / "runs")
    return folder


def typed(folder: Path, *words: str) -> Any:
    result = CliRunner().invoke(app, [*words, "--runs", str(folder / "runs"), "--json"])
    assert result.exit_code == 0, (result.stderr, result.exception)
    return json.loads(result.stdout)


def step_of(folder: Path, step: str) -> Path:
    latest = json.loads((folder / "runs/clean/latest.json").read_text("utf-8"))
    return folder / "runs/clean" / latest["steps"][step]


def rows_of(folder: Path, step: str, kind: str = "") -> list[dict[str, Any]]:
    files = sorted((step_of(folder, step) / kind).glob("part-*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files]).to_dicts() if files else []


def counts(folder: Path, step: str) -> dict[str, Any]:
    held = json.loads((step_of(folder, step) / "manifest.json").read_text("utf-8"))["rows"]
    assert isinstance(held, dict)
    return held


def tasks() -> list[str]:
    return (FILES / "tasks.jsonl").read_text("utf-8").splitlines()


def answers() -> list[tuple[str, str]]:
    """The prompts and answers of the tasks that can be read."""
    read = [json.loads(line) for line in tasks() if line.endswith('"}')]
    plain = [one for one in read if one["output"].strip("\u200b") and len(one) == 3]
    held = [(one["instruction"], one["output"]) for one in plain]
    return [pair for pair in held if pair[0] != "Name a bird."]  # the key stands there twice


def test_every_record_is_a_row_or_failed_with_its_reason(folder):
    talks = json.loads((FILES / "chats.json").read_text("utf-8"))
    pairs = (FILES / "pairs.jsonl").read_text("utf-8").splitlines()
    held = counts(folder, "found")
    assert held["rows_out"] + held["failed"] == len(tasks()) + len(talks) + len(pairs)
    told = Counter(row["error"].split(":")[0] for row in rows_of(folder, "found", "failed"))
    expected = {"broken JSON": 1, "duplicate key": 1, "empty": 1, "wrong role order": 1}
    expected |= {"empty turn": 1, "identical chosen and rejected": 1}
    assert told == Counter(expected)
    assert held["notes"] == {"NaN read as missing": 1}
    assert sum(": NaN" in line for line in pairs) == 1
    assert len(answers()) == len(tasks()) - 3
    lines = (FILES / "wenda.csv").read_text("gb18030").splitlines()
    assert counts(folder, "wenda")["rows_out"] == len(lines) - 1


def test_a_row_is_dropped_for_the_fault_that_it_has(folder):
    prompts = {row["row_id"]: row["prompt"] for row in rows_of(folder, "repaired")}
    told = {
        prompts[row["row_id"]].split("\n")[0]: row["reason"]
        for row in rows_of(folder, "good", "dropped")
    }
    assert told.keys() == AT_FAULT.keys()
    assert all(AT_FAULT[prompt] in reason for prompt, reason in told.items()), told


def test_duplicates_are_the_equal_and_the_nearly_equal_ones(folder):
    doubled = [prompt for prompt, n in Counter(answers()).items() for _ in range(n - 1)]
    assert counts(folder, "exact")["dropped"] == len(doubled) == 1
    prompts = {row["row_id"]: row["prompt"] for row in rows_of(folder, "repaired")}
    dropped = [prompts[row["row_id"]] for row in rows_of(folder, "unique", "dropped")]
    near = [("sky looks blue", 1), ("job interview", 1), ("蔬菜", 1)]
    assert len(dropped) == len(near)
    for piece, n in near:
        assert sum(piece in prompt for prompt in dropped) == n


def test_what_is_delivered_is_repaired_and_masked_and_split(folder):
    train = rows_of(folder, "sft_set", "data") or [
        row
        for file in sorted((step_of(folder, "sft_set") / "data").glob("*.parquet"))
        for row in pl.read_parquet(file).to_dicts()
    ]
    dev = [
        row
        for file in sorted((step_of(folder, "dev_set") / "data").glob("*.parquet"))
        for row in pl.read_parquet(file).to_dicts()
    ]
    assert (len(train), len(dev)) == (14, 4)  # 18 rows, 0.8 and 0.2
    text = json.dumps([train, dev], ensure_ascii=False)
    raw = "".join(path.read_bytes().decode("gb18030" if path.suffix == ".csv" else "utf-8")
                  for path in sorted(FILES.iterdir()))  # fmt: skip
    for fault in ("Ã", "<b>", "anna.keller@", "13800138000", "4539 1488", "901820"):
        assert fault in raw
        assert fault not in text
    asked = [{turn["content"] for turn in row["prompt"]} for row in train]
    assert not any({turn["content"] for turn in row["prompt"]} in asked for row in dev)


def test_a_conversation_that_breaks_off_is_cut_to_what_is_whole(folder):
    (egg,) = (row for row in rows_of(folder, "repaired") if "egg" in row["prompt"])
    assert egg["response"] == "Seven minutes for a soft yolk, ten for a firm one."
    assert egg["messages"] is None  # one question and its answer
    assert counts(folder, "repaired")["by_reason"] == {"nothing whole is left": 1}  # the pear


def test_pairs_and_documents_come_out_too(folder):
    assert counts(folder, "pairs")["dropped"] == 1  # the tides: near_equal
    guide = (step_of(folder, "guide") / "guide.jsonl").read_text("utf-8")
    assert "[EMAIL]" in json.loads(guide)["text"]
    assert (counts(folder, "dpo_set")["rows_in"], counts(folder, "first")["dropped"]) == (3, 0)


def test_why_tells_the_way_of_a_dropped_row(folder):
    (ocean,) = (
        row for row in rows_of(folder, "repaired") if row["prompt"] == "Name the largest ocean."
    )
    told = json.dumps(typed(folder, "why", ocean["row_id"]))
    assert "tasks.jsonl" in told
    assert "response_markup_faults" in told
    assert "special_tokens" in told


def test_profiles_of_repaired_and_chosen_rows(folder):
    before = typed(folder, "profile", "repaired")
    after = typed(folder, "profile", "chosen")
    assert (before["rows"], after["rows"]) == (counts(folder, "repaired")["rows_out"], 18)


def test_own_files_without_pairs_take_their_place(folder, tmp_path):
    rows = [{"instruction": f"Name {n} towns by the river.", "output": f"Town {n} is one of them."}
            for n in range(2, 12)]  # fmt: skip
    own = tmp_path / "own.jsonl"
    own.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    databuild.run(folder / "clean.yaml", [f"data={own}"], runs=tmp_path / "runs")
    latest = json.loads((tmp_path / "runs/clean/latest.json").read_text("utf-8"))
    assert latest["status"] == "complete"


def test_without_rows_the_export_that_misses_them_is_named(folder, tmp_path):
    with pytest.raises(StepError, match=r"step sft_set \(export.trl\): no rows to write"):
        databuild.run(
            folder / "clean.yaml", ["good.keep='prompt_words > 900'"], runs=tmp_path / "runs"
        )


def test_a_file_in_a_folder_with_the_name_of_a_recipe_is_a_file(folder, monkeypatch):
    monkeypatch.chdir(folder)
    shutil.copytree(folder / "runs/clean", folder / "beside/clean")
    shutil.copyfile(FILES / "wenda.csv", folder / "beside/clean/wenda.csv")
    assert typed(folder, "profile", "beside/clean/wenda.csv")["rows"] == 7


def test_a_profile_names_columns_without_any_value_in_one_line(folder):
    result = CliRunner().invoke(app, ["profile", "repaired", "--runs", str(folder / "runs")])
    told = result.stdout.partition("null in every row: ")[2].partition("Lengths")[0]
    assert {"chosen", "critique", "label"} <= set(told.replace(",", " ").split())
    assert "100 %" not in result.stdout.partition("null in every row")[0]
