"""recipes/best_of_k.yaml on the fake model, and that its problems and answers are right."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import databuild
from databuild.shipped import shipped
from databuild.text.final_answers import agree, find_answer, read_value

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PROBLEMS = shipped("recipes/best_of_k")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the recipe was run with the fake model."""
    folder = tmp_path_factory.mktemp("best")
    shutil.copytree(PROBLEMS, folder / "best_of_k")
    text = shipped("recipes/best_of_k.yaml").read_text("utf-8")
    fake, n = re.subn(r"start: \{packaged.*", "start: {fake: {seed: 1, skill_ratio: 0.6}}", text)
    assert n == 1
    (folder / "best_of_k.yaml").write_text(fake, "utf-8")
    both = "asked.keep=language in ['en', 'zh']"
    databuild.run(folder / "best_of_k.yaml", [both], runs=folder / "runs")
    return folder


def rows_of(folder: Path, step: str, kind: str = "") -> pl.DataFrame:
    latest = json.loads((folder / "runs/best_of_k/latest.json").read_text("utf-8"))
    place = folder / "runs/best_of_k" / latest["steps"][step] / kind
    return pl.concat(pl.read_parquet(file) for file in sorted(place.glob("*.parquet")))


def test_the_problems_are_what_their_script_writes() -> None:
    lines = (PROBLEMS / "problems.jsonl").read_text("utf-8").splitlines()
    written = [json.loads(line) for line in lines]
    assert written == runpy.run_path(str(PROBLEMS / "make_problems.py"))["problems"]()
    assert len({one["prompt"] for one in written}) == len(written) == 40
    assert sum(one["language"] == "zh" for one in written) == 20


def test_best_answers_are_right_and_one_of_each_problem(folder: Path) -> None:
    scored, chosen = rows_of(folder, "answers"), rows_of(folder, "sft_set", "data")
    assert scored.height == 40 * 8
    solved = set()
    for prompt, response, gold in scored.select("prompt", "response", "gold").iter_rows():
        found, right = find_answer(response), read_value(gold)
        if found and agree(read_value(found[1], right), right):
            solved.add(prompt)
    told = [turns[0]["content"] for turns in chosen["prompt"]]
    assert set(told) == solved
    assert 5 < len(told) == len(set(told)) < 40


def test_pairs_are_of_a_right_and_a_wrong_answer(folder: Path) -> None:
    gold = dict(rows_of(folder, "problems").select("prompt", "gold").iter_rows())
    graded = rows_of(folder, "graded")
    assert graded.height > 5
    for prompt, chosen, rejected in graded.select("prompt", "chosen", "rejected").iter_rows():
        ends = [find_answer(text) for text in (chosen, rejected)]
        right = read_value(gold[prompt])
        said = [bool(end and agree(read_value(end[1], right), right)) for end in ends]
        assert said == [True, False]


def test_thoughts_reach_the_answer_and_every_request_is_accounted_for(folder: Path) -> None:
    thoughts, failed = rows_of(folder, "thoughts"), rows_of(folder, "thoughts", "failed")
    problems = dict(rows_of(folder, "problems").select("question", "gold").iter_rows())
    assert thoughts["reached"].all()
    assert all(
        agree(read_value(response), read_value(problems[prompt]))
        for prompt, response in thoughts.select("prompt", "response").iter_rows()
    )
    hinted = thoughts.filter("hinted")
    plain = thoughts.filter(~pl.col("hinted"))
    assert hinted.height > 0
    assert not set(hinted["prompt"]) & set(plain["prompt"])
    n_hinted = 40 - plain["prompt"].n_unique()
    assert thoughts.height + failed.height == 4 * (40 + n_hinted)
    star: list[Any] = rows_of(folder, "star_set", "data").to_dicts()
    assert len(star) == thoughts.height
    assert all(
        "<think>\n" in json.dumps(one, ensure_ascii=False).replace("\\n", "\n") for one in star
    )
