"""Files as tables: Parquet where it lies, JSON lines in blocks, everything else as ingest reads it."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest

import databuild
from databuild.errors import SchemaError, StoreError
from databuild.profiling import table


def columns(found):
    return {one.name: (one.dtype, one.n_null) for one in found.columns}


def test_json_lines_are_read_block_by_block_into_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "_SHARD_BYTES", 10)
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1, "m": {"x": 1}}\n\n{"a": "x", "m": {"y": "q"}}\n{"a": [1, 2]}\n')
    found = databuild.profile(path)
    assert found.rows == 3
    assert columns(found)["a"] == ("String", 0)
    assert columns(found)["m"] == ("Struct({'x': Int64, 'y': String})", 1)
    assert found.columns[0].n_distinct == 3


def test_packed_lines_are_read(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": "x"}\n{"a": "y"}\n'))
    assert databuild.profile(path).rows == 2


def test_what_cannot_be_read_is_told_with_reason_and_place(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "x"}\n{broken\n{"prompt": "y"}\n{"prompt": 5}\n{also broken\n')
    found = databuild.profile(path)
    assert found.rows == 2
    assert [(one.fate, one.reason, one.n) for one in found.losses] == [
        ("failed", "broken JSON", 2), ("failed", "wrong type", 1)
    ]  # fmt: skip
    assert found.losses[0].examples[0].row == "rows.jsonl, line 2"
    assert found.losses[0].examples[0].text == "{broken"


def test_csv_is_read_as_ingest_reads_it(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('prompt,n\n"a, b",1\nc,2\n')
    found = databuild.profile(path)
    assert (found.rows, found.texts[0].column) == (2, "prompt")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_has_no_rows(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    found = databuild.profile(path)
    assert (found.rows, found.columns) == (0, ())


def test_a_folder_is_one_table_with_the_types_that_hold_all(tmp_path):
    pl.DataFrame({"a": [1], "b": ["x"]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"a": [1.5], "c": [None]}).write_parquet(tmp_path / "2.parquet")
    (tmp_path / ".hidden.parquet").write_bytes(b"no")
    (tmp_path / "notes.txt").write_text("no table")
    found = databuild.profile(tmp_path)
    assert found.rows == 2
    assert columns(found) == {"a": ("Float64", 0), "b": ("String", 1), "c": ("Null", 2)}


def test_the_temporary_folder_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"a": 1}))
    databuild.profile(path)
    assert [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_file_that_is_no_table_is_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 this is none")
    with pytest.raises(StoreError, match="no Parquet file, or damaged"):
        databuild.profile(path)
    path.unlink()
    with pytest.raises(StoreError, match="no file of a known format"):
        databuild.profile(tmp_path)
    with pytest.raises(StoreError, match="there is no such file or folder, and no such step"):
        databuild.profile("nothing", runs=tmp_path)


def test_formats_are_not_mixed(tmp_path):
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "1.parquet")
    (tmp_path / "2.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(StoreError, match="beside files of other formats"):
        databuild.profile(tmp_path)


def test_columns_that_are_not_there_are_refused(tmp_path):
    pl.DataFrame({"abc": [1]}).write_parquet(tmp_path / "1.parquet")
    with pytest.raises(SchemaError, match="did you mean 'abc'"):
        databuild.profile(tmp_path, columns=("abd",))
