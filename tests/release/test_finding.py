"""Where a row lies, by the first 32 bits of its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from databuild.errors import SchemaError
from databuild.release.ancestry import COLUMNS
from databuild.release.finding import Index, index_path
from databuild.release.tracing import trace
from databuild.release.versions import Versions
from tests.release.small import released

if TYPE_CHECKING:
    from pathlib import Path

IDS = [f"{n:08x}" + "0" * 24 for n in (0, 1, 0x10, 0xFFFFFFFF)]


def store_of(folder: Path) -> Versions:
    """Two files of rows, where the second's rows were made from the first's."""
    rows = [
        pl.DataFrame({"row_id": some, "parent_ids": above}, schema={
            "row_id": pl.String, "parent_ids": pl.List(pl.String)})
        .select((pl.col(c) if c in {"row_id", "parent_ids"} else pl.lit(None)).cast(t).alias(c)
                for c, t in COLUMNS.items()).with_columns(step=pl.lit("s"), use=pl.lit("u"))
        for some, above in ((IDS[:2], [[], []]), (IDS[2:], [[IDS[0]], [IDS[0], IDS[1]]]))
    ]  # fmt: skip
    versions = Versions(folder, "demo")
    data = pl.DataFrame({"row_id": IDS[2:], "text": ["a", "b"]})
    released(versions, "1.0.0", {"train": [data]}, rows)
    return versions


FILES = ["lineage/rows-00000.parquet", "lineage/rows-00001.parquet"]


@pytest.mark.parametrize("is_old", [False, True])
def test_ids_starts_of_ids_and_children_are_found(tmp_path: Path, *, is_old: bool) -> None:
    folder = store_of(tmp_path).folder("1.0.0")
    if is_old:  # an older databuild wrote no index
        for path in FILES:
            (folder / index_path(path)).unlink()
    index = Index.of(folder, FILES)
    assert [index.with_ids([one]) for one in IDS] == [FILES[:1], FILES[:1], FILES[1:], FILES[1:]]
    assert index.with_ids(IDS) == FILES
    assert index.with_id("0000000") == FILES[:1]
    assert index.with_id("f") == FILES[1:]
    assert index.with_id("e") == []
    assert index.with_parents([IDS[1]]) == FILES[1:]
    assert index.with_parents([IDS[2]]) == []


def test_what_is_found_is_looked_up_in_the_file(tmp_path: Path) -> None:
    store_of(tmp_path)
    [life] = trace(tmp_path, IDS[3])
    assert {one.row_id for one in life.parents} == set(IDS[:2])
    assert life.row["text"] == "b"
    [life] = trace(tmp_path, IDS[0])
    assert {one.row_id for one in life.children} == set(IDS[2:])
    with pytest.raises(SchemaError, match="the nearest are 00000010"):
        trace(tmp_path, "0000001" + "f" * 25)
    with pytest.raises(SchemaError, match="start of several ids"):
        trace(tmp_path, "0000")


def test_a_damaged_index_is_not_believed(tmp_path: Path) -> None:
    folder = store_of(tmp_path).folder("1.0.0")
    path = folder / index_path(FILES[0])
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-4])
    assert Index.of(folder, FILES).with_ids([IDS[1]]) == FILES[:1]
    assert np.array_equal(Index.of(folder, []).ids, np.zeros(0))
