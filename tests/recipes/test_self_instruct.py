"""The recipe from seed tasks to an SFT set, on the fake model."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import databuild
from databuild.generate.self_instruct import _PROMPTS
from databuild.schema.rows import check_rows
from databuild.shipped import shipped
from databuild.text.rouge import Novelty

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


# Both languages, on the prompts that come with the step: those of the recipe are for a tiny model.
GIVEN = [
    "seeds=[self_instruct/seeds.en.jsonl, self_instruct/seeds.zh.jsonl]",
    "target=60",
    "made.prompts=[]",
    "made.heads=16",
    "made.max_requests=1500",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the recipe was run with the fake model in place of the packaged one."""
    folder = tmp_path_factory.mktemp("self_instruct")
    shutil.copytree(shipped("recipes/self_instruct"), folder / "self_instruct")
    lines = shipped("recipes/self_instruct.yaml").read_text("utf-8").splitlines()
    fake = ["  start: {fake: {skill_ratio: 1}}" if "packaged:" in line else line for line in lines]
    assert fake != lines
    (folder / "self_instruct.yaml").write_text("\n".join(fake), "utf-8")
    databuild.run(folder / "self_instruct.yaml", GIVEN, runs=folder / "runs")
    return folder


def step_of(folder: Path, step: str) -> Path:
    home = folder / "runs/self_instruct"
    return home / json.loads((home / "latest.json").read_text("utf-8"))["steps"][step]


def rows_of(folder: Path, step: str, kind: str = ".") -> pl.DataFrame:
    return pl.read_parquet(sorted((step_of(folder, step) / kind).glob("part-*.parquet")))


def manifest(folder: Path, step: str) -> dict[str, Any]:
    held = json.loads((step_of(folder, step) / "manifest.json").read_text("utf-8"))
    assert isinstance(held, dict)
    return held


def test_its_own_prompt_shows_the_tasks_as_an_answer() -> None:
    databuild.check(shipped("recipes/self_instruct.yaml"))  # looks at it, too
    read = _PROMPTS.read(sorted(shipped("recipes/self_instruct/prompts").glob("*.md")))
    turns = read["instructions", "en"].messages(tasks=["Name a fish.", "Why?"], first=3, last=6)
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[2].content == "1. Name a fish.\n2. Why?"
    assert "Write 4 more" in turns[3].content


def test_seeds_are_of_both_languages_and_every_kind(folder: Path) -> None:
    seeds = rows_of(folder, "seeds")
    kinds = seeds.with_columns(zh=pl.col("instruction").str.contains(r"\p{Han}")).group_by(
        "topic", "zh", "is_classification"
    )
    assert kinds.len().height == 4 * 2 * 2
    assert seeds["instruction"].n_unique() == seeds.height >= 40
    alike = Novelty(0.7).judge(seeds["instruction"].to_list())
    assert alike == [None] * seeds.height


def test_the_target_is_reached_and_topics_fill_their_shares(folder: Path) -> None:
    made = rows_of(folder, "made")
    assert made.height == 60
    assert made["topic"].value_counts()["count"].to_list() == [15] * 4
    assert set(made["language"]) == {"en", "zh"}
    facts = manifest(folder, "made")["metrics"]
    assert (facts["stopped"], facts["shortfall"]) == ("target reached", [])


def test_rows_come_from_seeds_and_what_fell_says_why(folder: Path) -> None:
    seeds = set(rows_of(folder, "seeds")["row_id"])
    made, failed = rows_of(folder, "made"), rows_of(folder, "made", "failed")
    assert set(made["parent_ids"].explode()) <= seeds
    assert (made["parent_ids"].list.len() >= 1).all()
    assert failed["error"].null_count() == 0
    counts = manifest(folder, "made")["rows"]
    assert counts["failed"] == failed.height == counts["notes"]["turned_away"]


def test_the_set_is_of_sft_rows(folder: Path) -> None:
    made = rows_of(folder, "made")
    assert check_rows(made, "sft").null_count() == made.height
    files = list(step_of(folder, "sft_set").rglob("*.parquet"))
    assert sum(pl.read_parquet(file).height for file in files) >= 50


def test_a_second_run_asks_nothing(folder: Path) -> None:
    before = manifest(folder, "made")
    journals = {path: path.stat().st_size for path in folder.glob("runs/journals/*/*.jsonl")}
    assert journals
    shutil.rmtree(step_of(folder, "made"))
    databuild.run(folder / "self_instruct.yaml", GIVEN, runs=folder / "runs")
    assert manifest(folder, "made")["digest"] == before["digest"]
    assert {path: path.stat().st_size for path in journals} == journals


def test_a_model_that_writes_nonsense_ends_the_run_well(tmp_path: Path) -> None:
    nonsense = "models.start={fake: {skill_ratio: 0, nonsense_ratio: 1.0}}"
    ran = databuild.run(shipped("recipes/self_instruct.yaml"), [nonsense], runs=tmp_path)
    facts = ran["made"].manifest.metrics
    assert (ran["made"].manifest.rows.rows_out, facts["kept"]) == (0, 0)
    assert [one["got"] for one in facts["shortfall"]] == [0] * 4
    assert ran["sft_set"].manifest.status == "complete"
