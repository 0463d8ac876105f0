"""The difference of two tables: which rows are the same, what changed, how far it moved."""

from __future__ import annotations

import math

import polars as pl
import pytest

import databuild
from databuild.errors import SchemaError
from databuild.profiling import gather, table


@pytest.fixture
def differ(tmp_path):
    """Compare two tables that lie in Parquet files."""

    def compared(before: pl.DataFrame, after: pl.DataFrame, **options):
        paths = tmp_path / "before.parquet", tmp_path / "after.parquet"
        before.write_parquet(paths[0])
        after.write_parquet(paths[1])
        return databuild.profile(*paths, **options)

    return compared


def counts(found):
    one = found.changes
    return one.n_same, one.n_changed, one.n_added, one.n_removed


OLD = pl.DataFrame(
    {
        "key": ["a", "b", "c", "d"],
        "prompt": ["one", "two", "three", None],
        "score": [1.0, math.nan, 3.0, None],
        "gone": [0] * 4,
    }
)
NEW = pl.DataFrame(
    {
        "key": ["e", "d", "c", "b"],
        "prompt": ["five", None, "drei", "two"],
        "score": [5.0, None, 3.5, math.nan],
        "fresh": [True] * 4,
    }
)


def test_rows_are_matched_by_key_in_any_order(differ):
    found = differ(OLD, NEW)
    assert found.changes.matched_by == "key"
    assert counts(found) == (2, 1, 1, 1)  # b, d the same (NaN, null); c changed; e new; a gone
    assert found.changes.by_column == {"prompt": 1, "score": 1}
    assert (found.changes.columns_added, found.changes.columns_removed) == (("fresh",), ("gone",))
    assert [one.text for one in found.changes.added] == ["five"]
    assert [one.text for one in found.changes.removed] == ["one"]
    ((old, new),) = found.changes.changed
    assert (old.row, old.text, new.row, new.text) == ("#3", "three", "#3", "drei")


def test_rows_without_a_name_are_matched_by_content(differ):
    old, new = OLD.select("prompt"), pl.DataFrame({"prompt": ["two", "two", "one"]})
    found = differ(old, new)
    assert found.changes.matched_by == "content"
    assert counts(found) == (2, 0, 1, 2)


def test_equal_names_are_paired_in_order(differ):
    old = pl.DataFrame({"id": ["x", "x", "y"], "v": [1, 2, 3]})
    new = pl.DataFrame({"id": ["x", "y", "x", "x"], "v": [1, 3, 9, 4]})
    assert counts(differ(old, new, key="id")) == (2, 1, 1, 0)


def test_a_missing_name_names_no_row(differ):
    old = pl.DataFrame({"key": ["x", None], "v": [1, 2]})
    assert counts(differ(old, old)) == (1, 0, 1, 1)


def test_a_fix_is_matched_by_its_parent(differ):
    old = pl.DataFrame({"row_id": ["r1", "r2", "r3"], "prompt": ["a ", "b", "c"]})
    new = pl.DataFrame(
        {"row_id": ["s3", "s1"], "parent_ids": [["r3"], ["r1"]], "prompt": ["c", "a"]}
    )
    found = differ(old, new)
    assert found.changes.matched_by == "parent_ids"
    assert counts(found) == (1, 1, 0, 1)


def test_several_children_of_a_row_are_no_changes_of_it(differ):
    old = pl.DataFrame({"row_id": ["r1"], "prompt": ["a"]})
    new = pl.DataFrame(
        {"row_id": ["s1", "s2"], "parent_ids": [["r1"], ["r1"]], "prompt": ["a"] * 2}
    )
    assert differ(old, new).changes.matched_by == "content"


def test_types_are_compared_by_value(differ):
    old = pl.DataFrame({"key": ["a", "b"], "n": [1, 2]})
    new = pl.DataFrame({"key": ["a", "b"], "n": [1.0, 2.5]})
    found = differ(old, new)
    assert counts(found) == (1, 1, 0, 0)
    assert found.changes.types_changed == {"n": ("Int64", "Float64")}


