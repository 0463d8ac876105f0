"""A profile shows no personal data that a measure has found, unless it is asked to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import databuild
from databuild.measure.pii import PiiConfig, measure_pii

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.profiling.facts import Difference, Profile

MAIL, LONG = "ann.lee@post.org", "ann.lee@" + "long" * 300 + ".org"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = pl.DataFrame({
        "row_id": ["a", "b", "c"],
        "prompt": [f"Write to {MAIL} now."] * 2 + [f"{'word ' * 198}{LONG}"],
        "title": [f"From {MAIL}"] * 3,
    })  # fmt: skip
    rows = rows.join(measure_pii(rows, PiiConfig(column="prompt")), on="row_id")
    rows.write_parquet(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def told(found: Profile | Difference) -> Any:
    return found.as_plain()


def test_examples_of_columns_with_spans_are_masked(table: Path) -> None:
    plain = told(databuild.profile(table))
    texts = [fault["examples"] for fault in plain["faults"]]
    assert "[EMAIL] now." in json.dumps(texts)
    assert MAIL not in json.dumps(texts)
    assert "ann.lee@long" not in json.dumps(plain)
    # Nothing was looked for in the other column, so nothing is hidden.
    assert f"From {MAIL}" in json.dumps(plain)


def test_they_are_masked_when_the_spans_are_not_looked_at(table: Path) -> None:
    assert MAIL not in json.dumps(told(databuild.profile(table, columns=("prompt",))))
    shown = told(databuild.profile(table, columns=("prompt",), show_personal=True))
    assert MAIL in json.dumps(shown)


def test_differences_are_masked(table: Path, tmp_path: Path) -> None:
    rows = pl.read_parquet(table).with_columns(pl.col("prompt") + " Or to bob.ray@post.org.")
    rows.write_parquet(tmp_path / "new.parquet")
    both = databuild.profile(table, tmp_path / "new.parquet", columns=("prompt",))
    assert "@post.org" not in json.dumps(told(both))
    assert "[EMAIL" in json.dumps(told(both))
