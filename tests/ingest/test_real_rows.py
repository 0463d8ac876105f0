"""Real files: every record becomes a row of its kind, or a fault that has a name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild.ingest.files import FilesConfig, plan_splits, read_files
from databuild.schema.rows import KINDS, check_rows
from databuild.text.formats.registry import WRITERS, read_record, write_record
from databuild.text.formats.values import FaultError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# File, options, records, rows by kind, faults by name. The faults were looked at one by one.
FILES: list[tuple[str, dict[str, Any], int, dict[str, int], dict[str, int]]] = [
    ("alpaca_en.parquet", {}, 11188, {"sft": 11181}, {"empty": 7}),
    ("alpaca_gpt4_zh.parquet", {}, 511, {"sft": 511}, {}),
    ("alpaca_cleaning_pairs.parquet", {}, 1620, {"sft": 1619}, {"empty": 1}),
    ("gsm8k_train.parquet", {}, 7473, {"sft": 7473}, {}),
    ("gsm8k_best_of_4.parquet", {}, 2604, {"feedback": 2604}, {}),
    ("finegrained_qa_feedback.parquet", {}, 251, {"response": 1004}, {}),
    ("self_instruct_seed_tasks.jsonl.gz", {}, 175, {"sft": 175}, {}),
    ("kto_en_demo.jsonl.gz", {}, 180, {"feedback": 180}, {}),
    ("preference_pairs.parquet", {}, 1313, {"vote": 1288}, {"empty": 25}),
    (
        "preference_pairs.parquet",
        {"rows": "preference"},
        1313,
        {"preference": 1247},
        {"empty": 25, "tie": 41},
    ),
    (
        "hh_rlhf_harmless_pairs.parquet",
        {},
        1367,
        {"preference": 1360},
        {"different prompts": 3, "wrong role order": 2, "empty turn": 2},
    ),
    (
        "hh_rlhf_train_docta.parquet",
        {},
        249,
        {"preference": 245},
        {"identical chosen and rejected": 3, "empty turn": 1},
    ),
    (  # calls of the kind `Calculate("1 + 1")` have no arguments that are JSON
        "multi_turn.parquet",
        {},
        1822,
        {"sft": 1473, "prompt": 241},
        {"invalid tool call": 105, "empty turn": 3},
    ),
    (
        "alpaca_gpt4_vs_davinci003.parquet",
        {
            "rows": "preference",
            "columns": {
                "instruction": "instruction",
                "input": "input",
                "chosen": "response_gpt4",
                "rejected": "response_davinci003",
            },
        },
        214,
        {"preference": 214},
        {},
    ),
]


def read(path: Path, options: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    config = FilesConfig(path=path.name, **{"rows": "auto", **options})
    splits = plan_splits(config, [path], 1 << 24)
    made = [one for split in splits for one in read_files(split, config)]
    return pl.concat([m.rows for m in made]), pl.concat([m.failed for m in made])


@pytest.mark.parametrize(("name", "options", "records", "kinds", "faults"), FILES)
def test_every_record_is_a_row_or_a_named_fault(
    shared_data: Path, name: str, options: Any, records: int, kinds: Any, faults: Any
) -> None:
    rows, failed = read(shared_data / name, options)
    places = {*rows["source_record"], *failed["source_record"]}
    assert len(places) == records
    assert dict(rows["row_kind"].value_counts().iter_rows()) == kinds
    assert Counter(told.split(":")[0] for told in failed["error"]) == faults
    for (kind,), some in rows.group_by("row_kind"):
        assert check_rows(some.select(KINDS[str(kind)].columns), str(kind)).is_null().all()


@pytest.mark.parametrize("name", ["multi_turn.parquet", "hh_rlhf_harmless_pairs.parquet"])
def test_real_rows_survive_every_format_that_takes_them(shared_data: Path, name: str) -> None:
    rows, _ = read(shared_data / name, {})
    held: Counter[str] = Counter()
    for row in rows.head(400).iter_rows(named=True):
        for form, kinds in WRITERS.items():
            if row["row_kind"] in kinds:
                try:
                    written = write_record(row, row["row_kind"], form)
                except FaultError:
                    continue
                held[form] += 1
                assert len(read_record(written, row["row_kind"]).rows) == 1
    assert held["databuild"] == held["trl"] == 400
