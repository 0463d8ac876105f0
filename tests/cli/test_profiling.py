"""`databuild profile` on a run: what the steps lost, the page beside the run, the same as JSON."""

from __future__ import annotations

import json

import polars as pl
import pytest

import databuild
from tests.cli.conftest import N_PROMPTS, N_SHORT


def test_a_step_is_described_with_what_was_lost_on_the_way(ran):
    told = ran("profile", "clean").stdout
    assert f"clean  {N_PROMPTS} rows, " in told
    assert f"clean  dropped {N_SHORT}  not (prompt_words >= 4)" in told
    assert "Too short 0" in told
    assert "page: runs/small/profile-clean.html" in told
    page = (ran.folder / "runs/small/profile-clean.html").read_text(encoding="utf-8")
    assert "Lost on the way" in page


def test_json_has_what_the_terminal_tells(ran):
    told = ran.json("profile", "clean", "--limit", "1", "--columns", "prompt,prompt_words")
    assert told["rows"] == N_PROMPTS
    assert [one["name"] for one in told["columns"]] == ["prompt", "prompt_words"]
    (loss,) = told["losses"]
    assert (loss["step"], loss["fate"], loss["n"]) == ("clean", "dropped", N_SHORT)
    assert len(loss["examples"]) == 1
    same = databuild.profile(
        "clean", runs=ran.folder / "runs", limit=1, columns=("prompt", "prompt_words")
    )
    plain = json.loads(json.dumps(same.as_plain()))
    assert {k: v for k, v in told.items() if k not in {"page", "place"}} == {
        k: v for k, v in plain.items() if k != "place"
    }


def test_two_steps_are_compared(ran):
    told = ran.json("profile", "raw", "clean")
    changes = told["changes"]
    assert changes["matched_by"] == "row_id"
    assert (changes["n_same"], changes["n_removed"]) == (N_PROMPTS, N_SHORT)
    assert "prompt_words" in changes["columns_added"]
    said = ran("profile", "raw", "clean").stdout
    assert "removed" in said
    assert "not (prompt_words >= 4)" in said


def test_parts_and_losses_of_a_step_are_tables_too(ran):
    dropped = ran.json("profile", "clean.dropped")
    assert dropped["rows"] == N_SHORT
    assert "reason" in {one["name"] for one in dropped["columns"]}
    parts = [ran.json("profile", f"split.{part}")["rows"] for part in ("train", "dev")]
    assert sum(parts) == N_PROMPTS


def test_the_sizes_of_a_selection_are_those_of_its_rows(ran):
    """A view's parts are as long as those of the step that made the rows, before any selection."""
    told = ran.json("profile", "split.dev")
    view = databuild.show("split.dev", "small", runs=ran.folder / "runs")
    assert told["rows"] == view.height
    lengths = told["texts"][0]["chars"]
    assert lengths["mean"] == pytest.approx(view["prompt"].str.len_chars().mean())


def test_a_step_of_another_recipe_or_folder_is_named_by_its_path(ran):
    for name in ("small/clean", "runs/small/clean", str(ran.folder / "runs/small/clean")):
        assert ran.json("profile", name)["rows"] == N_PROMPTS


def test_a_file_has_a_page_only_where_one_is_asked_for(ran, tmp_path):
    pl.DataFrame({"prompt": ["a"]}).write_parquet(tmp_path / "rows.parquet")
    path = str(tmp_path / "rows.parquet")
    assert ran.json("profile", path)["page"] is None
    ran("profile", path, "--html", str(tmp_path / "page.html"))
    assert (tmp_path / "page.html").is_file()


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["clen"], 3, "no step 'clen'; did you mean 'clean'"),
        (["clean.part"], 3, "no part 'part'"),
        (["clean", "--columns", "promt"], 3, "did you mean 'prompt'"),
        (["clean.failed"], 3, "nothing failed in 'clean'"),
        (["no/such.parquet"], 6, "no such file or folder"),
        (["raw", "clean", "--key", "kee"], 3, "no column 'kee'"),
    ],
)
def test_what_is_not_there_is_named(ran, words, code, what):
    assert what in ran("profile", *words, code=code).stderr


@pytest.mark.parametrize("columns", ["80", "120"])
def test_lines_fit_the_terminal(ran, monkeypatch, columns):
    monkeypatch.setattr("databuild.cli.telling.PLAIN_COLUMNS", int(columns))
    for words in (["clean"], ["raw", "clean"]):
        lines = ran("profile", *words).stdout.splitlines()
        assert max(len(line.rstrip()) for line in lines) <= int(columns)


def test_control_characters_do_not_reach_the_terminal(ran, tmp_path):
    evil = "\x1b]0;title\x07\x9b31mred\u202e"
    rows = pl.DataFrame({"prompt": [evil, evil], "prompt_is_x": [True] * 2, evil: [1, 2]})
    rows.write_parquet(tmp_path / "rows.parquet")
    said = ran("profile", str(tmp_path / "rows.parquet")).stdout
    assert "␛]0;title␇�31mred�" in said
    assert not set("\x1b\x07\x9b\u202e") & set(said)
