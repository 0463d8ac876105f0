from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.errors import SchemaError
from databuild.fix.merge_fragments import MergeFragmentsConfig, merge_fragments

CONFIG = MergeFragmentsConfig(by="doc", order="page", keep=("title",))


def table(rows):
    schema = {
        "row_id": pl.String,
        "doc": pl.String,
        "page": pl.Int64,
        "text": pl.String,
        "title": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_the_rows_of_a_group_become_one_in_order_with_all_parents():
    rows = table(
        [
            ("a", "x", 2, "two", None), ("b", "x", 1, "one", "T"), ("c", "y", 1, "only", None),
            ("d", "x", None, "last", "U"), ("e", "x", 2, None, None), ("f", "x", 3, "", None),
            ("g", None, 1, "lone", None), ("h", None, 1, "wolf", None),
        ]
    )  # fmt: skip
    made = merge_fragments(rows, CONFIG).rows.sort("text")
    assert made.drop("fixes").rows(named=True) == [
        {"parent_ids": ["g"], "doc": None, "text": "lone", "title": None, "n_fragments": 1},
        {"parent_ids": ["b", "a", "e", "f", "d"], "doc": "x", "text": "one\n\ntwo\n\nlast", "title": "T", "n_fragments": 5},
        {"parent_ids": ["c"], "doc": "y", "text": "only", "title": None, "n_fragments": 1},
        {"parent_ids": ["h"], "doc": None, "text": "wolf", "title": None, "n_fragments": 1},
    ]  # fmt: skip
    assert made["fixes"].list.len().to_list() == [0, 1, 0, 0]


def test_a_group_of_nothing_has_null_and_messages_are_joined_end_to_end():
    rows = table([("a", "x", 1, None, None), ("b", "x", 2, "", None)])
    assert merge_fragments(rows, CONFIG).rows["text"].to_list() == [None]
    turn = {"role": "user", "content": "hi"}
    lists = rows.with_columns(text=pl.Series([[turn], [turn, turn]]))
    assert merge_fragments(lists, CONFIG).rows["text"].to_list() == [[turn] * 3]
    with pytest.raises(SchemaError, match="neither texts nor lists"):
        merge_fragments(rows.with_columns(text=1), CONFIG)


@given(
    st.lists(
        st.tuples(st.sampled_from(["x", "y", None]), st.sampled_from([1, 2, None]), st.sampled_from(["a", "", None, "🙂"])),
        max_size=6,
    )
)  # fmt: skip
def test_every_row_is_a_parent_once_and_a_second_time_changes_nothing(values):
    rows = table([(str(i), *value, None) for i, value in enumerate(values)])
    once = merge_fragments(rows, CONFIG).rows
    parents = once["parent_ids"].explode(empty_as_null=False).to_list()
    assert sorted(parents) == rows["row_id"].to_list()
    again = once.with_columns(row_id=pl.int_range(pl.len()).cast(pl.String), page=1)
    twice = merge_fragments(again, CONFIG).rows
    key = ["doc", "text"]
    assert twice.select(key).sort(key).equals(once.select(key).sort(key))
    assert twice["fixes"].list.len().sum() == 0
