"""A version is whole, immutable, and says where its rows came from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild import api
from databuild.errors import RecipeError, SchemaError, StepError, StoreError
from databuild.release.versions import Versions
from tests.release.conftest import tickets

if TYPE_CHECKING:
    from tests.release.conftest import Shop


def test_a_version_is_a_folder_that_datasets_loads(shop: Shop, monkeypatch) -> None:
    shop.run(tickets(40))
    folder = shop.release("shop@1.0.0")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(shop.folder / "cache"))
    import datasets

    for split, name in (("train", "split.train"), ("dev", "split.dev")):
        rows = datasets.load_dataset(
            str(folder), "sft", split=split, cache_dir=str(shop.folder / "cache")
        )
        ours = api.show(name, "shop", runs=shop.folder / "runs")
        assert rows["row_id"] == ours["row_id"].to_list()
        assert rows["response"] == ours["response"].to_list()
    streamed = datasets.load_dataset(str(folder), "all", split="everything", streaming=True)
    assert len(list(streamed)) == 40


def test_every_row_leads_to_its_file_and_record_with_polars_alone(shop: Shop) -> None:
    shop.run(tickets(30))
    folder = shop.release()
    came = pl.read_parquet(folder / "lineage/sources-*.parquet")
    rows = pl.read_parquet(folder / "data/all/everything-*.parquet")
    lines = (shop.folder / "rows.jsonl").read_bytes()
    assert sorted(came["row_id"]) == sorted(rows["row_id"])
    for row_id, _, file, record in came.rows():
        assert file == "rows.jsonl"
        line = json.loads(lines[record:].split(b"\n", 1)[0])
        assert line["prompt"] == rows.filter(pl.col("row_id") == row_id)["prompt"].item()


def test_the_card_says_how_it_was_made_and_what_was_not_checked(shop: Shop) -> None:
    shop.run(tickets(20))
    text = (shop.release() / "README.md").read_text()
    assert "| sft | train | 14 | `split.train` |" in text
    assert "| `raw` | `rows.jsonl` |" in text
    assert "CC-BY-4.0" in text
    assert "| contamination | not checked | no step dedup.contamination" in text


def test_a_version_never_changes_and_never_goes_backwards(shop: Shop) -> None:
    shop.run(tickets(20))
    folder = shop.release("shop@1.2.0")
    for name, what in (("shop@1.2.0", "never changes"), ("shop@1.1.9", "is before 1.2.0")):
        with pytest.raises(RecipeError, match=what):
            shop.release(name)
    assert {path.stat().st_mode & 0o222 for path in folder.rglob("*")} == {0}
    assert shop.release().name == "1.2.0"  # the same rows
    shop.run(tickets(21))
    assert shop.release().name == "1.3.0"


def test_what_is_released_already_is_released_anew_only_where_somebody_wants_it(shop: Shop):
    shop.run(tickets(20))
    assert [shop.release().name for _ in range(2)] == ["1.0.0", "1.0.0"]
    with (shop.folder / "shop.yaml").open("a") as recipe:
        recipe.write("# another licence, perhaps\n")
    assert shop.release().name == "1.1.0"
    Versions(shop.store, "shop").point(latest="1.0.0")
    assert shop.release().name == "1.2.0"  # people went back behind 1.1.0


def test_a_column_that_is_gone_makes_the_next_version_a_major_one(shop: Shop) -> None:
    rows = tickets(20)
    shop.run([{**row, "tone": "kind"} for row in rows])
    shop.release()
    shop.run(rows)
    assert shop.release().name == "2.0.0"


@pytest.mark.parametrize("name", ["shop@1.0", "shop@v1.0.0", "shop@", "../x@1.0.0", "@1.0.0", ""])
def test_what_is_no_name_is_refused(shop: Shop, name: str) -> None:
    shop.run(tickets(20))
    if name == "shop@":
        assert shop.release(name).name == "1.0.0"
        return
    with pytest.raises(RecipeError):
        shop.release(name)


def test_gates_refuse_unless_a_reason_is_given(shop: Shop) -> None:
    twins = [{**row, "response": f"Other {n}."} for n, row in enumerate(tickets(20))]
    shop.run([*tickets(20), *twins])
    with pytest.raises(StepError, match=r"gate `leak` is not passed: \d+ prompts of sft/dev"):
        shop.release()
    assert Versions(shop.store, "shop").known() == []
    folder = shop.release(leak="both sides were asked on purpose")
    assert "Released all the same: both sides were asked" in (folder / "README.md").read_text()
    with pytest.raises(RecipeError, match="'leaks' is no gate"):
        shop.release(leaks="x")


def test_a_licence_can_be_asked_for(shop: Shop) -> None:
    shop.run(tickets(20), **{"licence: {raw: CC-BY-4.0}": "needs_licence: true"})
    with pytest.raises(StepError, match="gate `licence` is not passed: unknown of raw"):
        shop.release()


def test_what_is_wrong_in_the_recipe_is_said_before_it_runs(shop: Shop) -> None:
    with pytest.raises(RecipeError, match=r"shop.yaml:\d+.*names the step 'splits'"):
        shop.run(tickets(5), **{"train: split.train": "train: splits.train"})
    shop.run(tickets(20), **{"dev: split.dev": "dev: split.test"})
    with pytest.raises(SchemaError, match="no part 'test'"):
        shop.release()


def test_a_recipe_without_the_section_says_what_to_add(shop: Shop) -> None:
    shop.run(tickets(5))
    text = (shop.folder / "shop.yaml").read_text()
    (shop.folder / "shop.yaml").write_text(text.partition("release:")[0])
    with pytest.raises(RecipeError, match="add `release:"):
        shop.release()


def test_of_two_at_once_one_wins_and_the_other_is_told(shop: Shop) -> None:
    shop.run(tickets(20))
    first = Versions(shop.store, "shop")
    making = first.making("1.0.0")
    making.__enter__()
    shop.release("shop@1.0.0")
    with pytest.raises(StoreError, match="released by somebody else"):
        making.__exit__(None, None, None)
    assert first.read("1.0.0").version == "1.0.0"
    assert [path.name for path in first.root.glob(".1.0.0.*")] == []


def test_a_killed_release_is_invisible_and_the_next_one_sweeps_it(shop: Shop) -> None:
    shop.run(tickets(20))
    killed = """
import os, signal, sys
from databuild import api
import databuild.release.publishing as p
p.card = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
api.release(sys.argv[1] + "/shop.yaml", "shop@1.0.0", store=sys.argv[1] + "/releases", runs=sys.argv[1] + "/runs")
"""
    run = subprocess.run([sys.executable, "-c", killed, str(shop.folder)], check=False)
    assert run.returncode == -signal.SIGKILL
    versions = Versions(shop.store, "shop")
    assert versions.known() == []
    assert list(versions.root.glob(".1.0.0.*"))
    shop.release("shop@1.0.0")
    assert list(versions.root.glob(".1.0.0.*")) == []
    assert versions.known() == ["1.0.0"]


def test_a_full_disk_is_one_clear_error(shop: Shop, monkeypatch) -> None:
    shop.run(tickets(20))

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("databuild.release.writing.write_parquet", full)
    with pytest.raises(StoreError, match="No space left on device"):
        shop.release()
    assert Versions(shop.store, "shop").known() == []
