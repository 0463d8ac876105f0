"""A search that is killed goes on where it stopped, with the same result."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from databuild.dedup.minhash import MinhashConfig, drop_near_duplicates
from databuild.dedup.on_files import Asked, dedup_files
from databuild.engine.checkpoints import Checkpoints
from databuild.engine.parts import Parts
from databuild.engine.resources import Silence
from databuild.engine.store import remove_at_once, sweep
from databuild.errors import StoreError
from tests.dedup.corpus import rows

if TYPE_CHECKING:
    from pathlib import Path

KILLED = """
import os, signal, sys
from pathlib import Path
from databuild.dedup.on_files import Asked, dedup_files
from databuild.engine.checkpoints import Checkpoints
from databuild.engine.resources import Silence
plain, left = Checkpoints.keep, int(sys.argv[3])
def keep(self, name, arrays):
    global left
    left -= 1
    if left == 0:  # half of it is written already
        half = self.folder / f".{name}.half"
        half.mkdir()
        (half / "text.npy").write_bytes(b"torn")
        with (self.folder / "shingles.u64").open("ab") as handle:
            handle.write(b"torn")
        os.kill(os.getpid(), signal.SIGKILL)
    plain(self, name, arrays)
Checkpoints.keep = keep
asked = Asked(
    (Path(sys.argv[1]),), Path(sys.argv[2]), prefer="quality", workers=int(sys.argv[4])
)
dedup_files(asked, Silence())
print("done", -left)
"""


def run(folder: Path, out: str, at: int, workers: int = 1) -> subprocess.CompletedProcess[str]:
    given = [str(folder / "in.parquet"), str(folder / out), str(at), str(workers)]
    command = [sys.executable, "-c", KILLED, *given]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def contents(out: Path) -> list[pl.DataFrame]:
    return [pl.read_parquet(path) for path in sorted(out.rglob("*.parquet"))]


@pytest.mark.kill
@pytest.mark.parametrize("workers", [1, 2])
def test_a_kill_while_signing_and_one_between_the_bands_change_nothing(
    tmp_path: Path, workers: int
) -> None:
    rows(3000).write_parquet(tmp_path / "in.parquet", row_group_size=500)
    table = pl.read_parquet(tmp_path / "in.parquet")
    pl.concat([table] * 30).write_parquet(tmp_path / "in.parquet", row_group_size=40_000)
    straight = run(tmp_path, "straight", 0)
    assert straight.returncode == 0, straight.stderr[-2000:]
    made = int(straight.stdout.split()[1])
    assert made == 5 + 10  # parts; and of 32 bands one, two, seven times four, and one
    again = [run(tmp_path, "killed", at, workers) for at in (2, 2, 6)]
    assert [one.returncode for one in again] == [-9, -9, -9]
    last = run(tmp_path, "killed", 0, workers)
    assert last.returncode == 0, last.stderr[-2000:]
    assert int(last.stdout.split()[1]) == made - 1 - 1 - 5  # what was finished is not made again
    for one, other in zip(
        contents(tmp_path / "killed"), contents(tmp_path / "straight"), strict=True
    ):
        assert one.equals(other)
    assert not (tmp_path / "killed" / ".unfinished").exists()


KILLED_AT_THE_END = """
import os, shutil, signal, sys
from pathlib import Path
from databuild.dedup.on_files import Asked, dedup_files
from databuild.engine.resources import Silence
plain = shutil.rmtree
def rmtree(path, **options):
    if "unfinished" in Path(path).name and Path(path).exists():
        next(Path(path).glob("search/bands-*/fresh.npy")).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    plain(path, **options)
shutil.rmtree = rmtree
dedup_files(Asked((Path(sys.argv[1]),), Path(sys.argv[2])), Silence())
"""


@pytest.mark.kill
def test_a_kill_while_the_work_is_cleared_away_leaves_a_finished_result(tmp_path: Path) -> None:
    table = rows(3000)
    pl.concat([table] * 2).write_parquet(tmp_path / "in.parquet")
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED_AT_THE_END, str(tmp_path / "in.parquet"), str(out)]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert killed.returncode == -9, killed.stderr[-2000:]
    made = contents(out)
    assert sum(len(one) for one in made[1:]) == 6000
    with pytest.raises(StoreError, match="has a finished result in it"):
        dedup_files(Asked((tmp_path / "in.parquet",), out), Silence())
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    assert all(one.equals(other) for one, other in zip(contents(out), made, strict=True))


def test_signatures_of_other_parts_are_not_taken_for_these(tmp_path: Path) -> None:
    table = rows(200)
    first = Parts.of(table.head(120), table.tail(80))
    second = Parts.of(table.tail(120), table.head(80))
    made = [
        pl.concat(drop_near_duplicates.run(parts, MinhashConfig(), scratch=tmp_path).frames)
        for parts in (first, second, first)
    ]
    assert made[0].equals(made[2])
    assert made[0].sort("row_id").equals(made[1].sort("row_id"))


def test_a_checkpoint_of_another_stamp_is_removed(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "s", {"layout": "a"})
    assert kept.facts("told", lambda: {"n": 1}) == {"n": 1}
    assert Checkpoints(tmp_path / "s", {"layout": "a"}).facts("told", dict) == {"n": 1}
    assert Checkpoints(tmp_path / "s", {"layout": "b"}).facts("told", dict) == {}
    assert json.loads((tmp_path / "s" / "stamp.json").read_text()) == {"layout": "b"}


def test_a_folder_that_was_half_removed_is_not_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Checkpoints(tmp_path / ".scratch", {"layout": "a"})
    kept.keep("bands-000", {"fresh": np.arange(3), "near": np.arange(2)})

    def killed(path: Path, *, ignore_errors: bool = False) -> None:
        if path.exists():
            (path / "bands-000" / "fresh.npy").unlink()
            raise KeyboardInterrupt(ignore_errors)

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_at_once(tmp_path / ".scratch")
    assert not Checkpoints(tmp_path / ".scratch", {"layout": "a"}).has("bands-000")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".scratch"]


def test_what_is_not_durable_is_held_in_memory_and_read_back(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "s", {}, is_durable=False)
    assert kept.arrays("a", lambda: {"n": np.arange(3)})["n"].tolist() == [0, 1, 2]
    assert kept.arrays("a", lambda: {"n": np.arange(9)})["n"].tolist() == [0, 1, 2]
    assert kept.has("a")
    for at, numbers in ((0, [7, 8]), (8, [9])):
        with kept.appending("all", at) as file:
            file.write(np.array(numbers, np.uint64))
    assert np.frombuffer(kept.appended("all"), np.uint64).tolist() == [7, 9]
    assert kept.facts("told", lambda: {"n": 1}) == {"n": 1}
    assert not (tmp_path / "s").exists()


def test_small_tables_leave_nothing_on_the_disk_and_have_the_same_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = rows(300)
    parts = Parts.of(table.head(120), table.tail(180))

    def verdicts(folder: Path) -> pl.DataFrame:
        return pl.concat(drop_near_duplicates.run(parts, MinhashConfig(), scratch=folder).frames)

    small = verdicts(tmp_path / "small")
    assert not (tmp_path / "small").exists()
    monkeypatch.setattr("databuild.dedup.minhash.SMALL", 0)
    assert verdicts(tmp_path / "large").equals(small)
    assert (tmp_path / "large" / "rows" / "shingles.u64").stat().st_size > 0
