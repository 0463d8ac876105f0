"""ingest.files: every record of every file is a row or failed, with the reason."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from databuild.errors import RecipeError
from databuild.ingest import lines
from databuild.ingest.files import FilesConfig, peek_columns, plan_splits, read_files

if TYPE_CHECKING:
    from pathlib import Path

ONE = 1 << 30
NOTES: Counter[str] = Counter()
"""What the last `read` noted."""


def write(folder: Path, name: str, content: bytes | str | list) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(*files: Path, shard_bytes: int = ONE, **options):
    config = FilesConfig(path=tuple(path.name for path in files), **options)
    splits = plan_splits(config, files, shard_bytes)
    made = [m for split in splits for m in read_files(json.loads(json.dumps(split)), config)]
    rows = pl.concat([m.rows for m in made])
    NOTES.clear()
    for one in made:
        NOTES.update(one.notes)
    return rows, pl.concat([m.failed for m in made])


def errors(failed) -> list[str]:
    return [error.partition(":")[0] for error in failed["error"]]


def test_broken_records_fail_each_with_its_reason_line_and_text(tmp_path):
    path = write(
        tmp_path,
        "a.jsonl",
        b'{"prompt":"a","n":1}\n\n{broken\n[1]\n{"prompt":"\xff"}\n{"prompt":7}\n{"n":1,"n":2}\n'
        b'{"n":1.5}\n{"n":99999999999999999999}\n{"prompt":"\\ud800"}\n{"n":-Infinity}\n5\n{"prompt":"z","n":NaN}',
    )
    rows, failed = read(path, types={"n": "int"})
    assert rows["prompt"].to_list() == ["a", "\ufffd", "z"]
    assert rows["n"].to_list() == [1, None, None]
    assert NOTES == {"lone surrogates repaired": 1, "NaN read as missing": 1}
    assert errors(failed) == [
        "broken JSON",
        "not an object",
        "invalid UTF-8",
        "wrong type",
        "duplicate key",
        "wrong type",
        "wrong type",
        "broken JSON",
        "not an object",
    ]
    assert failed["source_line"].to_list() == [3, 4, 5, 6, 7, 8, 9, 11, 12]
    assert failed["raw"][0] == "{broken"
    assert failed["parent_ids"].to_list() == [[]] * 9


def test_a_raw_excerpt_has_at_most_200_characters(tmp_path):
    path = write(
        tmp_path,
        "a.jsonl",
        '{"prompt":"ok"}\n' + "é" * 5000 + '\n{"prompt":["' + "x" * 900 + '"]}\n',
    )
    assert read(path)[1]["raw"].str.len_chars().to_list() == [200, 200]


def test_source_record_is_the_byte_offset_of_the_line(tmp_path):
    path = write(tmp_path, "a.jsonl", '\ufeff{"p":"é"}\r\n\n{"p":"b"}\n{"p":"c"}')
    rows, _ = read(path)
    data = path.read_bytes()
    found = [json.loads(data[at:].split(b"\n")[0])["p"] for at in rows["source_record"]]
    assert found == rows["p"].to_list() == ["é", "b", "c"]


@pytest.mark.parametrize("shard_bytes", [1, 7, 30, 31, 32, 1000])
@pytest.mark.slow
def test_splits_of_any_size_hold_every_record_once(tmp_path, shard_bytes):
    records = [
        {"prompt": "x" * (i % 9), "n": i, "c": [{"kind": "k", "value": str(i)}]} for i in range(20)
    ]
    path = write(tmp_path, "a.jsonl", records)
    whole, _ = read(path)
    assert_frame_equal(whole, read(path, shard_bytes=shard_bytes)[0])
    assert whole["n"].to_list() == list(range(20))


def test_types_are_the_same_in_all_shards_and_files(tmp_path):
    first = write(tmp_path, "a.jsonl", [{"score": 1, "note": None, "tags": []}] * 3)
    second = write(tmp_path, "b.jsonl", [{"score": 2.5, "note": "x", "tags": [1]}] * 3)
    rows, failed = read(first, second, shard_bytes=20)
    assert rows.schema["score"] == pl.Float64
    assert rows.schema["note"] == pl.String
    assert rows.schema["tags"] == pl.List(pl.Int64)
    assert rows.height == 6
    assert failed.is_empty()


def test_the_most_frequent_type_wins_and_the_rest_fail(tmp_path):
    path = write(tmp_path, "a.jsonl", [{"p": "a"}, {"p": 5}, {"p": "b"}])
    rows, failed = read(path)
    assert rows["p"].to_list() == ["a", "b"]
    assert failed["error"].to_list() == ["wrong type: p is 5, expected text"]


def test_a_column_that_no_head_has_fails_and_can_be_declared(tmp_path):
    records = [{"p": "a"}] * 1000 + [{"p": "b", "late": "x"}]
    path = write(tmp_path, "a.jsonl", records)
    rows, failed = read(path)
    assert rows.height == 1000
    assert errors(failed) == ["unknown column"]
    assert read(path, types={"late": "str"})[0]["late"].to_list() == [None] * 1000 + ["x"]


def test_a_json_column_keeps_any_value_as_text(tmp_path):
    path = write(tmp_path, "a.jsonl", [{"v": 1}, {"v": "1"}, {"v": {"a": [None]}}])
    assert read(path, types={"v": "json"})[0]["v"].to_list() == ["1", '"1"', '{"a": [null]}']


def test_lists_of_objects_keep_their_fields(tmp_path):
    path = write(
        tmp_path, "a.jsonl", [{"c": [{"kind": "bullets", "value": "3"}]}, {"c": []}, {"c": None}]
    )
    assert read(path)[0]["c"].to_list() == [[{"kind": "bullets", "value": "3"}], [], None]


_scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text(max_size=4)
_values = st.recursive(
    _scalars,
    lambda v: st.lists(v, max_size=2) | st.dictionaries(st.sampled_from("ab"), v, max_size=2),
)
_records = st.lists(
    st.dictionaries(st.sampled_from(["x", "y", "z"]), _values, max_size=3), max_size=6
)


@given(
    records=_records, noise=st.lists(st.binary(max_size=6), max_size=2), shard=st.integers(5, 200)
)
def test_fast_and_careful_reading_agree_and_lose_nothing(tmp_path_factory, records, noise, shard):
    folder = tmp_path_factory.mktemp("files")
    pieces = [json.dumps(r, ensure_ascii=i % 2 == 0).encode() for i, r in enumerate(records)]
    content = b"\n".join([*pieces, *(n.replace(b"\n", b"") for n in noise)])
    path = write(folder, "a.jsonl", content)
    fast_rows, fast_failed = read(path, shard_bytes=shard) if content else (None, None)
    if fast_rows is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_read_fast", lambda *_: None)
        rows, failed = read(path)
    assert_frame_equal(fast_rows, rows)
    assert_frame_equal(fast_failed, failed)
    physical = [line for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    assert rows.height + failed.height == len(physical)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz"])
def test_an_empty_file_gives_no_rows(tmp_path, name):
    path = write(tmp_path, name, gzip.compress(b"") if name.endswith("gz") else b"")
    rows, failed = read(path) if plan_splits(FilesConfig(path=name), [path], ONE) else (None, None)
    assert rows is None or rows.is_empty()
    assert failed is None or failed.is_empty()
    assert peek_columns(FilesConfig(path=name), [path]) is None


def test_missing_unreadable_and_strange_files_are_clear_errors(tmp_path):
    config = FilesConfig(path="x")
    with pytest.raises(RecipeError, match="does not exist"):
        plan_splits(config, [tmp_path / "no.jsonl"], ONE)
    with pytest.raises(RecipeError, match="a folder, not a file"):
        peek_columns(config, [tmp_path])
    with pytest.raises(RecipeError, match="tells no format"):
        plan_splits(config, [write(tmp_path, "a.docx", b"")], ONE)
    with pytest.raises(RecipeError, match="cannot be read: truncated or broken parquet"):
        plan_splits(config, [write(tmp_path, "a.parquet", b"nothing like it")], ONE)
    with pytest.raises(RecipeError, match="cannot be read: broken gzip"):
        plan_splits(config, [write(tmp_path, "a.jsonl.gz", b"\x1f\x8bnothing")], ONE)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_a_file_without_permission_is_a_clear_error(tmp_path):
    path = write(tmp_path, "a.jsonl", b"{}")
    path.chmod(0)
    with pytest.raises(RecipeError, match="cannot be read: Permission"):
        plan_splits(FilesConfig(path="a"), [path], ONE)


def test_wrong_and_reserved_columns_are_clear_errors(tmp_path):
    path = write(tmp_path, "a.jsonl", [{"prompt": "a", "n": 1}])
    with pytest.raises(
        RecipeError, match=r"`key` names a column that the files lack.*did you mean 'prompt'"
    ):
        plan_splits(FilesConfig(path="a", key="promt"), [path], ONE)
    with pytest.raises(RecipeError, match="names a column that the files lack"):
        peek_columns(FilesConfig(path="a", rename={"q": "prompt"}), [path])
    with pytest.raises(RecipeError, match="two columns would be called 'prompt'"):
        peek_columns(FilesConfig(path="a", rename={"n": "prompt"}), [path])
    taken = write(tmp_path, "b.jsonl", [{"row_id": "1"}])
    with pytest.raises(
        RecipeError, match=r"databuild keeps for itself.*rename: {row_id: file_row_id}"
    ):
        peek_columns(FilesConfig(path="b"), [taken])
    with pytest.raises(ValueError, match="unknown type 'number'"):
        FilesConfig(path="a", types={"n": "number"})


def test_key_and_rename(tmp_path):
    path = write(tmp_path, "a.jsonl", [{"id": 7, "instruction": "Hi"}])
    config = {"key": "id", "rename": {"id": "ticket", "instruction": "prompt"}}
    rows, _ = read(path, **config)
    assert rows.row(0, named=True) == {
        "parent_ids": [],
        "ticket": 7,
        "prompt": "Hi",
        "key": "7",
        "source_file": "a.jsonl",
        "source_record": 0,
    }
    assert peek_columns(FilesConfig(path="a", **config), [path]) == (
        "ticket", "prompt", "key", "source_file", "source_record",
    )  # fmt: skip


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    files = [write(tmp_path, f"{folder}/a.jsonl", [{"p": folder}]) for folder in ("x", "y")]
    assert read(*files)[0]["source_file"].to_list() == ["x/a.jsonl", "y/a.jsonl"]


def test_json_arrays_and_json_lines_in_a_json_file(tmp_path):
    array = write(tmp_path, "a.json", '[{"p": "a"},\n {"p": "b"}, 5, {"p": "c"}]')
    rows, failed = read(array)
    assert rows.select("p", "source_record").rows() == [("a", 0), ("b", 1), ("c", 3)]
    assert errors(failed) == ["not an object"]
    assert read(write(tmp_path, "b.json", '{"p": "a"}\n{"p": "b"}\n'))[0]["p"].to_list() == [
        "a",
        "b",
    ]
    assert read(write(tmp_path, "c.json", '{\n "p": "a"\n}\n'))[0]["p"].to_list() == ["a"]


@pytest.mark.parametrize(
    "bad", ['{"p": "b"} {"p": "c"}', '{"p": "b", "p": "c"}', '{"p": nul}', "", "5"]
)
def test_a_record_that_is_broken_in_a_json_array_fails_alone(tmp_path, bad):
    rows, failed = read(write(tmp_path, "a.json", f'[{{"p": "a"}}, {bad},\n {{"p": "z"}}]'))
    assert rows.select("p", "source_record").rows() == [("a", 0), ("z", 2)]
    assert failed.select("source_record", "source_line").rows() == [(1, 1)]


def test_a_json_array_that_breaks_off_says_how_many_rows_were_read(tmp_path):
    rows, failed = read(write(tmp_path, "a.json", '[{"p": "a"}, {"p": '))
    assert rows["p"].to_list() == ["a"]
    assert failed["error"].to_list() == [
        "broken JSON: Expecting value at character 6",
        "truncated JSON: the list is not closed; 1 rows were read before",
    ]


def test_something_after_a_json_array_is_a_failed_record(tmp_path):
    rows, failed = read(write(tmp_path, "a.json", '[{"p": "a"}] {"p": "b"}'))
    assert rows["p"].to_list() == ["a"]
    assert errors(failed) == ["broken JSON"]


def test_csv_is_text_unless_declared(tmp_path):
    path = write(
        tmp_path, "a.csv", 'id,q,n\r\n007,"a, ""b""\nc",1\r\n008,,x\r\n009,\u2028z\r\n010,d,2\r\n'
    )
    rows, failed = read(path, types={"n": "int"})
    assert rows.select("id", "q", "n").rows() == [("007", 'a, "b"\nc', 1), ("010", "d", 2)]
    assert failed["error"].to_list() == [
        'wrong type: n is "x", expected whole numbers',
        "wrong number of fields: 2, the header has 3",
    ]
    assert failed["source_line"].to_list() == [4, 5]


def test_csv_faults(tmp_path):
    rows, failed = read(write(tmp_path, "a.csv", b'q\n\xff\nok\n"never closed\nx\n'))
    assert rows["q"].to_list() == ["ok"]
    assert errors(failed) == ["invalid bytes", "broken CSV"]
    with pytest.raises(RecipeError, match="has 'q' twice"):
        read(write(tmp_path, "b.csv", "q,q\n1,2\n"))
    assert read(write(tmp_path, "c.csv", ",q\n1,2\n"))[0].columns[1:3] == ["column_1", "q"]
    assert read(write(tmp_path, "d.tsv", "q\tr\na,b\tc\n"))[0]["q"].to_list() == ["a,b"]


def test_packed_files_are_read_and_a_torn_one_keeps_what_it_can(tmp_path):
    content = b"".join(b'{"p": "%06d"}\n' % (i * 7919 % 999983) for i in range(20000))
    packed = gzip.compress(content)
    rows, _ = read(write(tmp_path, "a.jsonl.gz", packed))
    assert rows.height == 20000
    rows, failed = read(write(tmp_path, "b.jsonl.gz", packed[: len(packed) // 2]))
    assert 0 < rows.height < 20000
    assert errors(failed)[-1] == "truncated gzip"
    assert failed["error"][-1].endswith(f"{rows.height:,} rows were read before")


def test_parquet_by_row_ranges(tmp_path):
    frame = pl.DataFrame({"p": [f"t{i}" for i in range(100)], "c": [[{"kind": "k"}]] * 100})
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=10)
    frame.head(3).select("p", extra=pl.lit(1)).write_parquet(tmp_path / "b.parquet")
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    whole, _ = read(*files)
    assert whole.height == 103
    assert whole["c"].null_count() == 3
    assert_frame_equal(whole, read(*files, shard_bytes=200)[0])
    assert whole["source_record"].to_list() == [*range(100), 0, 1, 2]


def test_parquet_files_that_disagree_are_a_clear_error(tmp_path):
    pl.DataFrame({"p": ["a"]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"p": [1]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(RecipeError, match="the column 'p' is int64 here and string in a"):
        read(tmp_path / "a.parquet", tmp_path / "b.parquet")
    with pytest.raises(RecipeError, match="carry their own types"):
        read(tmp_path / "a.parquet", types={"p": "str"})
    with pytest.raises(RecipeError, match=r"holds tables and c\.jsonl records"):
        read(tmp_path / "a.parquet", write(tmp_path, "c.jsonl", [{"p": "a"}]))


def test_deep_and_wide_values_are_kept_as_json(tmp_path):
    deep: object = "x"
    for _ in range(40):
        deep = [deep]
    records = [
        {"deep": deep, "map": {f"k{i}-{j}": 1 for j in range(30)}, "o": {}} for i in range(10)
    ]
    rows, failed = read(write(tmp_path, "a.jsonl", records))
    assert failed.is_empty()
    assert rows.schema["map"] == pl.String
    assert json.loads(rows["map"][3]) == records[3]["map"]
    assert rows["o"].to_list() == ["{}"] * 10


def test_json_that_nests_beyond_reason_fails(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"p": "a"}\n{"p": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    rows, failed = read(path)
    assert rows.height == 1
    assert errors(failed) == ["broken JSON"]
