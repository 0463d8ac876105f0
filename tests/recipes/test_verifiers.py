"""The recipe of verifiers: which of its rows pass, read by hand."""

from __future__ import annotations

import platform
import shutil
from typing import TYPE_CHECKING

import pytest

import databuild
from databuild.shipped import shipped

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.system() != "Linux", reason="code is locked in on Linux"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verifiers")
    shutil.copytree(shipped("recipes/verifiers"), folder / "verifiers")
    shutil.copyfile(shipped("recipes/verifiers.yaml"), folder / "verifiers.yaml")
    databuild.run(folder / "verifiers.yaml", runs=folder / "runs")
    return folder / "runs"


def table(runs: Path, step: str) -> pl.DataFrame:
    return databuild.show(step, "verifiers", runs=runs)


def test_every_second_chat_follows_its_instructions(runs):
    chats = table(runs, "length").sort("source_record")
    assert chats["chat_pass"].to_list() == [True, False] * 4
    assert chats["chat_missed"].list.len().to_list() == [0, 2, 0, 1, 0, 1, 0, 2]
    assert chats["keyword_pass"].to_list() == [True, True, True, True, True, False, True, True]
    assert chats["length_score"].is_between(0, 1).all()
    assert chats["length_reason"].str.ends_with("characters away").all()


def test_every_second_sum_is_right(runs):
    sums = table(runs, "checked").sort("source_record")
    assert sums["maths_pass"].to_list() == [True, False] * 4
    assert table(runs, "right").height == 4


def test_one_program_works_and_the_others_say_why_not(runs):
    programs = table(runs, "runs").sort("source_record")
    assert programs["code_score"].to_list() == [1.0, 2 / 3, 0.5, 0.0]
    assert programs["code_reason"].to_list() == [
        None,
        "test 3: AssertionError",
        "test 2: over 2 CPU seconds",
        "test 1: AssertionError",
    ]
