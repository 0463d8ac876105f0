from __future__ import annotations

import polars as pl

from databuild.sample.mix import MixConfig, mix_rows
from databuild.sample.parts import PartsConfig, select_parts


def test_values_that_are_no_part_are_dropped_with_the_value():
    rows = pl.DataFrame({"row_id": ["a", "b", "c"], "fold": [1, 2, None]})
    config = PartsConfig(column="fold", parts=("1", "3"))
    assert select_parts.parts_kept(config) == ("1", "3")
    assert select_parts(rows, config).rows() == [
        ("a", "1", None), ("b", "dropped", "fold is 2"), ("c", "dropped", "fold is null"),
    ]  # fmt: skip


def test_one_input_and_a_row_in_both_inputs():
    rows = pl.DataFrame({"row_id": ["a", "b"]})
    assert mix_rows(rows, MixConfig()).rows["parent_ids"].to_list() == [["a"], ["b"]]
    both = mix_rows(rows, MixConfig(), rows.head(1)).rows["parent_ids"].to_list()
    assert both == [["a"], ["b"], ["a"]]
