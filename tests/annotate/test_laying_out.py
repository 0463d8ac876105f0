"""Which records go first, who answers which, where gold questions stand, and what is left out."""

from __future__ import annotations

import os
from collections import Counter
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.annotate.laying_out import RECORD, STRATUM, assigned, places, with_gold
from databuild.annotate.log import VoteLog
from databuild.annotate.push import PushConfig, put_before_people
from databuild.annotate.records import Record
from databuild.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path


def records_of(n: int, prefix: str = "r", **more: Any) -> list[Record]:
    return [
        Record(f"{prefix}{i}", "preference", {"prompt": "?", "answers": ["a", "b"]}, **more)
        for i in range(n)
    ]


def table(strata: list[str | None], **margins: list[float | None]) -> pl.DataFrame:
    names = [f"r{i}" for i in range(len(strata))]
    return pl.DataFrame({RECORD: names, STRATUM: strata, **margins})


@given(st.integers(1, 60), st.integers(0, 12))
def test_gold_questions_are_evenly_spaced_among_all_records(n: int, n_gold: int) -> None:
    records, gold = records_of(n), records_of(n_gold, "g", gold=3)
    laid = with_gold(records, gold)
    assert [one.place for one in laid] == list(range(n + n_gold))
    assert [one.record for one in laid if one.gold is None] == [one.record for one in records]
    assert [one.record for one in laid if one.gold is not None] == [one.record for one in gold]
    if n >= n_gold > 0:
        at = [-1, *(one.place for one in laid if one.gold is not None), n + n_gold]
        between = [after - before - 1 for before, after in pairwise(at)]
        assert max(between) - min(between) <= 2
        assert at[1] > 0  # nobody begins with a test


@pytest.mark.parametrize(("n_people", "wanted"), [(4, 2), (5, 3), (3, 3), (7, 1)])
def test_everybody_gets_as_many_records_and_meets_everybody(n_people: int, wanted: int) -> None:
    people = [f"p{i}" for i in range(n_people)]
    laid = assigned(records_of(60 * n_people), people, wanted, 3, {})
    assert {len(set(one.assigned)) for one in laid} == {wanted}
    for start in range(0, len(laid), n_people):  # fair from the first block on, not on average
        block = Counter(name for one in laid[start : start + n_people] for name in one.assigned)
        assert block == dict.fromkeys(people, wanted)
    if wanted > 1:
        pairs = Counter(pair for one in laid for pair in combinations(one.assigned, 2))
        assert len(pairs) == n_people * (n_people - 1) / 2
        assert min(pairs.values()) > 0.7 * sum(pairs.values()) / len(pairs)


def test_gold_is_everybodys_and_an_assignment_stays_while_its_people_do() -> None:
    people = ["ann", "bob", "cai"]
    first = assigned(records_of(6), people, 2, 3, {})
    (gold,) = assigned(records_of(1, "g", gold=4), people, 2, 3, {})
    assert gold.assigned == ("ann", "bob", "cai")
    known = {one.record: one for one in first}
    later = assigned(records_of(9)[::-1], [*people, "dan"], 2, 99, known)
    assert {one.record: one.assigned for one in later if one.record in known} == {
        name: one.assigned for name, one in known.items()
    }
    without = assigned(records_of(6), ["ann", "bob"], 2, 3, known)  # cai has left
    assert {one.assigned for one in without} == {("ann", "bob")}
    assert {one.assigned for one in assigned(records_of(3), [], 2, 3, {})} == {()}


def test_every_beginning_of_the_order_holds_the_strata_in_proportion() -> None:
    strata: list[str | None] = ["big"] * 60 + ["small"] * 30 + [None] * 10
    rows = table(strata, m=[float(i % 17) for i in range(100)])
    place = places(rows, ["m"], 7)
    assert sorted(place) == list(range(100))
    ordered = [strata[i] for i in place.arg_sort()]
    for n in range(10, 101, 10):
        seen = Counter(ordered[:n])
        for name, share in (("big", 0.6), ("small", 0.3), (None, 0.1)):
            assert abs(seen[name] - share * n) <= 1


