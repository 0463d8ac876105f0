"""The recipe for documents, on the fake model: every file is asked about, every quote stands there."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import databuild
from databuild.generate.from_documents import _PROMPTS
from databuild.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

WRITER = "models.writer={fake: {skill_ratio: 0.8, nonsense_ratio: 0.1, refuse_ratio: 0.05}}"


# The fake model answers the prompts that come with the step, not those for a very small model.
SHIPPED = ["asked.only_question=false", "asked.prompts=[]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    shutil.copytree(shipped("recipes/documents_to_qa"), folder / "documents_to_qa")
    shutil.copyfile(shipped("recipes/documents_to_qa.yaml"), folder / "documents_to_qa.yaml")
    given = [WRITER, *SHIPPED]
    databuild.run(folder / "documents_to_qa.yaml", given, runs=folder / "runs")
    return folder


def step_of(folder: Path, step: str) -> Path:
    home = folder / "runs/documents_to_qa"
    latest = json.loads((home / "latest.json").read_text("utf-8"))
    assert latest["status"] == "complete"
    return home / latest["steps"][step]


def rows_of(folder: Path, step: str, kind: str = "") -> list[dict[str, Any]]:
    files = sorted((step_of(folder, step) / kind).glob("part-*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files], how="diagonal").to_dicts()


def delivered(folder: Path, step: str) -> list[dict[str, Any]]:
    files = sorted((step_of(folder, step) / "data").glob("*.parquet"))
    return [row for file in files for row in pl.read_parquet(file).to_dicts()]


def test_its_own_prompts_are_read_in_both_languages(folder):
    databuild.check(folder / "documents_to_qa.yaml")  # looks at them, too
    read = _PROMPTS.read(sorted(folder.glob("documents_to_qa/prompts/*.md")))
    given = {
        "title": "Bees",
        "headings": "",
        "related": [],
        "pairs": 1,
        "passage": "",
        "sentence": "x",
    }
    for language in ("en", "zh"):
        turns = read["question", language].messages(**given)
        assert [turn.role for turn in turns[-2:]] == ["assistant", "user"]
        assert turns[-1].content.splitlines()[0].endswith("Bees")
        assert read["question", language].digest != _PROMPTS.read()["question", language].digest


def test_chunks_are_spans_of_their_documents_and_cover_them(folder):
    documents = {row["row_id"]: row["text"] for row in rows_of(folder, "tidy")}
    left = {row_id: list(text) for row_id, text in documents.items()}
    for chunk in rows_of(folder, "chunks"):
        (parent,) = chunk["parent_ids"]
        span = slice(chunk["chunk_start"], chunk["chunk_end"])
        assert documents[parent][span] == chunk["text"]
        left[parent][span] = " " * len(chunk["text"])
    assert len(documents) == 4
    assert not "".join("".join(one) for one in left.values()).strip()


def test_every_question_quotes_its_document_and_comes_from_every_file(folder):
    documents = {row["source_file"]: row["text"] for row in rows_of(folder, "tidy")}
    asked = rows_of(folder, "asked")
    assert {row["source_file"] for row in asked} == set(documents)
    for row in asked:
        text = documents[row["source_file"]]
        assert text[row["quote_start"] : row["quote_end"]] == row["quote"]
        assert row["quote"] in row["context"]


def test_every_request_is_a_row_or_failed_with_a_reason(folder):
    used = [*rows_of(folder, "asked"), *rows_of(folder, "asked", "failed")]
    asked = [(*row["parent_ids"], row["k"]) for row in used]
    assert len(set(asked)) == len(asked)
    passages = {row["row_id"] for row in rows_of(folder, "passages")}
    assert {passage for passage, _ in asked} == passages
    assert len(passages) < len(asked) <= 3 * len(passages)
    told = {row["error"].split(":")[0] for row in rows_of(folder, "asked", "failed")}
    assert told >= {"the question is about something else", "no question", "the model refused"}


def test_questions_about_one_passage_are_not_in_both_parts(folder):
    train, dev = delivered(folder, "sft_set"), delivered(folder, "dev_set")
    assert train
    assert dev
    assert not {row["context"] for row in train} & {row["context"] for row in dev}
    assert {"prompt", "completion", "context", "quote", "quote_start"} <= train[0].keys()


def test_a_model_that_writes_nonsense_ends_the_run_well(tmp_path):
    nonsense = "models.writer={fake: {skill_ratio: 0, nonsense_ratio: 1.0}}"
    given = [nonsense, "asked.only_question=false"]
    ran = databuild.run(shipped("recipes/documents_to_qa.yaml"), given, runs=tmp_path)
    rows = ran["asked"].manifest.rows
    assert (rows.rows_out, rows.failed > 20) == (0, True)
    assert ran["sft_set"].manifest.status == "complete"
