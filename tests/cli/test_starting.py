"""init: a runnable recipe in an empty folder."""

from __future__ import annotations

import pytest

from databuild.cli.quickstart import write_recipe
from databuild.errors import StoreError


def test_what_init_writes_is_a_recipe_that_checks(small):
    told = small("init", "mine").stdout
    assert "cd mine" in told
    assert "databuild run" in told
    files = {p.name for p in (small.folder / "mine").rglob("*") if p.is_file()}
    assert {"recipe.yaml", "train.jsonl", "dev.jsonl", "holdout.jsonl"} <= files
    assert small.json("check", "mine/recipe.yaml")["recipe"] == "quickstart"
    text = (small.folder / "mine/recipe.yaml").read_text(encoding="utf-8")
    assert "yaml-language-server" not in text
    assert "recipes/quickstart.yaml" not in text


def test_a_folder_with_files_is_refused(small):
    told = small("init", ".", code=6).stderr
    assert "the folder is not empty: it has prompts.jsonl, recipe.yaml" in told


def test_hidden_files_do_not_count(tmp_path):
    (tmp_path / ".git").mkdir()
    assert write_recipe(tmp_path)[0] == tmp_path / "recipe.yaml"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="this is a file"):
        write_recipe(tmp_path / "taken")


def test_init_writes_the_recipe_that_is_asked_for(small):
    small("init", "mine", "--recipe", "clean")
    files = {p.name for p in (small.folder / "mine").rglob("*") if p.is_file()}
    assert {"recipe.yaml", "tasks.jsonl", "chats.json", "wenda.csv", "pairs.jsonl"} <= files
    assert small.json("check", "mine/recipe.yaml")["recipe"] == "clean"
    assert "recipes/clean.yaml" not in (small.folder / "mine/recipe.yaml").read_text("utf-8")


def test_init_names_the_recipe_that_was_meant(small):
    told = small("init", "mine", "--recipe", "claen", code=2).stderr
    assert "did you mean 'clean'" in told
    assert not (small.folder / "mine").exists()