def test_within_a_stratum_disagreement_goes_first_then_small_margins_then_none() -> None:
    nan, none = float("nan"), None
    rows = table(["s"] * 5, m=[5.0, 0.2, -3.0, nan, 1.0], n=[500.0, 10.0, 400.0, none, 90.0])
    assert places(rows, ["m", "n"], 7).to_list() == [3, 1, 0, 4, 2]
    # A unit counts for nothing: the second margin in thousandths makes the same order.
    scaled = rows.with_columns(pl.col("n") / 1000)
    assert places(scaled, ["m", "n"], 7).to_list() == [3, 1, 0, 4, 2]


def test_without_margins_the_order_is_drawn_and_does_not_depend_on_the_rows_order() -> None:
    rows = table(["s", "t"] * 20)
    place = dict(zip(rows[RECORD], places(rows, [], 7), strict=True))
    back = rows.reverse()
    assert dict(zip(back[RECORD], places(back, [], 7), strict=True)) == place
    other = dict(zip(rows[RECORD], places(rows, [], 8), strict=True))
    assert other != place
    assert list(place.values()) != sorted(place.values())


def test_what_is_not_put_before_people_is_named_row_by_row(tmp_path: Path) -> None:
    rows = pl.DataFrame({
        "row_id": ["fits", "long", "blank", "equal", "zero", "twin", "none"],
        "prompt": ["Q", "Q" * 41, " ", "Q2", "Q\0", "Q", None],
        "response_a": ["a" * 40, "a", "a", "same", "a", "b", "a"],
        "response_b": ["b", "b", "b", "same", "b", "a" * 40, "b"],
    })  # fmt: skip
    config = PushConfig(dataset="d", tool="files", max_chars=40)
    out = tmp_path / "out"
    out.mkdir()
    told = put_before_people(rows, config, out=out, journals=tmp_path, files=(), seed=1)
    assert told["records"] == 1
    assert {one["row_id"]: one["reason"] for one in told["rows_skipped"]} == {
        "long": "a text is longer than the page shows (max_chars 40)",
        "blank": "its prompt is empty", "none": "its prompt is empty",
        "equal": "two of its answers are the same",
        "zero": "a text has the character U+0000, which no tool shows",
        "twin": "same record as another row",
    }  # fmt: skip
    with pytest.raises(StepError, match="no rows to write: a text is longer"):
        put_before_people(rows[1:2], config, out=out, journals=tmp_path, files=(), seed=1)


def test_a_margin_that_is_no_number_is_none_in_the_log(tmp_path: Path) -> None:
    values = [float("nan"), float("inf"), None, 0.5]
    rows = pl.DataFrame({
        "row_id": list("abcd"), "prompt": list("abcd"), "response_a": ["x"] * 4,
        "response_b": ["y"] * 4, "m": values,
    })  # fmt: skip
    out = tmp_path / os.urandom(4).hex()
    out.mkdir()
    config = PushConfig(dataset="d", tool="files", margins=("m",))
    put_before_people(rows, config, out=out, journals=tmp_path, files=(), seed=1)
    kept = {one.row: one.margins for one in VoteLog(tmp_path, "d").read().records.values()}
    assert kept == {"a": {}, "b": {}, "c": {}, "d": {"m": 0.5}}


def test_a_pair_that_comes_back_the_other_way_round_keeps_its_order(tmp_path: Path) -> None:
    row = {"row_id": "a", "prompt": "Q", "response_a": "x", "response_b": "y"}
    row |= {"model_a": "small", "model_b": "large"}
    first = pl.DataFrame([row | {"gold": 3, "m": 0.5}])
    turned = {"row_id": "b", "response_a": "y", "response_b": "x", "gold": -3, "m": -0.5}
    again = pl.DataFrame([row | turned | {"model_a": "large", "model_b": "small"}])
    other = pl.DataFrame([row | {"row_id": "c", "prompt": "Q2", "m": 1.0}])
    config = PushConfig(dataset="d", tool="files", margins=("m",))
    log = VoteLog(tmp_path, "d")
    for n, (rows, gold) in enumerate(
        [(first, None), (again, None), (other, first), (other, again)]
    ):
        out = tmp_path / f"out{n}"
        out.mkdir()
        put_before_people(rows, config, gold, out=out, journals=tmp_path, files=(), seed=1)
        (name,) = [name for name, found in log.read().rows.items() if "a" in found]
        record = log.read().records[name]
        assert record.answers == ["x", "y"]
        assert (record.hidden or {})["model_a"] == "small"
        assert record.gold == (3 if gold is not None else None)
        assert gold is not None or record.margins == {"m": 0.5}
    assert sorted(log.read().rows.values()) == [["a", "b"], ["c"]]
