"""Two exams on the same prompts: intervals, wins, tests, kinds of prompts, repetition."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from scipy import stats  # type: ignore[import-untyped]

from databuild.evaluate.compare import CompareConfig, compare_with_base
from databuild.evaluate.paired import randomisation_test

if TYPE_CHECKING:
    from pathlib import Path


def exam(scores: list[Any], answers: list[str] | None = None) -> pl.DataFrame:
    table = pl.DataFrame(
        {
            "prompt": [f"p{i}" for i in range(len(scores))],
            "score": pl.Series(scores, dtype=pl.Float64),
            "completion_tokens": [3] * len(scores),
            "family": ["odd" if i % 2 else "even" for i in range(len(scores))],
        }
    )
    return table if answers is None else table.with_columns(response=pl.Series(answers))


def compared(model: pl.DataFrame, base: pl.DataFrame, out: Path, **options: Any) -> dict[str, Any]:
    config = CompareConfig(metric="score", resamples=500, **options)
    return compare_with_base(model, config, base, out=out, seed=3)


def test_wins_count_prompts_and_ties_half(tmp_path: Path) -> None:
    facts = compared(exam([1, 0.5, 0, None]), exam([0, 0.5, 1, 1]), tmp_path)
    assert facts["prompts"] == {"better": 1, "equal": 1, "worse": 1}
    assert facts["win_rate"]["mean"] == 0.5
    assert (facts["p_value"], facts["n_not_compared"]) == (1.0, 2)
    assert json.loads((tmp_path / "verdict.json").read_text()) == facts


def test_kinds_are_compared_alone_and_the_forgotten_one_comes_first(tmp_path: Path) -> None:
    facts = compared(exam([1, 0] * 10), exam([0, 1] * 10), tmp_path, by="family")
    assert [one["of"] for one in facts["by"]] == ["odd", "even"]
    assert facts["by"][0]["difference"] == {"mean": -1.0, "low": -1.0, "high": -1.0}
    assert facts["worse_in"] == ["odd"]
    assert facts["difference"]["mean"] == 0.0


def test_repetition_is_told_where_there_are_answers(tmp_path: Path) -> None:
    answers = ["to be or to be or", "a new day begins"]
    facts = compared(exam([1, 0], answers), exam([0, 1], ["short", "one two three"]), tmp_path)
    assert facts["repetition"] == {"model": 0.125, "base": 0.0}
    assert "repetition" not in compared(exam([1, 0]), exam([0, 1]), tmp_path)


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.6])
def test_the_randomisation_test_agrees_with_scipys(shift: float) -> None:
    drawn = np.random.default_rng(5).normal(shift, 1, 40)
    ours = randomisation_test(drawn, seed=1, draws=20_000)
    theirs = stats.permutation_test(
        (drawn,), np.mean, permutation_type="samples", n_resamples=20_000,
        rng=np.random.default_rng(2),
    ).pvalue  # fmt: skip
    assert ours == pytest.approx(theirs, abs=0.015)
