"""show, why and status: everything about a run is looked up, in words or as JSON."""

from __future__ import annotations

import pytest


def test_rows_are_shown_shortened_and_counted(ran):
    told = ran("show", "answers", "-n", "2").stdout
    assert "answers: 160 rows, 2 shown." in told
    row = ran.json("show", "answers", "-n", "1")["rows"][0]
    assert row["row_id"][:10] in told
    assert row["row_id"] not in told
    assert len(row["parent_ids"]) == 1


def test_columns_are_chosen_and_checked(ran):
    rows = ran.json("show", "answers", "-n", "3", "--columns", "k,response")["rows"]
    assert [list(row) for row in rows] == [["row_id", "k", "response"]] * 3
    assert (
        "did you mean 'response'" in ran("show", "answers", "--columns", "respons", code=3).stderr
    )


def test_parts_and_losses_of_a_step_are_shown(ran):
    halves = [ran.json("show", f"split.{part}")["n_rows"] for part in ("train", "dev")]
    assert halves == [20, 20]
    dropped = ran.json("show", "clean.dropped")
    assert dropped["n_rows"] == 3
    assert {row["reason"] for row in dropped["rows"]} == {"not (prompt_words >= 4)"}
    assert "answers.failed: 0 rows." in ran("show", "answers.failed").stdout


def test_an_unknown_step_or_part_names_the_nearest(ran):
    assert "did you mean 'answers'?" in ran("show", "answer", code=3).stderr
    assert "did you mean 'train'?" in ran("show", "split.tran", code=3).stderr


def test_why_tells_the_way_from_the_source_to_the_answer(ran):
    row = ran.json("show", "answers", "-n", "1")["rows"][0]
    told = ran("why", row["row_id"][:12]).stdout
    for piece in (
        "(generate.respond)",
        "sample_seed",
        "made from",
        "prompts.jsonl",
        "kept in clean",
    ):
        assert piece in told
    (life,) = ran.json("why", row["row_id"])
    assert life["row_id"] == row["row_id"]
    assert life["parents"][0]["step"] == "raw"


def test_why_tells_where_a_row_was_dropped(ran):
    row = ran.json("show", "clean.dropped", "-n", "1")["rows"][0]
    assert "dropped in clean  reason not (prompt_words >= 4)" in ran("why", row["row_id"]).stdout


def test_why_of_no_row_is_an_error(ran):
    assert "no row of the last run" in ran("why", "zzzz", code=3).stderr


@pytest.mark.slow
def test_why_tells_scores_pair_and_training_sets(wheel):
    pair = wheel.json("show", "graded@1", "-n", "1")["rows"][0]
    told = wheel("why", pair["parent_ids"][0]).stdout
    assert "measured in scored@1" in told
    assert "verify_score" in told
    assert "(pairs.graded)" in told
    assert "trained in dpo@1" in told


@pytest.mark.slow
def test_a_train_step_shows_metrics_model_and_files(wheel):
    told = wheel.json("show", "sft@1")
    assert told["metrics"]["rows_used"] > 0
    assert told["model"]["kind"] == "folder"
    assert "best/fake.json" in told["files"]
    assert "difference.mean" in wheel("show", "verdict@holdout").stdout


def test_status_accounts_for_every_row(ran):
    told = ran("status").stdout
    assert "small  last run" in told
    assert "3 not (prompt_words >= 4)" in told
    steps = ran.json("status")["recipes"]["small"]["steps"]
    clean = steps["clean"]["rows"]
    assert (clean["rows_in"], clean["rows_out"], clean["dropped"]) == (43, 40, 3)


def test_several_recipes_in_a_folder_must_be_told_apart(small):
    small("run", "--limit", "3")
    small("run", "name=other", "--limit", "3")
    assert "several recipes were run here: other, small" in small("show", "raw", code=2).stderr
    assert small.json("show", "raw", "--recipe", "other")["n_rows"] == 3
    assert set(small.json("status")["recipes"]) == {"other", "small"}
    assert "did you mean 'other'" in small("status", "--recipe", "othr", code=2).stderr


def test_an_empty_runs_folder_says_how_to_start(small):
    for words in (["status"], ["show", "raw"], ["why", "ab"]):
        assert "no recipe has been run here" in small(*words, code=6).stderr


def test_env_is_json_too(small):
    assert small.json("env")["cores"] >= 1
