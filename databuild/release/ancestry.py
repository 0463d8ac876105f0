"""The lineage of released rows as plain Parquet, for those who have only the released folder.

`lineage/rows-*.parquet` have one line for every row that a released row came from, itself included:

| column | |
|---|---|
| `row_id`, `parent_ids` | the row and what it was made from |
| `step`, `use` | the step that made it |
| `source_file`, `source_record` | of a row that was read: where it stands |
| `model`, `k`, `sample_seed` | of an answer: who gave it, which of K, under which seed |

`lineage/sources-*.parquet` have the closure: one line for each released row and each source row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from databuild.engine.lineage import Runs

TOLD: dict[str, type[pl.DataType]] = {
    "source_file": pl.String,
    "source_record": pl.Int64,
    "model": pl.String,
    "k": pl.Int64,
    "sample_seed": pl.Int64,
}
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "row_id": pl.String,
    "parent_ids": pl.List(pl.String),
    "step": pl.String,
    "use": pl.String,
    **TOLD,
}


def ancestors(runs: Runs, released: Iterable[tuple[str, pl.Series]]) -> pl.DataFrame:
    """Every row that released rows came from, themselves included.

    Args:
        runs: The finished steps.
        released: Step names, each with the ids of those of its rows that are released.

    Returns:
        The columns named above: step by step, children first, in the order of their tables, so that
        what changed in one place of a table changed in one place of this one.
    """
    wanted: dict[str, list[pl.Series]] = {}
    for step, ids in released:
        wanted.setdefault(runs.base(step), []).append(ids)
    told = [pl.DataFrame(schema=_COLUMNS)]
    for name in reversed(list(runs.producers())):  # children before their parents
        scan = runs.scan(name)
        if name not in wanted or scan is None:
            continue
        wanted_here = pl.LazyFrame({"row_id": pl.concat(wanted[name]).unique()})
        there = scan.collect_schema()
        # A column that is carried from the parent says nothing of how this row was made.
        is_source = not runs.manifests[name].inputs
        own = {"source_file", "source_record"} if is_source else {"model", "k", "sample_seed"}
        known = [c for c in TOLD if c in own and c in there]
        found = scan.select("row_id", "parent_ids", *known)
        found = found.join(wanted_here, on="row_id", how="semi", maintain_order="left")
        made = found.collect().with_columns(
            *(pl.col(c).cast(dtype) for c, dtype in TOLD.items() if c in known),
            *(pl.lit(None, dtype=dtype).alias(c) for c, dtype in TOLD.items() if c not in known),
            step=pl.lit(name),
            use=pl.lit(runs.manifests[name].use),
        )
        told.append(made.select(list(_COLUMNS)))
        parents = made["parent_ids"].explode().drop_nulls()
        for reference in runs.manifests[name].inputs.values():
            wanted.setdefault(runs.base(reference.partition(".")[0]), []).append(parents)
    return pl.concat(told)


def sources(rows: pl.DataFrame, released: pl.Series) -> pl.DataFrame:
    """Which source rows each released row came from.

    Args:
        rows: What `ancestors` returned.
        released: The ids of released rows.

    Returns:
        `row_id`, `source_id`, `source_file`, `source_record`; in the order of `released`.

    Example:
        >>> told = {"source_file": ["a.jsonl", None], "source_record": [0, None]}
        >>> rows = pl.DataFrame({"row_id": ["s", "r"], "parent_ids": [[], ["s"]], **told})
        >>> sources(rows, pl.Series(["r"])).rows()
        [('r', 's', 'a.jsonl', 0)]
    """
    edges = rows.select("row_id", parent="parent_ids").explode("parent").unique()
    roots = rows.filter(pl.col("source_file").is_not_null())
    roots = roots.select(
        source_id="row_id", source_file="source_file", source_record="source_record"
    )
    ids = released.unique(maintain_order=True)
    at = pl.DataFrame({"row_id": ids, "at": ids})
    found = [at]
    while at.height:
        above = at.join(edges, left_on="at", right_on="row_id").drop_nulls("parent")
        at = above.select("row_id", at="parent").unique()
        found.append(at)
    ways = pl.concat(found).unique().rename({"at": "source_id"})
    told = ways.join(roots, on="source_id").unique()
    order = pl.DataFrame({"row_id": ids}).with_row_index("_order")
    return told.join(order, on="row_id").sort("_order", "source_id").drop("_order")
