"""dedup.index: what is written, that it is looked up in as written, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from databuild.dedup.batch_files import Band, Bands
from databuild.dedup.batches import FORMAT, read_index
from databuild.dedup.index import IndexConfig, write_index
from databuild.dedup.minhash import MinhashConfig, drop_near_duplicates, parameters_of
from databuild.engine.parts import Parts
from databuild.errors import StepError, StoreError
from tests.dedup.corpus import rows

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = IndexConfig()
ASKED = {"columns": ["prompt"]}


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def checked(new: pl.DataFrame, index: Path, **options: object) -> pl.DataFrame:
    files = tuple(p for p in index.rglob("*") if p.is_file())
    config = MinhashConfig.model_validate({"index": str(index), **options})
    table: pl.DataFrame = drop_near_duplicates(new, config, files=files).table
    return table


def test_neither_parts_nor_order_change_what_is_written(tmp_path: Path) -> None:
    table = rows(300).select("row_id", "prompt")
    mixed = table.sample(fraction=1.0, shuffle=True, seed=3)
    cuts = {
        "whole": [table], "mixed": [mixed],
        "parts": [table[:1], table[1:170], table[170:170], table[170:]],
        "mixed parts": [mixed[:200], mixed[200:]],
    }  # fmt: skip
    for name, frames in cuts.items():
        assert write_index.run(Parts.of(*frames), CONFIG, out=tmp_path / name)["rows"] > 290
    written = [files_of(tmp_path / name) for name in cuts]
    assert {len(one) for one in written} == {10}
    assert written[0] == written[1] == written[2] == written[3]


def test_an_index_says_what_its_table_says(tmp_path: Path) -> None:
    table = rows(400).sample(fraction=1.0, shuffle=True, seed=5).select("row_id", "prompt")
    old, new = table[:300], table[300:]
    write_index.run(Parts.of(old[:100], old[100:]), CONFIG, out=tmp_path / "index")
    by_index = checked(new, tmp_path / "index")
    by_table = drop_near_duplicates(new, MinhashConfig(), old=old).table
    assert by_index["reason"].to_list() == by_table["reason"].to_list()
    told = [one["evidence"].str.json_decode(pl.Struct({"jaccard": pl.Float64, "kept": pl.String}))
            for one in (by_index, by_table)]  # fmt: skip
    assert told[0].struct.field("jaccard").equals(told[1].struct.field("jaccard"))
    earlier = by_index.filter(reason="duplicate of an earlier row")
    assert earlier.height > 20
    kept = earlier["evidence"].str.json_path_match("$.kept")
    assert set(kept) <= set(old["row_id"])


def test_the_bands_lie_there_as_they_are_looked_up_in(tmp_path: Path) -> None:
    table = rows(200).select("row_id", "prompt")
    write_index(table, CONFIG, out=tmp_path / "index")
    (batch,) = read_index(tmp_path / "index", parameters_of(CONFIG), ASKED)
    stored = Bands(batch.signed)
    for number in (0, 31):
        band = stored.band(number)
        assert (np.diff(band.keys.astype(np.int64)) >= 0).all()
        assert sorted(band.texts.tolist()) == list(range(batch.signed.n_texts))
        back = np.empty_like(band.keys)
        back[band.texts] = band.keys
        again = Band.of(back)
        assert np.array_equal(again.keys, band.keys)
        assert np.array_equal(again.texts, band.texts)


def test_rows_without_text_and_equal_rows(tmp_path: Path) -> None:
    table = pl.DataFrame({
        "row_id": ["d", "c", "b", "a"], "prompt": ["Hi there, you", None, "hi THERE you!", "x"],
    })  # fmt: skip
    assert write_index(table, CONFIG, out=tmp_path / "index") == {"rows": 3}
    new = pl.DataFrame({"row_id": ["n", "m"], "prompt": ["HI there you", None]})
    told = checked(new, tmp_path / "index")
    kept = json.loads(told.filter(row_id="n")["evidence"][0])
    assert (kept["kept"], kept["jaccard"]) == ("b", 1.0)  # the smaller id of two equal rows
    assert told.filter(row_id="m")["part"].to_list() == ["kept"]
    only = pl.DataFrame(
        {"row_id": ["c"], "prompt": [None]}, {"row_id": pl.String, "prompt": pl.String}
    )
    assert write_index(only, CONFIG, out=tmp_path / "none") == {"rows": 0}
    assert checked(new, tmp_path / "none")["part"].to_list() == ["kept", "kept"]


def test_an_index_of_an_older_layout_is_refused_by_name(tmp_path: Path) -> None:
    table = rows(20).select("row_id", "prompt")
    write_index(table, CONFIG, out=tmp_path / "index")
    place = tmp_path / "index" / "index.json"
    told = json.loads(place.read_text("utf-8"))
    place.write_text(json.dumps({**told, "format": FORMAT - 1}), "utf-8")
    what = rf"index: the index has format {FORMAT - 1}, this databuild reads {FORMAT}\. Fix: make"
    with pytest.raises(StoreError, match=what):
        checked(table, tmp_path / "index")
    place.write_text(json.dumps(told), "utf-8")
    with pytest.raises(StepError, match=r"made with bands 32 \(now 64\), band_rows 4 \(now 2\)"):
        checked(table, tmp_path / "index", threshold=0.5)


def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    table = rows(20).select("row_id", "prompt")
    write_index(table, CONFIG, out=tmp_path / "index")
    place = tmp_path / "index" / "index.json"
    told = json.loads(place.read_text("utf-8"))
    told["batches"][0]["rows"] += 1
    place.write_text(json.dumps(told), "utf-8")
    with pytest.raises(StoreError, match=r"batch-00000 has \d+ rows, and \d+ were written"):
        checked(table, tmp_path / "index")


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="there are no rows to write"):
        write_index(rows(1).head(0), CONFIG, out=tmp_path / "index")
