from __future__ import annotations

import itertools

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.errors import SchemaError
from databuild.sample.curriculum import CurriculumConfig, select_bands


def table(values: list[float | None]) -> pl.DataFrame:
    ids = [f"r{i:02d}" for i in range(len(values))]
    return pl.DataFrame({"row_id": ids, "loss": values}, schema={"row_id": pl.String, "loss": pl.Float64})  # fmt: skip


def bands(values: list[float | None], seed: int = 1, **options):
    config = CurriculumConfig.model_validate({"by": "loss", **options})
    return select_bands(table(values), config, seed=seed)


def parts(found) -> list[str]:
    return found.table.sort("row_id")["part"].to_list()


def test_bands_are_quantiles_from_easy_to_hard():
    found = bands([0.9, 0.1, 0.5, 0.2, 0.8, 0.4])
    assert parts(found) == ["hard", "easy", "medium", "easy", "hard", "medium"]
    assert found.facts["bands"][0] == {"band": "easy", "rows": 2, "lowest": 0.1, "highest": 0.2}


def test_a_number_of_bands_is_named_by_round():
    assert parts(bands([3.0, 1.0, 2.0], bands=3)) == ["r3", "r1", "r2"]
    assert select_bands.parts_kept(CurriculumConfig(by="loss", bands=2)) == ("r1", "r2")


def test_high_values_may_be_the_easy_ones():
    assert parts(bands([3.0, 1.0, 2.0], bands=3, high_is_easy=True)) == ["r1", "r3", "r2"]
    edged = bands([3.0, 1.0, 2.0], bands=["a", "b"], edges=[2.0], high_is_easy=True)
    assert parts(edged) == ["a", "b", "a"]


def test_shares_set_the_sizes_of_bands():
    found = bands([float(i) for i in range(10)], bands=["a", "b"], shares=[3, 1])
    assert [one["rows"] for one in found.facts["bands"]] == [8, 2]


def test_a_value_on_an_edge_belongs_above_it_and_a_band_may_be_empty():
    found = bands([0.0, 0.5, 0.6], edges=[0.5, 5.0])
    assert parts(found) == ["easy", "medium", "medium"]
    assert found.facts["bands"][2] == {"band": "hard", "rows": 0, "lowest": None, "highest": None}


def test_unknown_difficulty_is_dropped_and_says_so():
    found = bands([None, float("nan"), 0.5], bands=1).table.sort("row_id")
    assert found["part"].to_list() == ["dropped", "dropped", "r1"]
    assert found["reason"].to_list() == ["its difficulty is unknown"] * 2 + [None]
    assert bands([]).table.is_empty()


def test_a_difficulty_that_is_no_number_is_refused():
    rows = pl.DataFrame({"row_id": ["a"], "loss": ["high"]})
    with pytest.raises(SchemaError, match="no order"):
        select_bands(rows, CurriculumConfig(by="loss"), seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": ["a", "a"]}, "different names"),
        ({"bands": ["dropped"]}, "none of them 'dropped'"),
        ({"bands": 3, "edges": [1]}, "3 bands have 2 edges"),
        ({"bands": 2, "shares": [1]}, "there are 2 bands and 1 shares"),
        ({"bands": 2, "shares": [1, 1], "edges": [1]}, "not both"),
        ({"bands": 0}, "greater than or equal to 1"),
    ],
)
def test_impossible_bands_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bands([], **options)


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.none() | st.integers(0, 4).map(float), min_size=1, max_size=30),
    n=st.integers(1, 5),
    data=st.data(),
)
def test_bands_are_even_ordered_and_the_same_in_any_order(values, n, data):
    rows, config = table(values), CurriculumConfig(by="loss", bands=n)
    found = select_bands(rows, config, seed=3)
    shuffled = rows[data.draw(st.permutations(range(rows.height)))]
    other = select_bands(shuffled, config, seed=3)
    assert found.table.sort("row_id").equals(other.table.sort("row_id"))
    told = found.facts["bands"]
    assert max(one["rows"] for one in told) - min(one["rows"] for one in told) <= 1
    filled = [one for one in told if one["rows"]]
    for low, high in itertools.pairwise(filled):
        assert low["highest"] <= high["lowest"]
