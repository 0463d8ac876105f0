"""check and plan: what is asked, and what it would do."""

from __future__ import annotations

import pytest


def test_check_says_that_a_recipe_is_right_and_what_comes_next(small):
    told = small("check").stdout
    assert "recipe 'small' is right: 5 steps." in told
    assert "databuild plan recipe.yaml" in told


def test_check_lists_the_steps_as_json(small):
    told = small.json("check", "recipe.yaml", "answers.k=2")
    assert [step["step"] for step in told["steps"]] == ["raw", "facts", "clean", "split", "answers"]


def test_the_only_yaml_file_is_the_recipe(small):
    (small.folder / "recipe.yaml").rename(small.folder / "mine.yaml")
    assert small.json("check")["path"] == "mine.yaml"


def test_of_several_yaml_files_one_must_be_named(small):
    text = (small.folder / "recipe.yaml").read_text(encoding="utf-8")
    (small.folder / "recipe.yaml").unlink()
    for name in ("a.yaml", "b.yaml"):
        (small.folder / name).write_text(text, encoding="utf-8")
    assert "it has 2 *.yaml files and no recipe.yaml" in small("check", code=2).stderr
    assert "two recipes are named" in small("check", "a.yaml", "b.yaml", code=2).stderr
    small("check", "b.yaml")


def test_a_plan_of_an_unrun_recipe_runs_the_first_and_decides_the_rest_later(small):
    steps = {step["name"]: step for step in small.json("plan")["steps"]}
    assert steps["raw"]["status"] == "run"
    assert steps["answers"]["status"] == "later"
    assert not (small.folder / "runs").exists()


def test_a_plan_of_a_finished_run_is_all_cached_with_rows_and_seconds(ran):
    steps = ran.json("plan")["steps"]
    assert {step["status"] for step in steps} == {"cached"}
    assert {step["name"]: step["rows"] for step in steps}["answers"] == 160
    assert "5 steps: 5 cached." in ran("plan").stdout


def test_why_names_the_option_that_changed(ran):
    told = ran("plan", "answers.k=2", "--why").stdout
    assert "4 cached, 1 run" in told
    (line,) = [line for line in told.splitlines() if line.startswith("answers")]
    assert "k" in line.split("run", 1)[1]


@pytest.mark.parametrize("limit", ["1", "5"])
def test_a_preview_has_keys_of_its_own(ran, limit):
    assert ran.json("plan", "--limit", limit)["steps"][0]["status"] == "run"
