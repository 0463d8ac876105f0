"""`databuild dedup`, from the command line: what lies in the folder afterwards, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from databuild.cli.main import app
from databuild.dedup.minhash import MinhashConfig, drop_near_duplicates
from tests.dedup.corpus import rows

TEXT = "Explain in simple words how a rainbow forms after a long rain"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def dedup(*words: str) -> str:
    done = CliRunner().invoke(app, ["dedup", *words, "--workers", "2"])
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words: str) -> str:
    done = CliRunner().invoke(app, ["dedup", *words])
    assert done.exit_code in range(1, 7), done.output
    assert "Traceback" not in done.output
    return done.output


def dropped(out: str) -> pl.DataFrame:
    return pl.read_parquet(f"{out}/dropped/*.parquet")


def test_kept_and_dropped_are_the_input_with_all_its_columns_and_types() -> None:
    table = rows(400).with_columns(
        day=pl.date(2024, 1, 1), tags=pl.lit(["x", "y"]), small=pl.lit(1, pl.Int8)
    )
    arrow = table.to_arrow().append_column("kind", pa.array(["a", "b"] * 200).dictionary_encode())
    pq.write_table(arrow, "in.parquet", compression="gzip", row_group_size=90)
    told = dedup("in.parquet", "out", "--threshold", "0.6", "--prefer", "quality")
    kept = pq.read_table("out/kept-00000.parquet")
    lost = pq.read_table("out/dropped/dropped-00000.parquet")
    assert kept.schema == pq.read_table("in.parquet").schema
    assert lost.schema.names[: len(kept.schema)] == kept.schema.names
    manifest = json.loads(Path("out/manifest.json").read_text())
    by_stage = manifest["rows"].pop("by_stage")
    assert manifest["rows"] == {"in": 400, "kept": kept.num_rows, "dropped": lost.num_rows}
    assert kept.num_rows + lost.num_rows == 400
    assert sum(by_stage.values()) == lost.num_rows
    assert min(by_stage["exact"], by_stage["near"]) > 20
    assert f"{kept.num_rows:,} kept" in told
    assert "Largest clusters" in told
    both = [*kept["row_id"].to_pylist(), *lost["row_id"].to_pylist()]
    assert sorted(both) == sorted(table["row_id"])


@pytest.mark.slow
def test_the_command_says_what_the_step_says() -> None:
    table = rows(600, seed=2).sort("row_id")
    table.write_parquet("in.parquet")
    dedup("in.parquet", "out", "--prefer", "quality")
    config = MinhashConfig(prefer="quality")
    verdicts = drop_near_duplicates(table, config).table
    expected = set(verdicts.filter(part="kept")["row_id"])
    assert set(pl.read_parquet("out/kept-*.parquet")["row_id"]) == expected
    told = {
        row["row_id"]: (table["row_id"][row["dedup_kept_row"]], row["dedup_stage"])
        for row in dropped("out").iter_rows(named=True)
    }
    for row_id, evidence in verdicts.filter(part="dropped").select("row_id", "evidence").rows():
        proof = json.loads(evidence)
        assert told[row_id] == (proof["kept"], proof["stage"])


def test_a_folder_with_a_finished_result_is_not_written_to_again() -> None:
    rows(50).write_parquet("in.parquet")
    dedup("in.parquet", "out")
    before = Path("out/manifest.json").read_bytes()
    assert "the folder has a finished result in it" in refused("in.parquet", "out")
    assert Path("out/manifest.json").read_bytes() == before


def test_several_files_folders_and_json_lines() -> None:
    Path("data").mkdir()
    pl.DataFrame({"prompt": [TEXT, "Another"], "n": [1, 2]}).write_parquet("data/a.parquet")
    pl.DataFrame({"prompt": [f"{TEXT} please"], "extra": ["x"]}).write_ndjson("data/b.jsonl")
    dedup("data", "out")
    lost = pl.read_parquet("out/dropped/dropped-00001.parquet")
    assert lost["dedup_kept_file"].to_list() == ["data/a.parquet"]
    assert sorted(path.name for path in Path("out").glob("kept-*")) == [
        "kept-00000.parquet", "kept-00001.parquet",
    ]  # fmt: skip
    clusters = pl.read_parquet("out/clusters.parquet")
    assert clusters.rows() == [
        (0, "data/a.parquet", 0, True), (0, "data/b.jsonl", 0, False),
    ]  # fmt: skip
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert [one["rows"] for one in manifest["inputs"]] == [2, 1]


@pytest.mark.slow
def test_earlier_files_and_an_index_say_the_same() -> None:
    table = rows(500, seed=3).sample(fraction=1.0, shuffle=True, seed=1)
    table.head(350).write_parquet("old.parquet")
    table.tail(150).write_parquet("new.parquet")
    dedup("new.parquet", "against", "--against", "old.parquet")
    dedup("old.parquet", "first", "--index", "seen")
    kept = pl.read_parquet("first/kept-*.parquet")
    kept.write_parquet("kept.parquet")
    dedup("new.parquet", "against-kept", "--against", "kept.parquet")
    dedup("new.parquet", "second", "--index", "seen")
    assert dropped("second")["row_id"].equals(dropped("against-kept")["row_id"])
    earlier = dropped("second").filter(dedup_stage="earlier")
    assert earlier.height > 20
    assert set(earlier["dedup_kept_file"]) == {"old.parquet"}
    found = table.head(350)["row_id"].gather(earlier["dedup_kept_row"])
    assert set(found) <= set(kept["row_id"])
    assert dropped("against").filter(dedup_stage="earlier").height >= earlier.height
    dedup("new.parquet", "third", "--index", "seen")
    assert set(pl.read_parquet("third/kept-*.parquet")["prompt"]) <= {None}
    assert len(json.loads(Path("seen/index.json").read_text())["batches"]) == 3


@pytest.mark.slow
def test_an_index_made_with_other_parameters_is_refused_and_says_which() -> None:
    rows(50).write_parquet("in.parquet")
    dedup("in.parquet", "out", "--index", "seen")
    told = refused(
        "in.parquet", "other", "--index", "seen", "--ngram", "4", "--scheme", "datasketch"
    )
    assert 'made with ngram 3 (now 4), scheme "fast" (now "datasketch"). Fix:' in told
    told = refused("in.parquet", "other", "--index", "seen", "--threshold", "0.5")
    assert "bands 32 (now 64), band_rows 4 (now 2)" in told
    assert not Path("other").exists()
    Path("strange").mkdir()
    Path("strange/notes.txt").write_text("mine")
    assert "so it is no index" in refused("in.parquet", "other", "--index", "strange")


def test_half_surrogate_pairs_are_compared_and_left_as_they_are() -> None:
    broken = TEXT.encode() + b" \xed\xa0\xbd"
    column = pa.array([TEXT.encode(), broken, b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": column}), "in.parquet")
    dedup("in.parquet", "out")
    lost = pq.read_table("out/dropped/dropped-00000.parquet")
    assert lost["text"].cast(pa.binary()).to_pylist() == [broken]
    assert lost["dedup_stage"].to_pylist() == ["exact"]


@pytest.mark.parametrize(
    ("texts", "kept"),
    [([], 0), ([TEXT], 1), ([None, None], 2), ([None, "", " ", "?", TEXT, TEXT], 4)],
)
def test_no_row_one_row_null_and_blank_texts(texts: list[str | None], kept: int) -> None:
    pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}).write_parquet("in.parquet")
    told = dedup("in.parquet", "out")
    assert f"{len(texts)} rows: {kept} kept" in told
    assert pl.read_parquet("out/kept-*.parquet").height == kept
    assert dropped("out").height == len(texts) - kept


def test_conversations_are_compared_whole() -> None:
    talk = [{"role": "user", "content": TEXT}, {"role": "assistant", "content": "It is light."}]
    other = [talk[0], {"role": "assistant", "content": "Light bends in drops; each colour more."}]
    table = pl.DataFrame({"messages": [talk, other, talk], "prompt": [TEXT] * 3})
    table.write_parquet("in.parquet")
    assert "Compared: messages" in dedup("in.parquet", "out", "--threshold", "0.9")
    assert dropped("out")["dedup_row"].to_list() == [2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.parquet", "out", "--threshold", "0"], "--threshold 0.0: input should be greater"),
        (["in.parquet", "out", "--threshold", "1.01"], "less than or equal to 1"),
        (["in.parquet", "out", "--threshold", "0.01"], "lowest threshold"),
        (["in.parquet", "out", "--scheme", "quick"], "'fast' or 'datasketch'"),
        (["in.parquet", "out", "--column", "txt"], "no column 'txt'; did you mean 'text'"),
        (["in.parquet", "out", "--column", "n"], "'n' is of type int64, not text"),
        (["in.parquet", "out", "--prefer", "qality"], "no column 'qality'; did you mean 'quality'"),
        (
            ["two.parquet", "out"],
            "none of its columns has a name that is known; text are a, b. Fix",
        ),
        (["numbers.parquet", "out"], "none of its columns is text: n (int64), x (double). Fix"),
        (["made.parquet", "out"], "a column 'dedup_row', a name that this command writes"),
        (["in.parquet"], "files first, and last the folder to write"),
        (["in.parquet", "two.parquet"], "names a file"),
        (["gone.parquet", "out"], "there is no such file"),
        (["*.arrow", "out"], "there is no such file"),
        (["broken.parquet", "out"], "not a readable Parquet file"),
        (["broken.jsonl", "out"], "cannot be read as JSON Lines"),
        (["in.csv", "out"], "name ends in '.csv'"),
        (["in.parquet", "full"], "not empty: it has mine.txt"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(words: list[str], message: str) -> None:
    frame = pl.DataFrame({"text": [TEXT], "n": [1], "quality": [0.5]})
    frame.write_parquet("in.parquet")
    pl.DataFrame({"a": ["x"], "b": ["y"]}).write_parquet("two.parquet")
    pl.DataFrame({"n": [1], "x": [0.5]}).write_parquet("numbers.parquet")
    frame.with_columns(dedup_row=1).write_parquet("made.parquet")
    for name in ("broken.parquet", "broken.jsonl", "in.csv"):
        Path(name).write_text("{not a table")
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    assert message in refused(*words)
    assert not Path("out").exists()
    assert [path.name for path in Path("full").iterdir()] == ["mine.txt"]
