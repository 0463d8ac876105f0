"""The choosing steps on real instructions: what the choice is worth, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild.measure.frequency import FrequencyConfig, measure_frequency
from databuild.sample.diverse import DiverseConfig, select_diverse
from databuild.sample.split import SplitConfig, split_rows
from databuild.sample.stratify import StratifyConfig, stratify_rows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def dolly(shared_data: Path) -> pl.DataFrame:
    rows = pl.read_parquet(shared_data / "dolly_3k.parquet").with_row_index()
    return rows.select(pl.col("index").cast(pl.String).alias("row_id"), "instruction", "category")


def test_a_long_tail_is_covered_and_its_gaps_are_told(dolly: pl.DataFrame):
    config = StratifyConfig(by="category", total=400, balance="sqrt", at_least=40)
    found = stratify_rows(dolly, config, seed=1)
    by_cell = {cell["cell"]: cell for cell in found.facts["cells"]}
    assert len(by_cell) == dolly["category"].n_unique()
    assert sum(cell["got"] for cell in by_cell.values()) == 400
    assert all(cell["got"] >= min(40, cell["rows"]) for cell in by_cell.values())


def test_diverse_rows_hold_more_phrases_than_drawn_ones(dolly: pl.DataFrame):
    found = select_diverse(dolly, DiverseConfig(take=0.1, text="instruction"), seed=1)
    assert found.facts["covered_ratio"] > 1.2 * found.facts["drawn_covered_ratio"]


def test_repeated_instructions_stay_in_one_part(shared_data: Path):
    rows = pl.read_parquet(shared_data / "alpacaeval_best_of_k.parquet").with_row_index()
    rows = rows.select(pl.col("index").cast(pl.String).alias("row_id"), "instruction")
    config = FrequencyConfig(column="instruction")
    assert measure_frequency(rows, config).facts["repeated"] > 100
    parts = {"train": 0.8, "dev": 0.2}
    found = split_rows(rows, SplitConfig(parts=parts, no_leak="instruction"), seed=1)
    assert found.facts["leak_checked"]["instruction"]["in_two_parts"] == 0
    assert found.facts["shortfall"] == []
