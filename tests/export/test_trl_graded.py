"""Graded pairs leave as plain TRL columns, with their grades beside them for whoever reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild.export.trl import TrlConfig, write_trl_folder
from databuild.pairs.graded import GradedConfig, make_graded_pairs

if TYPE_CHECKING:
    from pathlib import Path


def test_weight_and_margin_stand_beside_trls_own_columns(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = pl.DataFrame(
        {
            "row_id": ["a", "b", "c", "d"],
            "prompt": ["Name a colour.", "Name a colour.", "Name a tree.", "Name a tree."],
            "response": ["Red.", "A table.", "An oak.", "Oak or so."],
            "verify_score": [1.0, 0.2, 0.9, 0.6],
        }
    )
    pairs = make_graded_pairs(rows, GradedConfig(origin=None, passes=None)).rows
    pairs = pairs.with_columns(row_id=pl.col("parent_ids").list.join("-"))
    config = TrlConfig(kind="preference", keep=("weight", "margin", "strength"))
    write_trl_folder(pairs, config, out=tmp_path / "set")
    read = datasets.load_dataset(
        str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert set(read.column_names) == {
        "prompt", "chosen", "rejected", "row_id", "weight", "margin", "strength",
    }  # fmt: skip
    assert read["weight"][:] == [1.0, 0.5]
    assert read["margin"][:] == pytest.approx([0.8, 0.3])
    assert read["strength"][:] == ["significantly better", "slightly better"]
    assert read["chosen"][0] == [{"role": "assistant", "content": "Red."}]
