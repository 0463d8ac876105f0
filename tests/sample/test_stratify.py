from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.errors import SchemaError
from databuild.sample.stratify import StratifyConfig, stratify_rows

SIZES = {"sky": 60, "sea": 30, "land": 9, None: 1}


def table(sizes: dict[str | None, int] = SIZES) -> pl.DataFrame:
    topics = [topic for topic, n in sizes.items() for _ in range(n)]
    return pl.DataFrame(
        {"row_id": [f"r{i:03d}" for i in range(len(topics))], "topic": topics},
        schema={"row_id": pl.String, "topic": pl.String},
    ).with_columns(n=pl.int_range(pl.len()))


def stratify(rows: pl.DataFrame, seed: int = 1, **options):
    options = {"by": "topic", **options}
    return stratify_rows(rows, StratifyConfig.model_validate(options), seed=seed)


def got(found) -> dict[str, int]:
    return {cell["cell"]: cell["got"] for cell in found.facts["cells"]}


def kept(rows: pl.DataFrame, found) -> dict[str, int]:
    parts = rows.join(found.table.filter(part="kept"), on="row_id")
    return dict(parts.group_by(pl.col("topic").fill_null("null")).len().rows())


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"total": 50}, {"sky": 30, "sea": 15, "land": 5}),
        ({"total": 40, "balance": "sqrt"}, {"sky": 19, "sea": 13, "land": 7, "null": 1}),
        ({"total": 40, "balance": "equal"}, {"sky": 15, "sea": 15, "land": 9, "null": 1}),
        ({"total": 40, "balance": 0.0}, {"sky": 15, "sea": 15, "land": 9, "null": 1}),
        ({"total": 20, "at_least": 5}, {"sky": 9, "sea": 5, "land": 5, "null": 1}),
        ({"at_most": 10}, {"sky": 10, "sea": 10, "land": 9, "null": 1}),
        ({"total": 25, "at_most": 10}, {"sky": 10, "sea": 10, "land": 4, "null": 1}),
        ({"total": 500}, {"sky": 60, "sea": 30, "land": 9, "null": 1}),
        ({"total": 0}, {}),
        ({"quotas": {"sky": 7, "null": 3}}, {"sky": 7, "null": 1}),
        ({"quotas": {"sky": 7, "*": 4}}, {"sky": 7, "sea": 4, "land": 4, "null": 1}),
        ({"quotas": {"sky": 1.0, "sea": 3.0}, "total": 20}, {"sky": 5, "sea": 15}),
        ({"quotas": {"sky": 1.0, "sea": 3.0}, "total": 60}, {"sky": 30, "sea": 30}),
        (
            {"quotas": {"sky": 1.0, "sea": 3.0}, "total": 60, "refill": False},
            {"sky": 15, "sea": 30},
        ),
    ],
)
def test_cells_get_their_quotas(options, wanted):
    rows = table()
    found = stratify(rows, **options)
    assert kept(rows, found) == wanted
    assert {cell: n for cell, n in got(found).items() if n} == wanted
    assert found.table.height == rows.height


def test_what_is_missing_is_told_by_cell_the_largest_gap_first():
    found = stratify(table(), total=40, balance="equal", refill=False)
    assert found.facts["shortfall"] == [
        {"of": "null", "wanted": 10, "got": 1}, {"of": "land", "wanted": 10, "got": 9},
    ]  # fmt: skip
    assert found.facts["n_cells"] == 4
    cells = {cell["cell"]: cell for cell in found.facts["cells"]}
    assert cells["land"] == {"cell": "land", "rows": 9, "wanted": 10, "got": 9}


def test_a_cell_that_has_no_rows_at_all_is_short_too():
    found = stratify(table(), quotas={"sky": 5, "moon": 3})
    assert found.facts["shortfall"] == [{"of": "moon", "wanted": 3, "got": 0}]


def test_a_dropped_row_says_its_cell_quota_and_place():
    rows = table({"sky": 3, "sea": 1})
    dropped = stratify(rows, quotas={"sky": 2}, prefer="n").table.filter(part="dropped")
    told = {
        row["row_id"]: (row["reason"], json.loads(row["evidence"])) for row in dropped.to_dicts()
    }
    assert told == {
        "r000": ("over the quota of its cell", {"cell": "sky", "quota": 2, "place": 3}),
        "r003": ("its cell has no quota", {"cell": "sea", "quota": 0, "place": 1}),
    }


