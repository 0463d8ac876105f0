from __future__ import annotations

import polars as pl
import pytest

from databuild.errors import SchemaError
from databuild.sample.where import WhereConfig, select_where

ROWS = pl.DataFrame({"row_id": ["a", "b", "c"], "n": [1, 5, None], "s": ["x", "y", "z"]})


def test_the_reason_is_the_first_clause_that_fails():
    out = select_where(ROWS, WhereConfig(keep="n < 9 and (s == 'x' or n > 9)"))
    assert out.rows() == [
        ("a", "kept", None),
        ("b", "dropped", "not (s == 'x' or n > 9)"),
        ("c", "dropped", "not (n < 9)"),
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
