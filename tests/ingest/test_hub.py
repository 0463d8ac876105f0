"""ingest.hub: what `datasets` can load by name, tried on a folder that it loads by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from databuild.errors import RecipeError
from databuild.ingest.hub import HubConfig, plan_ranges, read_dataset

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("datasets")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as on the Hub, with data/*.parquet and a card."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "README.md").write_text("---\nlicense: mit\n---\n# A set\n")
    frame = pl.DataFrame({"question": [f"q{i}" for i in range(9)], "id": range(9)})
    frame.write_parquet(tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    return tmp_path / "set"


def test_a_dataset_is_read_by_name(folder: Path) -> None:
    config = HubConfig(dataset=str(folder), revision="x", key="id", rename={"question": "prompt"})
    (split,) = plan_ranges(config, (), 1 << 20)
    (made,) = read_dataset(split, config)
    assert made.rows["prompt"].to_list() == [f"q{i}" for i in range(9)]
    assert made.rows["key"].to_list() == [str(i) for i in range(9)]
    assert made.rows["source_record"].to_list() == list(range(9))
    assert made.rows["source_file"][0] == f"{folder}/train"


@pytest.mark.parametrize("name", ["nobody/has-this", "/no/such/folder"])
def test_what_cannot_be_loaded_is_a_clear_error(name: str) -> None:
    with pytest.raises(RecipeError, match=r"cannot be loaded.*save it to a folder"):
        plan_ranges(HubConfig(dataset=name, revision="x"), (), 1)


def test_a_missing_column_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(RecipeError, match="has no column 'nr'"):
        plan_ranges(HubConfig(dataset=str(folder), revision="x", key="nr"), (), 1)
