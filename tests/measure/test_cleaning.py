from __future__ import annotations

import polars as pl

from tests.bench.cleaning import load, shares, with_faults


def test_the_default_checks_find_most_of_what_people_threw_out(shared_data):
    flagged = pl.col("faults").list.len() > 0
    found = shares(with_faults(load(shared_data)), flagged)
    assert found["both"]["bad"] >= 0.6
    assert found["both"]["unchanged"] <= 0.1
    assert found["both"]["output_changed"] <= 0.1
    assert found["held_out"]["bad"] >= 0.5
