from __future__ import annotations

import polars as pl
import pytest

from databuild.errors import StepError
from databuild.export.trl import TrlConfig, write_trl_folder

SFT = pl.DataFrame(
    {"row_id": ["b", "a"], "prompt": ["Hi", "Yo"], "response": ["Hello", "🙂"], "score": [1.0, 0.5]}
)
PAIRS = pl.DataFrame({
    "row_id": ["b", "a"], "prompt": ["Hi", "Yo"], "chosen": ["x", "y"], "rejected": ["z", ""],
    "margin": [0.5, 0.7], "strength": ["better", "significantly better"],
})  # fmt: skip


def turn(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def test_prompt_and_completion(tmp_path):
    facts = write_trl_folder(SFT, TrlConfig(keep=("score",)), out=tmp_path)
    assert facts == {
        "rows": 2,
        "files": ["data/train-00000.parquet"],
        "columns": ["prompt", "completion", "row_id", "score"],
    }
    assert pl.read_parquet(tmp_path / "data/train-00000.parquet").to_dicts()[0] == {
        "prompt": turn("user", "Yo"),
        "completion": turn("assistant", "🙂"),
        "row_id": "a",
        "score": 0.5,
    }


def test_messages_with_a_system_prompt(tmp_path):
    write_trl_folder(SFT, TrlConfig(layout="messages", system="Be kind."), out=tmp_path)
    messages = pl.read_parquet(tmp_path / "data/train-00000.parquet")["messages"][0].to_list()
    assert messages == turn("system", "Be kind.") + turn("user", "Yo") + turn("assistant", "🙂")


def test_prompts_that_are_messages_already(tmp_path):
    rows = SFT.with_columns(
        prompt=pl.Series(
            [
                [{"content": "Hi", "role": "user", "x": 1}],
                [{"content": "Yo", "role": "user", "x": 2}],
            ]
        )
    )
    write_trl_folder(rows, TrlConfig(), out=tmp_path)
    assert pl.read_parquet(tmp_path / "data/train-00000.parquet")["prompt"][0].to_list() == turn(
        "user", "Yo"
    )


def test_bytes_do_not_depend_on_the_order_of_rows(tmp_path):
    for name, rows in (("a", PAIRS), ("b", PAIRS.reverse())):
        write_trl_folder(rows, TrlConfig(kind="preference"), out=tmp_path / name)
    one, other = ((tmp_path / name / "data/train-00000.parquet").read_bytes() for name in "ab")
    assert one == other


def test_large_sets_are_several_files(tmp_path):
    facts = write_trl_folder(SFT, TrlConfig(max_file_rows=1, split="dev"), out=tmp_path)
    assert facts["files"] == ["data/dev-00000.parquet", "data/dev-00001.parquet"]


def test_no_rows_null_texts_and_clashes_are_clear_errors(tmp_path):
    with pytest.raises(StepError, match="no rows to write"):
        write_trl_folder(SFT.clear(), TrlConfig(), out=tmp_path)
    rows = SFT.with_columns(response=pl.Series([None, "x"]))
    with pytest.raises(StepError, match=r"1 rows lack prompt or response, as \['b'\]"):
        write_trl_folder(rows, TrlConfig(), out=tmp_path)
    with pytest.raises(StepError, match="`keep` names 'prompt', which the export writes itself"):
        write_trl_folder(SFT, TrlConfig(keep=("prompt",)), out=tmp_path)


@pytest.mark.live
@pytest.mark.filterwarnings("ignore")
def test_datasets_and_trl_take_the_folder_as_it_is(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    data_utils = pytest.importorskip("trl.data_utils")
    write_trl_folder(
        PAIRS, TrlConfig(kind="preference", keep=("margin", "strength")), out=tmp_path / "pairs"
    )
    loaded = datasets.load_dataset(str(tmp_path / "pairs"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    row = loaded["train"][0]
    assert data_utils.is_conversational(row)
    assert row["chosen"] == turn("assistant", "y")
    assert row["margin"] == 0.7
    assert "| better | 1 |" in (tmp_path / "pairs" / "README.md").read_text(encoding="utf-8")
