"""How well a deduplication did, by the exact similarities of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from tests.bench.dedup_oracle import Truth

SHORT = 15
"""A text of at most so many tokens is short."""


def places(order: pl.Series) -> np.ndarray:
    """The place of every row in an order, which lists the numbers of the rows."""
    place = np.empty(len(order), np.int64)
    place[order.to_numpy()] = np.arange(len(order))
    return place


def neighbours(truth: Truth, threshold: float) -> pl.DataFrame:
    """Every row with each group near it, its own included where others are in it too."""
    rows = truth.rows.with_row_index("row").select("row", "group")
    near = truth.pairs.filter(pl.col("jaccard") >= threshold)
    both = pl.concat(
        [
            near.select(group="a", other="b", jaccard="jaccard"),
            near.select(group="b", other="a", jaccard="jaccard"),
            rows.select(pl.col("group").unique())
            .sort("group")
            .select("group", other="group", jaccard=pl.lit(1.0)),
        ]
    )
    return rows.join(both, on="group").select("row", "other", "jaccard")


def score(truth: Truth, kept: pl.Series, place: np.ndarray, threshold: float) -> dict[str, Any]:
    """Recall, by slice, and precision of a list of rows to keep.

    A row is redundant when a row before it in the order (`place`: best first) has a similarity of
    at least `threshold`, missed when it is kept and so is such a row. Recall is 1 - missed /
    redundant; a slice by similarity takes the largest to a row before. `p_strict`: the share of the
    removed rows that have a kept row at `threshold`; `p_loose`: any row; `harmful`: removed rows
    with no row even at one half; `worse_kept`: removed rows whose near kept rows all come after
    them, so that a better one was given up for a worse.
    """
    n = truth.rows.height
    is_kept = np.zeros(n, bool)
    is_kept[kept.to_numpy()] = True
    rows = truth.rows.with_row_index("row").with_columns(
        place=pl.Series(place), kept=pl.Series(is_kept)
    )
    groups = rows.group_by("group").agg(
        first=pl.col("place").min(),
        first_kept=pl.col("place").filter(pl.col("kept")).min(),
        size=pl.len(),
    )
    told = (
        neighbours(truth, threshold)
        .join(groups, left_on="other", right_on="group")
        .join(rows.select("row", "place", "group"), on="row")
        .group_by("row")
        .agg(
            best=pl.col("jaccard").filter(pl.col("first") < pl.col("place")).max(),
            missed=(pl.col("first_kept") < pl.col("place")).any(),
            near=((pl.col("other") != pl.col("group")) | (pl.col("size") > 1)).any(),
            near_kept=pl.col("first_kept").is_not_null().any(),
        )
    )
    rows = rows.join(told, on="row", how="left").sort("row")
    redundant = rows.filter(pl.col("best").is_not_null())
    removed = rows.filter(~pl.col("kept"))
    is_zh = pl.col("han_ratio") > 0.3
    slices = {
        "0.7-0.8": pl.col("best").is_between(0.7, 0.8, closed="left"),
        "0.8-0.9": pl.col("best").is_between(0.8, 0.9, closed="left"),
        "0.9-1": pl.col("best") >= 0.9,
        "short": pl.col("tokens") <= SHORT,
        "zh": is_zh,
    }
    recall = {name: _recall(redundant.filter(which)) for name, which in slices.items()}
    lone = _lone(truth)
    return {
        "rows": n,
        "kept": int(is_kept.sum()),
        "redundant": redundant.height,
        "missed": int((redundant["kept"] & redundant["missed"]).sum()),
        "recall": _recall(redundant),
        "recall_by_slice": recall,
        "p_strict": _share(removed["near_kept"]),
        "p_loose": _share(removed["near"]),
        "p_loose_zh": _share(removed.filter(is_zh)["near"]),
        "harmful": int((lone & ~is_kept).sum()),
        "worse_kept": removed.filter(
            pl.col("near_kept") & ~pl.col("missed").fill_null(value=False)
        ).height,
    }


def _recall(redundant: pl.DataFrame) -> float | None:
    if not redundant.height:
        return None
    missed = int((redundant["kept"] & redundant["missed"]).sum())
    return float(round(1 - missed / redundant.height, 5))


def _share(flags: pl.Series) -> float | None:
    return (
        float(round(int(flags.fill_null(value=False).sum()) / len(flags), 5))
        if len(flags)
        else None
    )


def _lone(truth: Truth) -> np.ndarray:
    """Rows with no other row at all that shares half of the sets."""
    group = truth.rows["group"].to_numpy()
    has = np.bincount(group) > 1
    for side in ("a", "b"):
        has[truth.pairs[side].to_numpy()] = True
    return ~has[group]


def greedy(truth: Truth, place: np.ndarray, threshold: float) -> np.ndarray:
    """The rows that are kept when rows come best first and each is compared with all kept."""
    near: dict[int, list[int]] = {}
    for a, b in truth.pairs.filter(pl.col("jaccard") >= threshold).select("a", "b").iter_rows():
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    group = truth.rows["group"].to_list()
    taken: set[int] = set()
    kept = []
    for row in np.argsort(place).tolist():
        if group[row] not in taken and taken.isdisjoint(near.get(group[row], ())):
            taken.add(group[row])
            kept.append(row)
    return np.sort(np.array(kept, np.int64))
