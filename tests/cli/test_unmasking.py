from __future__ import annotations

import json
import stat

import polars as pl
import pytest

from tests.cli.conftest import Terminal

SECRET = "a secret of the tests, not of anybody else"  # noqa: S105 -- a test's own
RECIPE = """\
name: private
steps:
  raw: {use: ingest.files, path: mails.jsonl}
  masked: {use: fix.mask, from: raw, style: pseudonym, key_env: TEST_PSEUDONYMS, mapping_key_env: TEST_MAPPING}
  facts: {use: measure.pii, from: masked}
  clean: {use: sample.where, from: facts, keep: prompt_pii_count == 0}
"""
TEXTS = ["Write to ann@post.org", "nothing here", "ann@post.org, 81.2.69.142"]


@pytest.fixture
def private(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_PSEUDONYMS", "another secret of the tests")
    monkeypatch.setenv("TEST_MAPPING", SECRET)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "mails.jsonl").write_text("".join(json.dumps({"prompt": t}) + "\n" for t in TEXTS))
    terminal = Terminal(tmp_path)
    terminal("run")
    return terminal


def test_a_recipe_masks_and_who_has_the_secret_puts_it_back(private):
    told = private.json("show", "clean")
    assert told["n_rows"] == 3
    assert not any("ann@post.org" in row["prompt"] for row in told["rows"])
    private("unmask", "clean", "--key-env", "TEST_MAPPING", "--out", "back.jsonl")
    out = private.folder / "back.jsonl"
    assert sorted(json.loads(line)["prompt"] for line in out.read_text().splitlines()) == sorted(
        TEXTS
    )
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_file_is_restored_as_well(private):
    (part,) = (private.folder / "runs" / "private").glob("masked-*/part-*.parquet")
    private("unmask", str(part), "--key-env", "TEST_MAPPING", "--out", "back.parquet")
    again = private(
        "unmask", str(part), "--key-env", "TEST_MAPPING", "--out", "back.parquet", code=6
    )
    assert "this file exists" in again.stderr


def test_without_the_secret_nothing_is_written(private, monkeypatch):
    told = private("unmask", "clean", "--key-env", "NOT_SET_HERE", "--out", "x.jsonl", code=4)
    assert "NOT_SET_HERE is not set" in told.stderr
    monkeypatch.setenv("TEST_MAPPING", SECRET[::-1])
    told = private("unmask", "clean", "--key-env", "TEST_MAPPING", "--out", "x.jsonl", code=4)
    assert "sealed with another secret" in told.stderr
    assert not (private.folder / "x.jsonl").exists()


def test_neither_secret_nor_value_is_in_the_runs_folder_after_the_source(private):
    found = []
    for path in (private.folder / "runs").rglob("*"):
        if path.is_file() and "raw-" not in str(path):
            table = path.suffix == ".parquet"
            said = repr(pl.read_parquet(path).to_dicts()) if table else path.read_bytes().decode()
            found += [path for text in (SECRET, "another secret", "ann@post.org") if text in said]
    assert not found


def test_other_kinds_of_file_are_refused(private):
    told = private("unmask", "clean", "--key-env", "TEST_MAPPING", "--out", "x.csv", code=6)
    assert "ends in '.csv'" in told.stderr
    (private.folder / "bad.jsonl").write_text("{")
    told = private("unmask", "bad.jsonl", "--key-env", "TEST_MAPPING", "--out", "x.jsonl", code=3)
    assert "cannot be read" in told.stderr
