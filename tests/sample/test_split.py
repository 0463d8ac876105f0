from __future__ import annotations

import polars as pl
import pytest

from databuild.sample.split import SplitConfig, split_rows


def table(n: int) -> pl.DataFrame:
    return pl.DataFrame({
        "row_id": [f"{i:04d}" for i in range(n)],
        "kind": ["long" if i % 4 else None for i in range(n)],
        "cluster": [f"c{i // 3}" if i % 5 else None for i in range(n)],
    }, schema={"row_id": pl.String, "kind": pl.String, "cluster": pl.String})  # fmt: skip


def split(rows: pl.DataFrame, seed: int = 1, **options) -> pl.DataFrame:
    return split_rows(rows, SplitConfig(**options), seed=seed)


def sizes(out: pl.DataFrame) -> dict[str, int]:
    return dict(out.group_by("part").len().rows())


def test_shares_are_exact_in_all_and_in_every_stratum():
    rows = table(400)
    out = split(rows, parts={"train": 0.8, "dev": 0.1, "holdout": 0.1}, stratify="kind")
    assert sizes(out) == {"train": 320, "dev": 40, "holdout": 40}
    by_kind = (
        out.join(rows, on="row_id").group_by("kind", "part").len().sort("len")["len"].to_list()
    )
    assert by_kind == [10, 10, 30, 30, 80, 240]


def test_counts_are_drawn_and_the_rest_is_dropped():
    out = split(table(100), parts={"train": 60, "dev": 10})
    assert sizes(out) == {"train": 60, "dev": 10, "dropped": 30}
    assert set(out.filter(pl.col("part") == "dropped")["reason"]) == {"not drawn"}


def test_more_rows_asked_than_there_are_leaves_parts_in_proportion():
    assert sizes(split(table(9), parts={"train": 200, "dev": 100})) == {"train": 6, "dev": 3}


def test_a_part_may_come_out_empty():
    assert sizes(split(table(2), parts={"train": 0.9, "dev": 0.1})) == {"train": 2}
    assert split(table(0), parts={"train": 1.0}).is_empty()


def test_the_draw_depends_on_the_seed_and_not_on_the_order():
    rows = table(200)
    options = {"parts": {"train": 0.5, "dev": 0.5}, "stratify": ("kind",)}
    one = split(rows, **options)
    other = split(rows.reverse(), **options).sort("row_id")
    assert one.equals(other)
    assert not one.equals(split(rows, seed=2, **options))


def test_a_row_keeps_its_place_when_others_leave_its_stratum():
    """With the draw order fixed by id alone, most of dev stays in dev."""
    rows = table(400)
    parts = {"dev": 0.1, "train": 0.9}
    before = split(rows, parts=parts).filter(part="dev")["row_id"]
    after = split(rows.head(396), parts=parts).filter(part="dev")["row_id"]
    assert len(set(before) & set(after)) >= 35


def test_rows_together_stay_in_one_part():
    rows = table(300)
    out = split(rows, parts={"train": 0.8, "dev": 0.2}, together="cluster").join(rows, on="row_id")
    in_cluster = out.drop_nulls("cluster")
    assert in_cluster.group_by("cluster").agg(pl.col("part").n_unique())["part"].max() == 1
    assert abs(sizes(out)["dev"] - 60) <= 3


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": 0.8, "dev": 10}, "not a mixture"),
        ({"train": 0.8, "dev": 0.3}, "add up to 1.1, more than 1"),
        ({"train": 0.0}, "above 0"),
        ({"dropped": 0.5}, "cannot be called 'dropped'"),
        ({}, "at least 1 item"),
    ],
)
def test_impossible_parts_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        SplitConfig(parts=parts)
