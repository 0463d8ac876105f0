"""Tables are cut where rows say so: equal stretches are equal files."""

from __future__ import annotations

import hashlib

import polars as pl
import pytest

from databuild.release.chunks import LEAST, MOST, chunks


def table(*numbers: range) -> pl.DataFrame:
    ids = [hashlib.sha256(str(n).encode()).hexdigest()[:32] for of in numbers for n in of]
    return pl.DataFrame({"row_id": ids})


def cut(rows: pl.DataFrame, size: int = 5000) -> list[tuple[str, ...]]:
    return [tuple(one["row_id"]) for one in chunks(rows.iter_slices(size))]


@pytest.mark.parametrize("size", [999, 5000, 200_000])
def test_nothing_is_lost_and_frames_do_not_matter(size: int) -> None:
    rows = table(range(100_000))
    found = cut(rows, size)
    assert [one for chunk in found for one in chunk] == rows["row_id"].to_list()
    assert found == cut(rows)
    assert all(LEAST <= len(chunk) <= MOST for chunk in found[:-1])
    assert len(found) > 6


@pytest.mark.parametrize(
    "changed",
    [
        (range(100_000), range(200_000, 201_000)),
        (range(50_000), range(51_000, 100_000)),
        (range(50_000), range(300_000, 301_000), range(50_000, 100_000)),
    ],
    ids=["appended", "removed", "inserted"],
)
def test_a_change_in_one_place_changes_the_files_of_that_place(changed: tuple[range, ...]) -> None:
    before = set(cut(table(range(100_000))))
    after = cut(table(*changed))
    assert sum(chunk not in before for chunk in after) <= 3


def test_rows_that_choose_no_place_are_cut_all_the_same() -> None:
    rows = pl.DataFrame({"row_id": [f"{n:024x}00000001" for n in range(2 * MOST + 5)]})
    assert [len(chunk) for chunk in cut(rows)] == [MOST, MOST, 5]
