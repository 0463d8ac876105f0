"""A recipe of generation with the real model: documents become questions, and nothing is paid twice."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import polars as pl
import pytest

import databuild
from databuild.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.live
RECIPE = shipped("recipes/documents_to_qa.yaml")


@pytest.fixture(scope="module")
def given(smollm2: Path) -> list[str]:
    """One of the recipe's documents, and its model where it is unpacked already."""
    options = "{max_model_len: 1024, max_num_seqs: 16, kv_cache_gib: 1}"
    model = f"models.writer={{path: {smollm2}, options: {options}}}"
    return ["documents=[documents_to_qa/kiln.md]", model]


@pytest.fixture(scope="module")
def runs(given: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder of the recipe over one of its documents."""
    folder = tmp_path_factory.mktemp("documents") / "runs"
    databuild.run(RECIPE, given, runs=folder, device="cpu")
    return folder


def journal(runs: Path) -> Path:
    (found,) = runs.glob("journals/*/requests.jsonl")
    return found


def answers(runs: Path) -> list[dict[str, object]]:
    return [json.loads(line)[1] for line in journal(runs).read_text("utf-8").splitlines()]


def test_questions_are_made_and_every_request_is_accounted_for(runs: Path):
    steps = databuild.status("documents_to_qa", runs=runs)
    passages, rows = steps["passages"].rows.rows_out, steps["asked"].rows
    assert passages > 2
    assert rows.rows_out > 0
    assert rows.rows_out + rows.failed == len(answers(runs)) <= 3 * passages
    failed = [pl.read_parquet(file) for file in runs.glob("*/asked-*/failed/*.parquet")]
    assert sum(part.height for part in failed) == rows.failed
    assert all(part["error"].null_count() == 0 for part in failed)


def test_every_quote_stands_in_its_document(runs: Path):
    made = databuild.show("asked", "documents_to_qa", runs=runs)
    (text,) = databuild.show("tidy", "documents_to_qa", runs=runs)["text"]
    spans = made.select("quote", "quote_start", "quote_end").iter_rows()
    assert [quote == text[start:end] for quote, start, end in spans] == [True] * made.height
    assert made["prompt"].str.ends_with("?").all()


def test_the_ledger_has_what_the_journal_has(runs: Path):
    usage = databuild.ledger("documents_to_qa", runs=runs).total.usage
    assert (usage.paid, usage.reused, usage.failed) == (len(answers(runs)), 0, 0)
    assert usage.tokens_out == sum(int(str(one["completion_tokens"])) for one in answers(runs))


def test_a_run_anew_takes_every_answer_from_the_journal_and_starts_no_model(
    given: list[str], runs: Path
):
    before = journal(runs).read_bytes()
    made = databuild.show("asked", "documents_to_qa", runs=runs)
    for folder in (runs / "documents_to_qa").glob("asked-*"):
        shutil.rmtree(folder)
    databuild.run(RECIPE, given, runs=runs, device="cpu")
    assert journal(runs).read_bytes() == before
    assert list((runs / "documents_to_qa").glob("asked-*/vllm.log")) == []
    again = databuild.show("asked", "documents_to_qa", runs=runs)
    key = ["row_id", "prompt", "response"]
    assert again.sort("row_id").select(key).equals(made.sort("row_id").select(key))
    assert pl.Series(again["completion_tokens"]).sum() > 0
    assert databuild.ledger("documents_to_qa", runs=runs).total.usage.paid == len(answers(runs))
