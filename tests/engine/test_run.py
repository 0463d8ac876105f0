from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from databuild.errors import StepError, StoreError
from tests.engine.harness import LINES, Toy, ids


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


def test_every_row_is_accounted_for(toy: Toy) -> None:
    result = toy.run()
    raw, long, twice = (result[name].manifest.rows for name in ("raw", "long", "twice"))
    assert raw.rows_out + raw.failed == len(LINES)
    assert long.rows_in == long.rows_out + long.dropped == raw.rows_out
    assert twice.rows_out == 2 * twice.rows_in
    assert raw.by_reason == {"broken line": 5}
    assert long.by_reason == {"too short": 15}


def test_equal_rows_get_different_ids(toy: Toy) -> None:
    toy.run()
    rows = toy.table("raw")
    assert rows["row_id"].n_unique() == rows.height
    assert rows["content_id"].n_unique() < rows.height


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "shard_rows", [pytest.param(1, marks=SLOW), pytest.param(3, marks=SLOW), 7, 1000]
)
def test_ids_do_not_depend_on_shards(tmp_path: Path, shard_rows: int) -> None:
    straight = ids(Toy(tmp_path, "one").run(shard_bytes=10_000))
    cut = ids(Toy(tmp_path, "two").run(shard_bytes=shard_rows, shard_rows=shard_rows))
    assert cut == straight


@pytest.mark.slow
def test_ids_do_not_depend_on_workers(tmp_path: Path) -> None:
    straight = ids(Toy(tmp_path, "one").run(shard_bytes=10_000))
    assert ids(Toy(tmp_path, "two").run(shard_bytes=5, workers=2)) == straight


@pytest.mark.slow
def test_row_order_does_not_change_ids(toy: Toy) -> None:
    toy.run(shard_bytes=7)
    before = toy.table("joined")["row_id"].sort()
    toy.write(LINES[::-1])
    toy.run(shard_bytes=5)
    assert toy.table("joined")["row_id"].sort().equals(before)


def test_a_second_run_is_all_cache(toy: Toy) -> None:
    toy.run()
    assert all(step.cached for step in toy.run().steps)
    assert {line.status for line in toy.plan()} == {"cached"}


def test_a_changed_option_reruns_only_what_depends_on_it(toy: Toy) -> None:
    toy.run()
    plan = {line.name: line for line in toy.plan("long.least=3")}
    assert plan["length"].status == "cached"
    assert plan["long"].status == "run"
    assert plan["long"].reason == "options.least: default -> 3"
    assert plan["joined"].status == "later"
    result = toy.run("long.least=3")
    assert [step.name for step in result.steps if not step.cached] == [
        "long",
        "halves",
        "twice",
        "joined",
    ]


def test_an_equal_result_stops_the_wave(toy: Toy) -> None:
    toy.run()
    toy.write([*LINES[1:], LINES[0]])  # another file, the same rows at other places
    result = toy.run("long.least=2")
    assert not result["raw"].cached
    toy.write(LINES)
    result = toy.run()
    assert all(step.cached for step in result.steps)


def test_a_threshold_that_keeps_the_same_rows_reruns_nothing_below(toy: Toy) -> None:
    toy.write(["a", "dddd", "eeee"])
    toy.run("long.least=2")
    result = toy.run("long.least=3")
    assert [step.name for step in result.steps if not step.cached] == ["long"]


@pytest.mark.parametrize(
    "step",
    [
        "raw",
        *(pytest.param(s, marks=SLOW) for s in ("length", "long", "halves", "twice")),
        "joined",
    ],
)
@pytest.mark.slow
def test_a_deleted_step_folder_is_restored_and_nothing_else(toy: Toy, step: str) -> None:
    first = toy.run(shard_bytes=7)
    before = ids(first)
    shutil.rmtree(first[step].folder)
    again = toy.run(shard_bytes=4)  # another shard size: sidecars must still find their rows
    assert [s.name for s in again.steps if not s.cached] == [step]
    assert ids(again) == before
    assert toy.table("long").height == 30


def test_from_runs_a_step_and_all_after_it_again(toy: Toy) -> None:
    toy.run()
    result = toy.run(again_from="halves")
    assert [step.name for step in result.steps if not step.cached] == ["halves", "twice"]


def test_too_many_failures_stop_the_run_and_say_why(toy: Toy) -> None:
    with pytest.raises(StepError, match=r"5 of 50 rows failed.*0\.01 allows: 5 × broken line"):
        toy.run("steps.raw.max_failure_ratio=0.01")
    assert toy.run().steps[0].manifest.rows.failed == 5


def test_two_runs_in_one_folder_at_once_are_refused(toy: Toy) -> None:
    outputs = toy.outputs()
    with (
        outputs.store.locked(),
        pytest.raises(StoreError, match="another run works in this folder"),
    ):
        toy.run()


def test_a_runs_folder_of_another_format_is_refused(toy: Toy) -> None:
    toy.run()
    marker = toy.folder / "runs" / "databuild.json"
    marker.write_text('{"format": 99}')
    with pytest.raises(StoreError, match="format 99"):
        toy.run()


def test_a_damaged_manifest_is_a_clear_error(toy: Toy) -> None:
    result = toy.run()
    manifest = Path(result["long"].folder) / "manifest.json"
    manifest.write_text('{"half": ')
    with pytest.raises(StoreError, match=r"manifest\.json: it cannot be read"):
        toy.run()


@pytest.mark.slow
def test_a_damaged_part_of_an_unfinished_step_is_made_again(toy: Toy) -> None:
    result = toy.run(shard_bytes=10)
    folder = Path(result["length"].folder)
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"complete"', '"unfinished"'))
    (folder / "part-00001.parquet").write_bytes(b"PAR1 damaged")
    again = toy.run()
    assert ids(again) == ids(result)


def test_an_empty_file_gives_empty_tables(toy: Toy) -> None:
    toy.write([])
    result = toy.run()
    assert [step.manifest.rows.rows_out for step in result.steps] == [0, 0, 0, 0, 0, 0]


def test_a_preview_takes_that_many_rows_of_each_file(toy: Toy) -> None:
    result = toy.run(limit=4)
    assert result["raw"].manifest.rows.rows_out == 4
    assert toy.run()["raw"].manifest.rows.rows_out == 45
