"""What leaves as JSON lines comes back as the same rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild.errors import StepError
from databuild.export.jsonl import JsonlConfig, write_jsonl
from databuild.ingest.files import FilesConfig, plan_splits, read_files
from databuild.schema.rows import KINDS, schema_of
from databuild.text.formats.registry import WRITERS
from tests.text.formats.records import RECORDS

if TYPE_CHECKING:
    from pathlib import Path


def typed() -> pl.DataFrame:
    rows = [row for _, _, found in RECORDS for row in found]
    schema = {"row_id": pl.String, "row_kind": pl.String, **schema_of("auto")}
    named = [{"row_id": f"r{n:02d}", **row} for n, row in enumerate(rows)]
    return pl.DataFrame(named, schema=schema)


def written(rows: pl.DataFrame, out: Path, **options: Any) -> tuple[dict[str, Any], list[Any]]:
    out.mkdir(exist_ok=True)
    facts = write_jsonl(rows, JsonlConfig(**options), out=out)
    text = (out / "train.jsonl").read_text(encoding="utf-8")
    return facts, [json.loads(line) for line in text.splitlines()]


def test_the_options_name_the_formats_and_kinds_there_are() -> None:
    fields = JsonlConfig.model_json_schema()["properties"]
    assert set(fields["format"]["enum"]) == set(WRITERS)
    assert set(fields["kind"]["enum"]) == {"auto", *KINDS}


def test_rows_of_all_kinds_come_back_from_a_file(tmp_path: Path) -> None:
    rows = typed()
    facts, lines = written(rows, tmp_path, format="databuild")
    assert facts == {"rows": rows.height, "files": ["train.jsonl"]}
    assert all(None not in line.values() for line in lines)
    config = FilesConfig(path="train.jsonl", rows="auto")
    (split,) = plan_splits(config, [tmp_path / "train.jsonl"], 1 << 30)
    (made,) = read_files(split, config)
    assert made.failed is not None
    assert made.failed.is_empty()
    own = ["row_kind", *schema_of("auto")]
    assert made.rows.select(own).to_dicts() == rows.select(own).to_dicts()


def test_a_row_that_the_format_cannot_hold_is_left_out_and_named(tmp_path: Path) -> None:
    rows = typed().filter(pl.col("row_kind") == "sft")
    facts, lines = written(rows, tmp_path, format="alpaca")
    skipped = {row["row_id"]: row["reason"] for row in facts["rows_skipped"]}
    assert facts["rows"] + len(skipped) == rows.height
    assert set(skipped.values()) == {"cannot hold: tool turns"}
    assert lines[0] == {"instruction": "What is 2 + 2?", "input": "", "output": "It is 4."}


def test_columns_may_be_left_out_and_kept_on_purpose(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {"row_id": ["b", "a"], "prompt": ["q", "p"], "response": ["r", "s"], "model": ["m", None]}
    )
    facts, lines = written(rows, tmp_path, kind="sft")
    assert facts["rows_skipped"] == [
        {"row_id": "b", "reason": "cannot hold: trl has no place for model of this row"}
    ]
    facts, lines = written(rows, tmp_path, kind="sft", leave_out="model", keep=["row_id", "model"])
    assert lines == [
        {"prompt": "p", "completion": "s", "row_id": "a"},
        {"prompt": "q", "completion": "r", "row_id": "b", "model": "m"},
    ]


def test_what_cannot_be_written_at_all_is_an_error(tmp_path: Path) -> None:
    rows = pl.DataFrame({"row_id": ["a"], "prompt": ["q"], "response": ["r"]})
    with pytest.raises(StepError, match="no rows to write: cannot hold: hh has no place for sft"):
        written(rows, tmp_path, kind="sft", format="hh")
    with pytest.raises(StepError, match="no value: chosen is null"):
        written(rows, tmp_path, kind="preference")
    with pytest.raises(StepError, match="`keep` names 'prompt'"):
        written(rows, tmp_path, kind="sft", keep="prompt")
    odd = rows.with_columns(row_kind=pl.lit("odd"))
    with pytest.raises(StepError, match="unknown kind: row_kind is 'odd'"):
        written(odd, tmp_path)


def test_no_rows_are_an_error_unless_they_are_allowed(tmp_path):
    rows = pl.DataFrame(schema={"row_id": pl.String, "prompt": pl.String, "response": pl.String})
    with pytest.raises(StepError, match="allow_empty"):
        write_jsonl(rows, JsonlConfig(kind="sft"), out=tmp_path)
    assert write_jsonl(rows, JsonlConfig(kind="sft", allow_empty=True), out=tmp_path)["rows"] == 0
    assert (tmp_path / "train.jsonl").read_bytes() == b""
