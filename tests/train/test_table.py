"""What the train steps say before a model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from databuild.engine.resources import Silence
from databuild.errors import RecipeError, StepError
from databuild.models.fake import FakeOptions
from databuild.models.fake_training import save_fake
from databuild.train import quantizing
from databuild.train.options import DpoOptions, SftOptions
from databuild.train.table import told_of_rows, train_on
from tests.train.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path


def attempt(tmp_path: Path, rows: Any, options: Any, dev: Any = None) -> dict[str, Any]:
    return train_on(
        rows, options, dev, model=save_fake(FakeOptions(), tmp_path / "model"), scratch=tmp_path,
        out=tmp_path / "out", device="cpu", progress=Silence(), where="dpo",
    )  # fmt: skip


def test_an_empty_set_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no rows to train on: the set of pairs is empty"):
        attempt(tmp_path, make_rows(1, "dpo").clear(), DpoOptions())
    with pytest.raises(StepError, match=r"there are no rows to train on\. Fix"):
        attempt(tmp_path, make_rows(1).clear(), SftOptions())
    with pytest.raises(StepError, match="the input `dev` has no pairs to evaluate on"):
        attempt(tmp_path, make_rows(2, "dpo"), DpoOptions(), make_rows(1, "dpo").clear())


def test_stopping_early_needs_rows_to_evaluate_on(tmp_path: Path) -> None:
    options = SftOptions(early_stopping_patience=2)
    with pytest.raises(StepError, match="early_stopping_patience needs rows to evaluate on"):
        attempt(tmp_path, make_rows(3), options)
    assert attempt(tmp_path, make_rows(3), options, make_rows(2))["rows_used"] == 3


def test_quantization_needs_adapters_and_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="quantization freezes the weights, so it needs adapters"):
        SftOptions(quantization="4bit", lora=None)
    monkeypatch.setattr(quantizing, "find_spec", lambda _: None)
    with pytest.raises(RecipeError, match=r"quantization: 4bit needs bitsandbytes.*uv add"):
        quantizing.check_installed("4bit", "train.sft")
    quantizing.check_installed(None, "train.sft")
    monkeypatch.setattr(quantizing, "find_spec", lambda _: object())
    quantizing.check_installed("4bit", "train.sft")


def test_rows_left_out_are_named_in_short() -> None:
    told = {
        "rows": 1200, "evaluated": 30, "skipped": 5, "reasons": {"too long": 4, "no weight in w": 1},
        "such_as": ["a", "b", "c"], "longest": 512,
    }  # fmt: skip
    assert told_of_rows(told) == (
        "1,200 rows of up to 512 tokens, 30 to evaluate on, 5 left out "
        "(4 × too long, 1 × no weight in w: a, b, c, …)"
    )
