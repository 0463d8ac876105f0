"""The quickstart's own recipe with small numbers: real vLLM, real TRL, both rounds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import databuild

ROOT = Path(__file__).parents[2]
RECIPE = str(ROOT / "recipes" / "quickstart.yaml")
SMALL = ["answers.k=2", "answers.max_tokens=48", "exam.max_tokens=24", "--limit", "20"]

pytestmark = pytest.mark.live


def start(runs: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "databuild",
        "run",
        RECIPE,
        *SMALL,
        "--runs",
        str(runs),
        "--json",
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def answered(runs: Path) -> list[str]:
    """The keys of all journalled requests."""
    lines = [
        line for file in runs.glob("journals/*/*.jsonl") for line in file.read_text().splitlines()
    ]
    return [json.loads(line)[0] for line in lines]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Run the recipe from end to end."""
    runs = tmp_path_factory.mktemp("quickstart") / "runs"
    process = start(runs)
    out, err = process.communicate(timeout=850)
    assert process.returncode == 0, err[-3000:]
    return runs, json.loads(out)


def test_both_rounds_end_in_a_verdict(run: tuple[Path, dict[str, Any]]) -> None:
    _, outcome = run
    assert len(outcome["promotions"]) == 2
    holdout = outcome["verdicts"]["holdout"]
    assert holdout["n_prompts"] == 20
    assert 0 <= holdout["base"]["mean"] <= 1
    assert Path(outcome["report"]).stat().st_size > 10_000


def test_nothing_was_asked_twice(run: tuple[Path, dict[str, Any]]) -> None:
    runs, _ = run
    assert [key for key, n in Counter(answered(runs)).items() if n > 1] == []


def test_every_row_is_accounted_for(run: tuple[Path, dict[str, Any]]) -> None:
    runs, _ = run
    for name, manifest in databuild.status("quickstart", runs=runs).items():
        assert manifest.status == "complete", name
        rows = manifest.rows
        if manifest.kind == "select":
            assert rows.rows_in == rows.rows_out + rows.dropped, name
    answers = databuild.status("quickstart", runs=runs)["answers@1"].rows
    assert answers.rows_in * 2 == answers.rows_out + answers.failed


def test_a_second_run_is_all_cache(run: tuple[Path, dict[str, Any]]) -> None:
    runs, _ = run
    again = start(runs)
    out, _ = again.communicate(timeout=60)
    assert {step["status"] for step in json.loads(out)["steps"]} == {"cached"}


def test_why_follows_a_training_row_to_its_source(run: tuple[Path, dict[str, Any]]) -> None:
    runs, _ = run
    row = databuild.show("chosen@1", "quickstart", runs=runs).row(0, named=True)
    (life,) = databuild.why(row["row_id"], "quickstart", runs=runs)
    trained = [event.step for event in life.events if event.what == "trained"]
    assert trained == ["sft@1"]
    parent = life
    while parent.parents:
        parent = parent.parents[0]
    assert parent.row["source_file"] == "train.jsonl"


def test_the_datasets_load_and_the_model_answers(run: tuple[Path, dict[str, Any]]) -> None:
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    runs, outcome = run
    sft = load_dataset(outcome["exports"]["sft_set@1"], split="train")
    assert sft.column_names[:2] == ["prompt", "completion"]
    pairs = load_dataset(outcome["exports"]["dpo_set@1"], split="train")
    assert {"prompt", "chosen", "rejected"} <= set(pairs.column_names)
    folder = Path(databuild.status("quickstart", runs=runs)["dpo@1"].model.location)
    folder = runs / folder
    tokenizer, model = (
        kind.from_pretrained(folder) for kind in (AutoTokenizer, AutoModelForCausalLM)
    )
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Say hello."}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    )  # fmt: skip
    assert model.generate(**ids, max_new_tokens=4).shape[1] > ids["input_ids"].shape[1]
