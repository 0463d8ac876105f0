"""Which records go first, who answers which, and where gold questions stand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from databuild.schema.identity import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.annotate.records import Record

STRATUM, RECORD = "\0stratum", "\0record"


def places(rows: pl.DataFrame, margins: Sequence[str], seed: int) -> pl.Series:
    """The place of every row, from 0: rows on which the rewards disagree first, then small margins.

    Within a stratum a row on which two of the margins differ in sign comes before one where they do
    not; then comes the smaller margin (the mean of the absolute margins, each divided by its mean
    over all rows, so that no reward's unit counts more), nulls last; equal ones by a draw. The
    strata are merged so that every beginning of the order holds each of them in proportion.

    Args:
        rows: `RECORD` (hash), `STRATUM`, and the margins: how much better the first answer is.
        margins: The columns of margins; with none the order is drawn.
        seed: Of the draw.

    Example:
        >>> rows = pl.DataFrame({
        ...     RECORD: ["p", "q", "r"], STRATUM: ["s"] * 3, "m": [2.0, 0.1, 1.0], "n": [1, 3, -1]
        ... })
        >>> places(rows, ["m", "n"], 7).to_list()
        [2, 1, 0]
    """
    found = [pl.col(name).cast(pl.Float64).fill_nan(None) for name in margins]
    signs = pl.concat_list([one.sign() for one in found]) if found else None
    disagree = pl.lit(0)
    small = pl.lit(None, dtype=pl.Float64)
    if signs is not None:
        disagree = ((signs.list.max() > 0) & (signs.list.min() < 0)).fill_null(value=False)
        scaled = [one.abs() / pl.when(one.abs().mean() > 0).then(one.abs().mean()) for one in found]
        small = pl.mean_horizontal(scaled)
    draws = [derive_seed(seed, name, "place") for name in rows[RECORD]]
    keyed = rows.select(
        STRATUM, RECORD, agrees=~disagree.cast(pl.Boolean), small=small,
        draw=pl.Series(draws, dtype=pl.Int64), at=pl.int_range(pl.len()),
    )  # fmt: skip
    by = ["agrees", "small", "draw", RECORD]
    within = keyed.sort(by, nulls_last=True).with_columns(
        share=(pl.int_range(pl.len()).over(STRATUM) + 0.5) / pl.len().over(STRATUM)
    )
    merged = within.sort("share", *by, nulls_last=True, maintain_order=True)
    return merged.with_row_index("place").sort("at")["place"].alias("place")


def with_gold(records: Sequence[Record], gold: Sequence[Record]) -> list[Record]:
    """Put gold questions between records at even distances, and number all."""
    step = (len(records) + 1) / (len(gold) + 1)
    at = [(float(i), 1, one) for i, one in enumerate(records)]
    at += [((i + 1) * step - 0.5, 0, one) for i, one in enumerate(gold)]
    at.sort(key=lambda item: item[:2])
    return [replace(one, place=place) for place, (*_, one) in enumerate(at)]


def assigned(
    records: Sequence[Record],
    annotators: Sequence[str],
    wanted: int,
    seed: int,
    known: Mapping[str, Record],
) -> list[Record]:
    """Give each record `wanted` of the annotators; a gold question is everybody's.

    Of as many records as there are annotators, one after another, everybody gets `wanted`, drawn
    anew for each such block, so that everyone meets everyone. A record that was assigned before
    to people who are still there keeps them.
    """
    people = list(annotators)
    made: list[Record] = []
    turn = 0
    for one in records:
        before = known[one.record].assigned if one.record in known else ()
        if one.gold is not None or not people:
            made.append(replace(one, assigned=tuple(people), wanted=wanted))
            continue
        if len(before) == wanted and set(before) <= set(people):
            made.append(replace(one, assigned=before, wanted=wanted))
            continue
        block, place = divmod(turn, len(people))
        drawn = sorted(people, key=lambda name: derive_seed(seed, block, name))
        mine = [drawn[(place + i) % len(people)] for i in range(wanted)]
        made.append(replace(one, assigned=tuple(sorted(mine)), wanted=wanted))
        turn += 1
    return made