def test_several_columns_and_bins_make_named_cells():
    rows = pl.DataFrame(
        {
            "row_id": list("abcdef"),
            "lang": ["en", "en", "zh", "zh", None, "en"],
            "q": [0.1, 0.5, 0.5, float("nan"), 0.9, None],
            "level": [1, 1, 1, 1, 2, 3],
        }
    )
    found = stratify(rows, by=["lang", "q"], bins={"q": [0.5, 0.8]}, at_most=1)
    assert [cell["cell"] for cell in found.facts["cells"]] == [
        "en / 0.5..0.8", "en / <0.5", "en / null", "null / >=0.8", "zh / 0.5..0.8", "zh / null",
    ]  # fmt: skip
    found = stratify(rows, by="level", bins={"level": 2}, total=6)
    assert [(cell["cell"], cell["rows"]) for cell in found.facts["cells"]] == [("q1", 4), ("q2", 2)]


def test_the_best_of_a_cell_are_kept_with_prefer_and_others_drawn_by_seed():
    rows = table({"sky": 30})
    best = stratify(rows, total=5, prefer="n").table.filter(part="kept")["row_id"].sort()
    assert best.to_list() == ["r025", "r026", "r027", "r028", "r029"]
    one, two = (
        set(stratify(rows, s, total=10).table.filter(part="kept")["row_id"]) for s in (1, 2)
    )
    assert one != two


def test_cells_of_numbers_and_truth_values_are_named_as_yaml_reads_them():
    rows = pl.DataFrame(
        {"row_id": list("abcd"), "level": [1, 1, 2, None], "ok": [True, False, None, True]}
    )
    assert got(stratify(rows, by="level", quotas={1: 1, 2: 1, None: 1})) == {
        "1": 1,
        "2": 1,
        "null": 1,
    }
    assert got(stratify(rows, by="ok", quotas={True: 1, False: 1})) == {
        "true": 1,
        "false": 1,
        "null": 0,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "say how many rows to keep"),
        ({"total": 5, "bins": {"n": 2}}, "`bins` cuts 'n', which is not in `by`"),
        ({"total": 5, "quotas": {"a": 1}}, "say the total"),
        ({"total": 5, "quotas": {"a": 1, "b": 0.5}}, "not a mixture"),
        ({"total": 5, "quotas": {"a": 0.5}, "balance": "sqrt"}, "not both"),
        ({"total": 5, "by": ["topic", "n"], "bins": {"n": [2, 1]}}, "edges must rise"),
        ({"total": 5, "balance": 2.0}, "less than or equal to 1"),
        ({"total": 5, "by": []}, "at least 1 item"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        stratify(table(), **options)


def test_columns_that_make_no_cells_are_refused():
    rows = table({"sky": 2}).with_columns(tags=pl.lit(["x"]))
    with pytest.raises(SchemaError, match="`bins` cuts 'topic', whose values are String"):
        stratify(rows, total=1, bins={"topic": 2})
    with pytest.raises(SchemaError, match="`by` names 'tags'"):
        stratify(rows, total=1, by="tags")


@settings(max_examples=30, deadline=None)
@given(
    topics=st.lists(st.sampled_from(["a", "b", "c", None, "🌈"]), max_size=40),
    total=st.integers(0, 45),
    balance=st.sampled_from(["proportional", "sqrt", "equal", 0.3]),
    at_least=st.integers(0, 4),
    data=st.data(),
)
def test_the_total_is_met_whenever_it_can_be_in_any_order(topics, total, balance, at_least, data):
    rows = table({}).clear() if not topics else table({"x": len(topics)}).with_columns(
        topic=pl.Series(topics, dtype=pl.String)
    )  # fmt: skip
    options = {"total": total, "balance": balance, "at_least": at_least}
    found = stratify(rows, **options)
    assert found.table.filter(part="kept").height == min(total, rows.height)
    order = data.draw(st.permutations(range(rows.height)))
    other = stratify(rows[order] if order else rows, **options)
    assert found.table.sort("row_id").equals(other.table.sort("row_id"))
    assert found.facts == other.facts
    for cell in found.facts["cells"]:
        assert cell["got"] <= cell["rows"]
        if total >= at_least * found.facts["n_cells"]:
            assert cell["got"] >= min(cell["rows"], at_least)
