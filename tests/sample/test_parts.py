from __future__ import annotations

import polars as pl

from databuild.sample.parts import PartsConfig, select_parts


def test_values_that_are_no_part_are_dropped_with_the_value():
    rows = pl.DataFrame({"row_id": ["a", "b", "c"], "fold": [1, 2, None]})
    config = PartsConfig(column="fold", parts=("1", "3"))
    assert select_parts.parts_kept(config) == ("1", "3")
    assert select_parts(rows, config).rows() == [
        ("a", "1", None), ("b", "dropped", "fold is 2"), ("c", "dropped", "fold is null"),
    ]  # fmt: skip
