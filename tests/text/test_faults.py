from __future__ import annotations

import polars as pl

from databuild.text.faults import fault_list


def test_no_check_at_all_leaves_empty_lists():
    rows = pl.DataFrame({"n": [1, 2]})
    found = rows.select(faults=fault_list({"low": pl.col("n") < 2}, ignore=("low",)))
    assert found["faults"].to_list() == [[], []]
    assert found.schema["faults"] == pl.List(pl.String)


def test_an_empty_table_keeps_the_type():
    rows = pl.DataFrame({"n": []}, schema={"n": pl.Int64})
    found = rows.select(faults=fault_list({"low": pl.col("n") < 2}))
    assert found.schema["faults"] == pl.List(pl.String)
    assert found.height == 0


def test_a_condition_on_faults_selects():
    from databuild.sample.where import WhereConfig, select_where

    faults = [[], ["cut"], ["label", "cut"], ["label"]]
    rows = pl.DataFrame(
        {"row_id": list("abcd"), "t_faults": faults},
        schema_overrides={"t_faults": pl.List(pl.String)},
    )

    def kept(condition):
        found = select_where(rows, WhereConfig(keep=condition))
        return found.filter(pl.col("part") == "kept")["row_id"].to_list()

    assert kept("len(t_faults) == 0") == ["a"]
    assert kept('not "cut" in t_faults') == ["a", "d"]
    assert kept('len(t_faults) <= 1 and "label" not in t_faults') == ["a", "b"]