def test_nested_values_are_compared(differ):
    talk = [{"role": "user", "content": "hi"}]
    old = pl.DataFrame({"key": ["a", "b"], "messages": [talk, talk]})
    new = pl.DataFrame({"key": ["a", "b"], "messages": [talk, talk * 2]})
    assert counts(differ(old, new)) == (1, 1, 0, 0)


def test_shifts_are_measured_with_common_bins(differ):
    old = pl.DataFrame({"n": [1, 2, 3, 4], "kind": ["x", "x", "x", "y"], "flat": [1] * 4})
    new = pl.DataFrame({"n": [3, 4, 5, 6], "kind": ["x", "y", "y", "z"], "flat": [1] * 4})
    found = differ(pl.concat([old, old]), pl.concat([new, new]))
    shifts = {one.column: one for one in found.shifts}
    assert shifts["n"].distance == 0.5
    assert (shifts["n"].before, shifts["n"].after) == (2.5, 4.5)
    # Of x 2 of 4 less, of y and z 1 of 4 more.
    assert shifts["kind"].distance == 0.5
    assert (shifts["flat"].distance, shifts["flat"].psi) == (0, 0)
    edges = [one.numbers[0].spread.histogram.edges for one in (found.before, found.after)]
    assert edges[0] == edges[1] == (1, 2, 3, 4, 5, 6, 7)


def test_faults_stand_before_and_after(differ):
    from databuild.report.wording import faults_side_by_side, points

    old = pl.DataFrame({"text": list("abcd"), "text_faults": [["cut"], ["cut"], ["echo"], []]})
    new = pl.DataFrame(
        {"text": list("ab"), "text_faults": [["cut"], []], "text_is_bad": [True] * 2}
    )
    lines = {name: (a, b) for name, a, b in faults_side_by_side(differ(old, new))}
    assert lines == {
        "text_faults: cut": ((2, 4), (1, 2)),
        "text_faults: echo": ((1, 4), (0, 2)),
        "text_is_bad": (None, (2, 2)),  # not measured before: not the same as found in no row
    }
    assert points(*lines["text_faults: echo"]) == "-25.0"


def test_long_texts_are_shown_where_they_begin_to_differ(differ):
    old = pl.DataFrame({"key": ["a"], "prompt": ["same " * 500 + "old end"]})
    new = pl.DataFrame({"key": ["a"], "prompt": ["same " * 500 + "new end"]})
    ((one, other),) = differ(old, new).changes.changed
    assert one.text.startswith("…")
    assert one.text.endswith("old end")
    assert other.text.endswith("new end")
    assert len(one.text) < 100


def test_a_key_that_is_not_there_is_refused(differ):
    with pytest.raises(SchemaError, match="no column 'kee'; did you mean 'key'"):
        differ(OLD, NEW, key="kee")


def test_tables_with_nothing_in_common_share_no_row(differ):
    found = differ(pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"b": ["x"]}))
    assert counts(found) == (0, 0, 1, 2)
    assert found.shifts == ()


def test_parts_and_groups_change_nothing(differ, monkeypatch):
    old = pl.DataFrame({"key": [str(n) for n in range(50)], "v": range(50), "w": ["x y"] * 50})
    new = old.slice(5).reverse().with_columns(v=pl.col("v") // 10 * 10)
    whole = differ(old, new)
    monkeypatch.setattr(table, "PART_ROWS", 7)
    monkeypatch.setattr(gather, "MOST_BYTES", 1)
    assert differ(old, new).as_plain() == whole.as_plain()
    assert counts(whole) == (4, 41, 0, 5)  # 10, 20, 30 and 40 are what they were


def test_rows_keep_their_names_when_few_columns_are_looked_at(differ):
    old, new = (one.rename({"key": "ticket"}) for one in (OLD, NEW))
    found = differ(old, new, key="ticket", columns=("score",))
    assert counts(found) == (2, 1, 1, 1)
    assert found.changes.by_column == {"score": 1}
    assert [one.name for one in found.before.columns] == ["score"]
    assert differ(OLD, NEW, columns=("score",)).changes.matched_by == "key"


def test_a_row_id_may_be_all_there_is(differ):
    old, new = pl.DataFrame({"row_id": ["a", "b"]}), pl.DataFrame({"row_id": ["b", "c"]})
    assert counts(differ(old, new)) == (1, 0, 1, 1)
