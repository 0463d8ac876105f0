"""Step output is there whole or not at all, whatever the file system does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from databuild.engine.store import (
    Counts,
    Part,
    Store,
    part_path,
    read_json,
    read_part,
    staged,
    sweep,
    write_json,
    write_part,
)
from databuild.errors import StoreError
from tests.engine.disk import SmallDisk, mounted, unmount
from tests.engine.harness import Toy, ids
from tests.engine.test_journal import files_no_longer_than

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = mounted(tmp_path / "small", kib=160)
    yield disk
    unmount(disk)


def noise(n: int) -> pl.DataFrame:
    draw = np.random.default_rng(0)
    return pl.DataFrame({"row_id": [draw.bytes(16).hex() for _ in range(n)]})


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_part_carries_its_counts(tmp_path: Path) -> None:
    part = Part(counts=Counts(rows_in=3, by_reason={"x": 1}), digest="0" * 32)
    write_part(tmp_path / "step", 2, noise(3), part)
    assert read_part(tmp_path / "step", 2) == part
    assert read_part(tmp_path / "step", 1) is None
    assert files(tmp_path) == {"step/part-00002.parquet"}


def test_a_damaged_part_counts_as_not_there(tmp_path: Path) -> None:
    write_part(tmp_path, 0, noise(3), Part(counts=Counts(), digest="0"))
    whole = part_path(tmp_path, 0).read_bytes()
    for damaged in (b"", b"PAR1", whole[:-5], whole[:100], b"x" * 500):
        part_path(tmp_path, 0).write_bytes(damaged)
        assert read_part(tmp_path, 0) is None
    noise(3).write_parquet(part_path(tmp_path, 0))  # by another program
    assert read_part(tmp_path, 0) is None


def test_a_full_disk_keeps_the_old_file_and_no_half_of_the_new(small_disk: SmallDisk) -> None:
    folder = small_disk.path / "step"
    old = Part(counts=Counts(rows_in=3), digest="0")
    write_part(folder, 0, noise(3), old)
    write_json(folder / "manifest.json", {"a": 1})
    with pytest.raises(
        StoreError, match=r"cannot write: .*No space left.*Fix: make room"
    ) as caught:
        write_part(folder, 0, noise(20_000), Part(counts=Counts(), digest="1"))
    assert caught.value.exit_code == 6
    with pytest.raises(StoreError, match="No space left"):
        write_json(folder / "manifest.json", {"a": "x" * 200_000})
    assert read_part(folder, 0) == old
    assert read_json(folder / "manifest.json") == {"a": 1}
    assert files(folder) == {"part-00000.parquet", "manifest.json"}


def test_a_write_that_the_kernel_cuts_short_leaves_nothing(tmp_path: Path) -> None:
    with files_no_longer_than(4096), pytest.raises(StoreError, match="cannot write"):
        write_part(tmp_path, 0, noise(5000), Part(counts=Counts(), digest="1"))
    with files_no_longer_than(4096), pytest.raises(StoreError, match="cannot write"):
        write_json(tmp_path / "x.json", {"a": "x" * 5000})
    assert files(tmp_path) == set()


@pytest.mark.slow
def test_a_run_on_a_full_disk_goes_on_once_there_is_room(
    tmp_path: Path, small_disk: SmallDisk
) -> None:
    draw = np.random.default_rng(1)
    lines = [draw.bytes(20).hex() for _ in range(3000)]
    straight = Toy(tmp_path, runs="straight")
    straight.write(lines)
    expected = ids(straight.run())
    toy = Toy(tmp_path, runs="small/runs")
    with pytest.raises(StoreError, match="No space left") as caught:
        toy.run(shard_bytes=500, shard_rows=500)
    assert caught.value.exit_code == 6
    before = files(small_disk.path)
    assert not [name for name in before if Path(name).name.startswith(".") and name[-1].isdigit()]
    finished = {name for name in before if name.endswith(".parquet")}
    assert finished, "parts that were finished before the disk was full are kept"
    stamps = {name: (small_disk.path / name).stat().st_mtime_ns for name in finished}
    small_disk.make_room()
    assert ids(toy.run(shard_bytes=500, shard_rows=500)) == expected
    kept = [name for name in stamps if (small_disk.path / name).stat().st_mtime_ns == stamps[name]]
    assert len(kept) >= 1


def test_what_a_killed_attempt_left_is_swept_away(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    folder = Path(toy.run()["long"].folder)
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"complete"', '"unfinished"'))
    for name in (".part-00000.parquet.99", "dropped/.part-00000.parquet.99", ".manifest.json.99"):
        (folder / name).write_text("half")
    toy.run()
    assert files(folder) == {"manifest.json", "part-00000.parquet", "dropped/part-00000.parquet"}
    (folder / ".mine.1").write_text("a step's own")
    sweep(folder)
    assert (folder / ".mine.1").exists()


def test_staged_files_move_together(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "old").write_text("old")
    with staged(tmp_path) as out:
        (out / "best").mkdir()
        (out / "best" / "new").write_text("new")
        (out / "facts.json").write_text("{}")
        assert files(tmp_path / "best") == {"old"}
    assert files(tmp_path) == {"best/new", "facts.json"}
    assert not (tmp_path / ".staged").exists()


def test_nothing_is_moved_when_a_step_fails_and_the_rest_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text("old")

    def fail() -> None:
        with staged(tmp_path) as out:
            (out / "facts.json").write_text("new")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert (tmp_path / "facts.json").read_text() == "old"
    with staged(tmp_path) as out:
        assert not list(out.iterdir())
    assert files(tmp_path) == {"facts.json"}


@pytest.mark.slow
def test_a_full_disk_in_a_step_that_writes_itself_is_a_store_error(
    tmp_path: Path, small_disk: SmallDisk
) -> None:
    def fill(write: str) -> None:
        with staged(small_disk.path / write) as out:
            if write == "python":
                (out / "x").write_bytes(b"x" * 400_000)
            else:
                noise(20_000).write_parquet(out / "x.parquet")

    for write in ("python", "polars"):
        with pytest.raises(StoreError, match="cannot write: No space left"):
            fill(write)
        assert files(small_disk.path / write) <= {".staged/x", ".staged/x.parquet"}
        shutil.rmtree(small_disk.path / write)


def test_a_steps_own_trouble_with_files_is_not_called_a_full_disk(tmp_path: Path) -> None:
    def look() -> None:
        with staged(tmp_path):
            (tmp_path / "nowhere").read_text()

    with pytest.raises(FileNotFoundError, match="nowhere"):
        look()
    store = Store(tmp_path, "r")
    store.open()

    def look_in_a_run() -> None:
        with store.locked():
            (tmp_path / "nowhere").read_text()

    with pytest.raises(FileNotFoundError, match="nowhere"):
        look_in_a_run()


def test_a_lock_says_who_holds_it_and_is_let_go(tmp_path: Path) -> None:
    store = Store(tmp_path, "r")
    store.open()
    with (
        store.locked(),
        pytest.raises(StoreError, match=r"another run works in this folder \(process \d+\)"),
        store.locked(),
    ):
        pass
    with store.locked():
        pass


def test_runs_of_two_recipes_may_go_on_at_once(tmp_path: Path) -> None:
    one, two = Store(tmp_path, "one"), Store(tmp_path, "two")
    one.open()
    two.open()
    with one.locked(), two.locked():
        pass


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"format": 1',
            '"format": 99',
            "the manifest has format 99, this databuild reads format 1",
        ),
        ('"format": 1,', "", "the manifest has format None"),
        (
            '"rows_in"',
            '"rows_inn"',
            r"of another version or damaged \(1 faults\). Fix: delete .*long-",
        ),
        ('"status": "complete"', '"status": "odd"', "of another version or damaged"),
        ("{", "[", "it cannot be read"),
    ],
)
def test_a_manifest_of_another_version_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    toy = Toy(tmp_path)
    path = Path(toy.run()["long"].folder) / "manifest.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(StoreError, match=message) as caught:
        toy.plan()
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("content", ["", "[1]", "3", '{"format": 0}', '{"no": 1}', "\xff"])
def test_a_folder_that_is_not_one_of_ours_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "databuild.json").write_text(content, "latin-1")
    with pytest.raises(StoreError, match=r"cannot be read|reads format 1"):
        Store(tmp_path, "r").open()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Store(tmp_path / "file", "r").open()


def test_manifests_and_the_pointer_are_plain_json(tmp_path: Path) -> None:
    result = Toy(tmp_path).run()
    latest = json.loads((tmp_path / "runs" / "toy" / "latest.json").read_text())
    assert latest["status"] == "complete"
    for step in result.steps:
        assert latest["steps"][step.name] == Path(step.folder).name
        manifest = json.loads((Path(step.folder) / "manifest.json").read_text())
        assert (manifest["status"], manifest["step"]) == ("complete", step.name)
        assert manifest["rows"]["rows_out"] == step.manifest.rows.rows_out
