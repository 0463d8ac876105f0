"""A row of one version stands for one of the other, and is told by what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild import api
from databuild.release.differences import KINDS
from tests.release.made import release

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.release.differences import Changes


def pair(number: int, **more: Any) -> dict[str, Any]:
    """A graded pair."""
    return {
        "row_id": f"{number:032x}", "content_id": f"c{number}", "parent_ids": [f"p{number}"],
        "record": f"r{number}", "prompt": f"Why is {number} odd?", "chosen": f"Because, {number}.",
        "rejected": f"It is not, {number}.", "strength": "better", "weight": 0.75,
        "chosen_score": 0.5, **more,
    }  # fmt: skip


def compared(
    folder: Path, a: list[dict[str, Any]], b: list[dict[str, Any]], **options: Any
) -> Changes:
    """The difference of two versions of one table."""
    for number, rows in enumerate((a, b)):
        schema = pl.DataFrame([pair(0, **options.pop("more", {}))]).schema if not rows else None
        release(
            folder, f"1.{number}.0", {"preference": {"train": pl.DataFrame(rows, schema=schema)}}
        )
    [found] = api.difference("made@1.0.0", "made@1.1.0", store=folder, **options)
    return found


def counted(found: Changes) -> dict[str, int]:
    return {kind: n for kind, n in found.counts.items() if n}


def test_another_vote_makes_a_pair_regraded_though_its_parents_are_others(tmp_path: Path) -> None:
    """As after another vote: the row has other parents, and so another id."""
    a = [pair(n) for n in range(4)]
    b = [
        *a[:3],
        pair(
            3, row_id="f" * 32, parent_ids=["p3", "new"], content_id="d", strength="slightly better"
        ),
    ]
    found = compared(tmp_path, a, b)
    assert counted(found) == {"regraded": 1}
    assert found.columns == {"strength": 1}
    [example] = found.examples["regraded"]
    assert example["differs"] == {"strength": ("better", "slightly better")}
    assert (example["row_id"], example["row_id_after"]) == (f"{3:032x}", "f" * 32)


def test_a_pair_whose_answers_changed_places_is_regraded_with_or_without_its_record(
    tmp_path,
) -> None:
    one = pair(1)
    other = {**one, "row_id": "f" * 32, "content_id": "d", "parent_ids": ["q"]}
    other |= {"chosen": one["rejected"], "rejected": one["chosen"]}
    assert counted(compared(tmp_path / "a", [one], [other])) == {"regraded": 1}
    del one["record"], other["record"]
    assert counted(compared(tmp_path / "b", [one], [other])) == {"regraded": 1}


def test_scores_alone_are_rescored_and_text_is_changed(tmp_path: Path) -> None:
    a = [pair(n, key=f"k{n}") for n in range(4)]
    b = [
        {**a[0], "chosen_score": 0.75},
        {**a[1], "row_id": "e" * 32, "content_id": "x", "record": "y", "chosen": "Since it is."},
        {**a[2], "row_id": "d" * 32, "parent_ids": ["q"]},
        {**a[3], "strength": "marginally better", "chosen_score": 0.1},
    ]
    found = compared(tmp_path, a, b)
    assert counted(found) == {"rescored": 1, "changed": 1, "relinked": 1, "regraded": 1}
    assert found.columns == {"chosen_score": 2, "record": 1, "chosen": 1, "strength": 1}
    assert found.same == 0


def test_names_that_are_not_one_rows_alone_stand_for_nothing(tmp_path: Path) -> None:
    same = {"record": "r", "content_id": "c", "parent_ids": ["p"], "prompt": "p", "key": "k"}
    a = [pair(n, **same, chosen="x", rejected="y") for n in range(2)]
    b = [pair(n, **same, chosen="x", rejected="y") for n in range(2, 4)]
    assert counted(compared(tmp_path / "a", a, b)) == {"added": 2, "removed": 2}
    nothing = dict.fromkeys(same) | {"chosen": None, "rejected": None}
    a, b = [pair(1, **nothing)], [pair(2, **nothing)]
    assert counted(compared(tmp_path / "b", a, b)) == {"added": 1, "removed": 1}


def test_columns_that_only_one_version_has_are_named_and_change_no_row(tmp_path: Path) -> None:
    a = [pair(n, old=1) for n in range(3)]
    b = [pair(n, new=[{"text": "好"}]) for n in range(3)]
    found = compared(tmp_path, a, b)
    assert counted(found) == {}
    assert (found.new_columns, found.gone_columns, found.same) == (("new",), ("old",), 3)


def test_nan_null_and_nested_values_are_themselves(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "你好 🙂"}, {"role": "user", "content": None}]
    a = [pair(n, margin=value, messages=turns[: n % 3])
         for n, value in enumerate([float("nan"), None, 0.0, -0.0])]  # fmt: skip
    assert counted(compared(tmp_path / "a", a, a[::-1])) == {}
    b = [{**a[0], "margin": None}, {**a[1], "messages": turns}, *a[2:]]
    found = compared(tmp_path / "b", a, b)
    assert counted(found) == {"rescored": 2}
    assert found.columns == {"margin": 1, "messages": 1}


def test_one_id_in_two_splits_is_compared_place_by_place(tmp_path: Path) -> None:
    rows = pl.DataFrame([pair(n) for n in range(3)])
    for version, splits in (
        ("1.0.0", {"a": rows, "b": rows}),
        ("1.1.0", {"a": rows, "b": rows[:2]}),
    ):
        release(tmp_path, version, {"preference": splits})
    [found] = api.difference("made@1.0.0", "made", store=tmp_path)
    assert counted(found) == {"removed": 1}
    assert (found.before, found.after, found.same) == (6, 5, 5)


def test_a_configuration_of_one_version_alone_is_added(tmp_path: Path) -> None:
    rows = pl.DataFrame([pair(n) for n in range(3)])
    release(tmp_path, "1.0.0", {"a": {"train": rows}})
    release(tmp_path, "1.1.0", {"b": {"train": rows}})
    first, second = api.difference("made@1.0.0", "made", store=tmp_path)
    assert (first.config, counted(first)) == ("a", {"removed": 3})
    assert (second.config, counted(second)) == ("b", {"added": 3})
    assert {row["row"]["prompt"] for row in second.examples["added"]} == set(rows["prompt"])


def test_strata_and_means_are_of_all_rows_also_of_those_that_both_share(tmp_path: Path) -> None:
    a = pl.DataFrame([pair(n, tone="dry") for n in range(4)])
    b = pl.DataFrame([pair(n, tone="dry", chosen_score=1.5) for n in range(4)])
    for version, rows in (("1.0.0", a), ("1.1.0", pl.concat([b, b.with_columns(
        row_id="x" + pl.col("row_id"), tone=pl.lit("kind"), record=pl.lit(None), content_id=pl.lit("z"),
        prompt=pl.lit("Else?"), parent_ids=pl.lit([], dtype=pl.List(pl.String)))]))):  # fmt: skip
        release(tmp_path, version, {"preference": {"train": rows}}, strata=["tone"])
    [found] = api.difference("made@1.0.0", "made", by="tone", store=tmp_path)
    told = [
        (one["stratum"], one["before"], one["after"], one["added"], one["rescored"])
        for one in found.strata
    ]
    assert told == [("dry", 4, 4, 0, 4), ("kind", 0, 4, 4, 0)]
    assert {"column": "chosen_score", "before": 0.5, "after": 1.5} in found.means


SMALL = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 2), st.sampled_from(["better", "tie"])),
    max_size=14, unique_by=lambda one: one[0],
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(a=SMALL, b=SMALL)
def test_every_row_is_of_one_kind_and_the_way_back_is_the_mirror(tmp_path_factory, a, b) -> None:
    folder = tmp_path_factory.mktemp("any")
    sides = [
        [pair(n, chosen_score=score / 2, strength=strength) for n, score, strength in side]
        for side in (a, b)
    ]
    there = compared(folder, *sides)
    [back] = api.difference("made@1.1.0", "made@1.0.0", store=folder)
    assert there.before == there.after - there.counts["added"] + there.counts["removed"]
    mirrored = {"added": "removed", "removed": "added"}
    assert {mirrored.get(kind, kind): n for kind, n in there.counts.items()} == back.counts
    known = {n: (score, strength) for n, score, strength in a}
    expected = dict.fromkeys(KINDS, 0)
    for n, score, strength in b:
        if n not in known:
            expected["added"] += 1
        elif known[n][1] != strength:
            expected["regraded"] += 1
        elif known[n][0] != score:
            expected["rescored"] += 1
    expected["removed"] = len(known.keys() - {n for n, _, _ in b})
    assert there.counts == expected
