from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from databuild.errors import SchemaError
from databuild.sample.where import WhereConfig, select_where

ROWS = pl.DataFrame({"row_id": ["a", "b", "c"], "n": [1, 5, None], "s": ["x", "y", "z"]})


def test_the_reason_is_the_first_clause_that_fails():
    out = select_where(ROWS, WhereConfig(keep="n < 9 and (s == 'x' or n > 9)"))
    assert out.rows() == [
        ("a", "kept", None, None),
        ("b", "dropped", "not (s == 'x' or n > 9)", "s y, n 5"),
        ("c", "dropped", "not (n < 9)", "n null"),
    ]


def test_nan_never_passes():
    rows = pl.DataFrame({"row_id": ["a", "b", "c"], "q": [float("nan"), 0.9, None]})
    for keep in ("q > 0.5", "q >= 0", "not q < 0.5", "q == q"):
        assert select_where(rows, WhereConfig(keep=keep))["part"].to_list() == [
            "dropped",
            "kept",
            "dropped",
        ]


def test_it_reads_the_columns_of_its_condition():
    assert select_where.columns_read(WhereConfig(keep="n > 1 and s != 'x'")) == ("n", "s")


def test_a_condition_that_cannot_be_read_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match="unknown function 'exec'"):
        WhereConfig(keep="exec('x')")


@pytest.mark.parametrize(
    "keep", ["n > 'x'", "s > 1", "n in ['x']", "n", "len(n) > 1", "'x' in n", "n[0] > 1", "s.x > 1"]
)
def test_a_condition_that_does_not_fit_the_columns_is_a_clear_error(keep):
    with pytest.raises(SchemaError, match="does not fit the columns"):
        select_where(ROWS, WhereConfig(keep=keep))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("x" * 500, f"v {'x' * 120}"),
        (["late", "cut"], 'v ["late","cut"]'),
        ({"a": 1}, 'v {"a":1}'),
        (b"\xff\x00", "v ff00"),
        (date(2020, 2, 29), "v 2020-02-29"),
        (timedelta(microseconds=7), "v 7"),
        (2.5, "v 2.5"),
        (True, "v true"),
    ],
)
def test_the_evidence_is_what_the_columns_of_the_clause_hold(value: object, told: str) -> None:
    rows = pl.DataFrame({"row_id": ["a"], "v": [value], "n": [1]})
    out = select_where(rows, WhereConfig(keep="n == 1 and v is null and n > 5"))
    assert out.select("reason", "evidence").row(0) == ("not (v is null)", told)


def test_a_condition_without_columns_drops_with_evidence_too() -> None:
    out = select_where(ROWS, WhereConfig(keep="1 > 2"))
    assert set(out["evidence"]) == {"no column is read"}
