"""A source in pieces: the same rows and ids, whatever the pieces, the splits and the interruptions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from databuild.engine import source
from databuild.engine.shards import committed
from tests.engine.harness import LINES, RECIPE, Toy, ids

pytestmark = pytest.mark.slow

CHUNKS = RECIPE.replace("toy.lines, path: in.txt", "toy.chunks, path: in.txt, lines: 3")


def chunked(folder: Path, runs: str = "runs") -> Toy:
    toy = Toy(folder, runs)
    (folder / "r.yaml").write_text(CHUNKS)
    return toy


def straight(folder: Path) -> dict[str, str]:
    (folder / "plain").mkdir()
    return ids(Toy(folder / "plain").run(shard_bytes=10_000))


def folder_of(toy: Toy) -> Path:
    return next((toy.folder / toy.runs / "toy").glob("raw-*"))


@pytest.mark.parametrize(("lines", "split"), [(1, 1000), (3, 7), (1000, 1)])
def test_ids_do_not_depend_on_pieces(tmp_path: Path, lines: int, split: int) -> None:
    result = chunked(tmp_path).run(f"raw.lines={lines}", shard_bytes=split)
    assert ids(result) == straight(tmp_path)
    rows = result["raw"].manifest.rows
    assert (rows.rows_out, rows.failed, rows.by_reason) == (45, 5, {"broken line": 5})
    assert not (folder_of(Toy(tmp_path)) / "staged").exists()


def test_ids_do_not_depend_on_workers_that_stage_pieces(tmp_path: Path) -> None:
    assert ids(chunked(tmp_path).run(shard_bytes=11, workers=2)) == straight(tmp_path)


def test_every_part_says_which_piece_it_is_and_notes_add_up(tmp_path: Path) -> None:
    toy = chunked(tmp_path)
    manifest = toy.run(shard_bytes=20)["raw"].manifest
    parts = [committed(folder_of(toy), number) for number in range(manifest.n_parts)]
    where = [(part.split, part.piece) for part in parts]
    assert where == [(s, p) for s, n in ((0, 7), (1, 7), (2, 4)) for p in range(n)]
    assert manifest.rows.notes == {"lines": 20 + 20 + 12}
    failed = pl.read_parquet(folder_of(toy) / "failed" / "part-*.parquet")
    assert failed["source_record"].sort().to_list() == list(range(4, 50, 10))


def test_a_preview_reads_no_further_than_it_must(tmp_path: Path, monkeypatch: Any) -> None:
    toy = chunked(tmp_path)
    monkeypatch.setenv("TOY_BREAKS_AT", "40")  # far behind the rows that are asked for
    assert toy.run(limit=7)["raw"].manifest.rows.rows_out == 7


@pytest.mark.parametrize("stop", range(12))
def test_a_run_that_is_stopped_at_any_write_resumes_with_the_same_ids(
    tmp_path: Path, stop: int, monkeypatch: Any
) -> None:
    """Every write of a piece, staged or settled, is the last one in turn."""
    toy = chunked(tmp_path)
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in LINES[:20]))
    writes = iter(range(1000))

    def stopping(function: Any) -> Any:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if next(writes) == stop:
                raise KeyboardInterrupt
            return function(*arguments, **named)

        return wrapped

    with monkeypatch.context() as patch:
        for name in ("commit", "write_part", "settle_piece"):
            patch.setattr(source, name, stopping(getattr(source, name)))
        with pytest.raises(KeyboardInterrupt):
            toy.run(shard_bytes=10)
    resumed = toy.run(shard_bytes=10)
    again = Toy(tmp_path, "again").run(shard_bytes=10)
    assert ids(resumed) == ids(again)
    assert resumed["raw"].manifest.rows == again["raw"].manifest.rows


def test_what_was_staged_is_not_made_again(tmp_path: Path) -> None:
    toy = chunked(tmp_path)
    # The process is gone in the middle of the only split.
    code = (
        f"import pathlib, tests.engine.harness as h; h.Toy(pathlib.Path({str(tmp_path)!r})).run()"
    )
    environment = {
        **os.environ,
        "TOY_BREAKS_AT": "40",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=60)
    assert done.returncode == 9
    staged = sorted(folder_of(toy).glob("staged/0/part-*.parquet"))
    assert len(staged) == 13
    before = [path.stat().st_mtime_ns for path in staged]
    made: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "commit", _counting(made))
        result = toy.run()
    assert len(made) == 17 - len(before)
    assert ids(result) == straight(tmp_path)


def _counting(made: list[int]) -> Any:
    from databuild.engine.shards import commit

    def counted(*arguments: Any, **named: Any) -> Any:
        made.append(1)
        return commit(*arguments, **named)

    return counted


def test_a_hole_among_the_parts_is_filled(tmp_path: Path) -> None:
    toy = chunked(tmp_path)
    before = ids(toy.run(shard_bytes=20))
    folder = folder_of(toy)
    (folder / "part-00004.parquet").write_bytes(b"PAR1 damaged")
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"complete"', '"unfinished"'))
    assert ids(toy.run(shard_bytes=20)) == before
