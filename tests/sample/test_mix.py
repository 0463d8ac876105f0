from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.errors import RecipeError
from databuild.sample.mix import MixConfig, mix_rows


def table(name: str, n: int, **columns) -> pl.DataFrame:
    ids = pl.Series("row_id", [f"{name}{i:03d}" for i in range(n)], dtype=pl.String)
    return pl.DataFrame([ids]).with_columns(**columns)


def mix(tables: dict[str, pl.DataFrame], seed: int = 1, **options):
    others = {name: rows for name, rows in tables.items() if name != "rows"}
    return mix_rows(tables.get("rows"), MixConfig.model_validate(options), seed=seed, **others)


def made(found) -> dict[str, int]:
    return dict(found.rows.group_by("mixed_from").len().sort("mixed_from").rows())


def parents(found) -> list[str]:
    return found.rows["parent_ids"].list.first().to_list()


def test_without_options_every_row_of_every_input_is_taken_once():
    rows = table("a", 2)
    found = mix({"rows": rows, "others": rows.head(1), "web": table("w", 1)})
    assert parents(found) == ["a000", "a001", "a000", "w000"]
    assert found.rows["mixed_from"].to_list() == ["rows", "rows", "others", "web"]
    assert found.dropped.is_empty()
    assert found.facts["shortfall"] == []
    assert parents(mix({"rows": rows})) == ["a000", "a001"]
    assert parents(mix({"web": rows})) == ["a000", "a001"], "the first input may be left out"


def test_weights_without_a_total_give_as_many_rows_as_they_allow():
    found = mix({"rows": table("a", 60), "web": table("w", 100)}, weights={"rows": 3, "web": 1})
    assert made(found) == {"rows": 60, "web": 20}
    assert found.facts["shortfall"] == []
    assert found.dropped["reason"].to_list() == ["not drawn"] * 80


def test_a_total_that_cannot_be_met_is_reported_and_the_gap_is_not_filled():
    tables = {"rows": table("a", 60), "web": table("w", 100)}
    found = mix(tables, weights={"rows": 0.75, "web": 0.25}, total=100)
    assert made(found) == {"rows": 60, "web": 25}
    assert found.facts["shortfall"] == [{"of": "rows", "wanted": 75, "got": 60}]
    assert found.facts["sources"][0] == {
        "source": "rows", "rows": 60, "duplicates": 0, "wanted": 75, "got": 60,
    }  # fmt: skip


def test_epochs_repeat_every_row_before_any_is_taken_once_more():
    found = mix({"rows": table("a", 4), "web": table("w", 3)}, epochs={"rows": 2.5})
    epochs = found.rows.filter(pl.col("mixed_from") == "rows")
    assert sorted(epochs["mixed_epoch"].to_list()) == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    assert epochs.group_by("parent_ids").len()["len"].sort().to_list() == [2, 2, 3, 3]
    assert made(found)["web"] == 3


def test_less_than_an_epoch_and_a_cap_leave_rows_out():
    tables = {"rows": table("a", 10), "web": table("w", 10)}
    found = mix(tables, epochs={"rows": 0.7}, at_most={"web": 4})
    assert made(found) == {"rows": 7, "web": 4}
    assert found.dropped.height == 9


def test_a_total_without_weights_is_shared_in_proportion():
    assert made(mix({"rows": table("a", 30), "web": table("w", 10)}, total=8)) == {"rows": 6, "web": 2}  # fmt: skip


def test_the_best_rows_are_taken_first_and_a_nan_last():
    rows = table("a", 4, q=pl.Series([0.1, float("nan"), 0.9, None]))
    found = mix({"rows": rows}, total=2, prefer="q")
    assert sorted(parents(found)) == ["a000", "a002"]


def test_numbers_and_truth_values_are_preferred_side_by_side():
    rows = table("a", 2, prompt=pl.Series(["x", "y"]), q=pl.Series([1, 5]))
    web = table("w", 2, prompt=pl.Series(["x", "z"]), q=pl.Series([True, False]))
    found = mix({"rows": rows, "web": web}, unique="prompt", prefer="q", total=2)
    assert sorted(parents(found)) == ["a001", "w001"]


def test_of_equal_rows_the_one_from_the_first_source_is_kept():
    texts = pl.Series("prompt", ["Hi  there", None, "Bye", "ＢＹＥ"])
    rows = table("a", 4).with_columns(texts)
    web = table("w", 4).with_columns(texts.str.to_uppercase())
    found = mix({"rows": rows, "web": web}, unique="prompt", priority=["web"])
    assert sorted(parents(found)) == ["a001", "w000", "w001", "w002"]
    assert dict(found.dropped.rows()) == {
        "a000": "duplicate: w000", "a002": "duplicate: w002",
        "a003": "duplicate: w002", "w003": "duplicate: w002",
    }  # fmt: skip
    assert sorted(parents(mix({"rows": rows, "web": web}, unique="prompt"))) == [
        "a000", "a001", "a002", "w001",
    ]  # fmt: skip


def test_one_row_in_two_inputs_is_not_dropped_when_it_is_kept_once():
    rows = table("a", 3, prompt=pl.Series(["x", "y", "z"]))
    found = mix({"rows": rows, "same": rows}, unique="prompt")
    assert sorted(parents(found)) == ["a000", "a001", "a002"]
    assert found.dropped.is_empty()


def test_an_empty_input_does_not_empty_the_mixture():
    found = mix({"rows": table("a", 9), "web": table("w", 0)}, weights={"rows": 0.9, "web": 0.1})
    assert made(found) == {"rows": 9}
    assert found.facts["shortfall"] == [{"of": "web", "wanted": 1, "got": 0}]
    assert mix({"rows": table("a", 0)}).rows.is_empty()


def test_a_weight_of_nothing_takes_nothing():
    found = mix({"rows": table("a", 5), "web": table("w", 5)}, weights={"rows": 1, "web": 0})
    assert made(found) == {"rows": 5}


def test_a_source_without_a_weight_is_refused():
    with pytest.raises(RecipeError, match="`weights` leaves out the input 'web'"):
        mix({"rows": table("a", 5), "web": table("w", 5)}, weights={"rows": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"rows": 0}}, "one of the weights must be above 0"),
        ({"weights": {"rows": -1}}, "greater than or equal to 0"),
        ({"epochs": {"rows": 0}}, "greater than 0"),
        ({"priority": ["rows"]}, "say in `unique`"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MixConfig.model_validate(options)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), n=st.integers(0, 30), total=st.integers(0, 60), seed=st.integers(0, 3))
def test_neither_the_order_of_rows_nor_that_of_inputs_matters(data, n, total, seed):
    prompts = data.draw(
        st.lists(st.sampled_from(["a", "A", "b", "c", None]), min_size=n, max_size=n)
    )
    rows = table("a", n, prompt=pl.Series(prompts, dtype=pl.String))
    web = table("w", 7, prompt=pl.Series(["b", "c", "d", "e", "f", "g", None]))
    options = {"weights": {"rows": 1, "web": 2}, "total": total, "epochs": {"web": 3}, "unique": "prompt"}  # fmt: skip
    one = mix({"rows": rows, "web": web}, seed, **options)
    order = data.draw(st.permutations(range(n)))
    other = mix({"web": web.reverse(), "rows": rows[order] if n else rows}, seed, **options)
    assert one.rows.equals(other.rows)
    assert one.dropped.sort("row_id").equals(other.dropped.sort("row_id"))
    assert one.rows.height <= total
    assert {*parents(one), *one.dropped["row_id"]} == {*rows["row_id"], *web["row_id"]}
