from __future__ import annotations

import polars as pl
import pytest

from databuild.errors import LawError
from databuild.sample.split import SplitConfig, split_rows


def table(n: int) -> pl.DataFrame:
    return pl.DataFrame({
        "row_id": [f"{i:04d}" for i in range(n)],
        "kind": ["long" if i % 4 else None for i in range(n)],
        "cluster": [f"c{i // 3}" if i % 5 else None for i in range(n)],
    }, schema={"row_id": pl.String, "kind": pl.String, "cluster": pl.String})  # fmt: skip


def split(rows: pl.DataFrame, seed: int = 1, **options) -> pl.DataFrame:
    return split_rows(rows, SplitConfig(**options), seed=seed).table


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


def test_big_groups_come_to_small_parts_too_and_sizes_are_near():
    sizes_of_groups = [40, 20, *[8] * 20, *[5] * 40, *[2] * 100, *[1] * 80]
    group = [f"g{i}" for i, n in enumerate(sizes_of_groups) for _ in range(n)]
    rows = pl.DataFrame({"row_id": [f"{i:04d}" for i in range(len(group))], "g": group})
    for seed in range(5):
        parts = {"train": 0.8, "dev": 0.1, "holdout": 0.1}
        out = split(rows, seed, parts=parts, together="g")
        wanted = {"train": 560, "dev": 70, "holdout": 70}
        assert all(abs(sizes(out)[part] - n) <= 1 for part, n in wanted.items())
        sized = out.join(rows, on="row_id").group_by("g").agg(pl.len(), pl.col("part").first())
        for size, n in ((8, 20), (5, 40), (2, 100)):
            of_size = sized.filter(pl.col("len") == size)["part"]
            assert abs(of_size.to_list().count("dev") - n / 10) <= 2


def test_errors_of_many_small_strata_do_not_add_up():
    rows = pl.DataFrame({
        "row_id": [f"{i:04d}" for i in range(600)], "g": [f"g{i // 3}" for i in range(600)],
        "kind": [f"k{i // 6}" for i in range(600)],
    })  # fmt: skip
    out = split(rows, parts={"train": 0.75, "dev": 0.25}, together="g", stratify="kind")
    assert sizes(out) == {"train": 450, "dev": 150}


def test_rows_linked_by_any_column_directly_or_not_stay_together():
    rows = pl.DataFrame({
        "row_id": [f"{i:03d}" for i in range(200)],
        "a": [f"a{i // 2}" if i % 7 else None for i in range(200)],
        "b": [f"b{(i + 1) // 2}" if i % 5 else None for i in range(200)],
    })  # fmt: skip
    config = SplitConfig(parts={"train": 0.5, "dev": 0.5}, together=("a", "b"))
    found = split_rows(rows, config, seed=1)
    out = found.table.join(rows, on="row_id")
    for column in ("a", "b"):
        parts = out.drop_nulls(column).group_by(column).agg(pl.col("part").n_unique())["part"]
        assert parts.max() == 1
        assert found.facts["leak_checked"][column] == {"values": len(parts), "in_two_parts": 0}
    assert abs(sizes(out)["dev"] - 100) <= found.facts["largest_group"]


def test_prompts_that_are_the_same_in_their_normal_form_are_never_in_two_parts():
    prompts = [f"Question {i // 2}" if i % 2 else f" question  {i // 2}" for i in range(100)]
    rows = pl.DataFrame({"row_id": [f"{i:03d}" for i in range(100)], "prompt": prompts})
    apart = split_rows(rows, SplitConfig(parts={"train": 0.5, "dev": 0.5}), seed=1).table
    pairs = apart.with_columns(pair=pl.Series([i // 2 for i in range(100)]))
    assert pairs.group_by("pair").agg(pl.col("part").n_unique())["part"].max() == 2
    config = SplitConfig(parts={"train": 0.5, "dev": 0.5}, no_leak="prompt")
    found = split_rows(rows, config, seed=1)
    pairs = found.table.with_columns(pair=pl.Series([i // 2 for i in range(100)]))
    assert pairs.group_by("pair").agg(pl.col("part").n_unique())["part"].max() == 1
    assert found.facts["leak_checked"] == {"prompt": {"values": 50, "in_two_parts": 0}}
    assert sizes(found.table) == {"train": 50, "dev": 50}


def test_every_row_stays_in_its_part_when_others_come_and_go():
    shares = {"train": 0.7, "dev": 0.2}
    few = split(table(2000), parts=shares, exact=False)
    more = split(table(2500)[500:], parts=shares, exact=False)
    both = few.join(more, on="row_id")
    assert both.height == 1500
    assert both["part"].equals(both["part_right"], check_names=False)
    assert abs(sizes(few)["train"] - 1400) < 100
    assert abs(sizes(few)["dropped"] - 200) < 60
    assert "dropped" not in sizes(split(table(500), parts={"a": 0.7, "b": 0.3}, exact=False))


def test_a_group_stays_in_its_part_when_its_rows_change():
    rows = table(300).with_columns(author=pl.format("a{}", pl.int_range(300) // 3))
    other = rows.with_columns(pl.format("new {}", "row_id").alias("row_id"))
    options = {"parts": {"train": 0.5, "dev": 0.5}, "together": "author", "exact": False}
    parts = [
        one.join(split(one, **options), on="row_id").group_by("author").agg(pl.col("part").unique())
        for one in (rows, other)
    ]
    both = parts[0].join(parts[1], on="author")
    assert (both["part"].list.len() == 1).all()
    assert both["part"].equals(both["part_right"], check_names=False)


def test_a_leak_would_be_found_and_stop_the_run(monkeypatch):
    rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": ["Hi", "hi"]})
    alone = pl.Series("unit", ["row:a", "row:b"])
    monkeypatch.setattr("databuild.sample.split.name_units", lambda _rows, _keys: alone)
    config = SplitConfig(parts={"train": 0.5, "dev": 0.5}, no_leak="prompt")
    with pytest.raises(LawError, match="1 values of 'like prompt' lie in two parts"):
        split_rows(rows, config, seed=1)


def test_parts_that_got_fewer_rows_than_asked_are_told():
    config = SplitConfig(parts={"train": 200, "dev": 100})
    assert split_rows(table(9), config, seed=1).facts["shortfall"] == [
        {"of": "train", "wanted": 200, "got": 6}, {"of": "dev", "wanted": 100, "got": 3},
    ]  # fmt: skip


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": {"a": 5}}, "shares, not numbers of rows"),
        ({"parts": {"a": 0.5}, "stratify": "kind"}, "shares, not `stratify`"),
    ],
)
def test_rows_dealt_each_on_its_own_have_no_exact_numbers(options, message):
    with pytest.raises(ValueError, match=message):
        SplitConfig(exact=False, **options)
