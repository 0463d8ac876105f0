"""The lineage of released rows as plain Parquet, for those who have only the released folder.

`lineage/rows-*.parquet` have one line for every row that a released row came from, itself included:

| column | |
|---|---|
| `row_id`, `parent_ids` | the row and what it was made from |
| `step`, `use` | the step that made it |
| `source_file`, `source_record` | of a row that was read: where it stands |
| `model`, `k`, `sample_seed` | of an answer: who gave it, which of K, under which seed |
| `annotator` | of a vote: whose |
| `version` | of a row that `ingest.release` read: the version whose lineage this line is from |
| `facts` | JSON: how it was sampled, what a vote said, an ancestor's scores |

`lineage/sources-*.parquet` have the closure: one line for each released row and each source row.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.errors import StoreError
from databuild.release.naming import read_reference
from databuild.release.reading import check_plain
from databuild.release.versions import Versions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from databuild.engine.lineage import Runs

RELEASED = "ingest.release"
PULLED = "annotate.pull"
TOLD: dict[str, type[pl.DataType]] = {
    "source_file": pl.String,
    "source_record": pl.Int64,
    "model": pl.String,
    "k": pl.Int64,
    "sample_seed": pl.Int64,
    "annotator": pl.String,
}
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "row_id": pl.String,
    "parent_ids": pl.List(pl.String),
    "step": pl.String,
    "use": pl.String,
    **TOLD,
    "version": pl.String,
    "facts": pl.String,
}
_DRAWN = ("temperature", "top_p", "max_tokens", "finish_reason", "origin", "prompt_tokens",
          "completion_tokens")  # fmt: skip
_VOTED = ("voted_at", "vote", "grade", "rating", "label", "verdict", "ranks", "seconds",
          "guideline", "shown_first", "simulated", "record")  # fmt: skip
_SCORES = ("reward.", "annotate.")


def ancestors(runs: Runs, released: Iterable[tuple[str, pl.Series]]) -> pl.DataFrame:
    """Every row that released rows came from, themselves included.

    Args:
        runs: The finished steps.
        released: Step names, each with the ids of those of its rows that are released.

    Returns:
        The columns named above: step by step, children first, in the order of their tables, so that
        what changed in one place of a table changed in one place of this one. Rows that were read
        from an earlier version bring their lines of its lineage, as far back as they go.
    """
    wanted: dict[str, list[pl.Series]] = {}
    for step, ids in released:
        wanted.setdefault(runs.base(step), []).append(ids)
    tables = set(wanted)
    told = [pl.DataFrame(schema=COLUMNS)]
    for name in reversed(list(runs.producers())):  # children before their parents
        if name not in wanted:
            continue
        ids = pl.concat(wanted[name]).unique()
        if runs.manifests[name].use == RELEASED:
            told.append(earlier(runs, name, ids))
            continue
        made = lines(runs, name, ids, scores=name not in tables)
        told.append(made)
        parents = made["parent_ids"].explode().drop_nulls()
        for reference in runs.manifests[name].inputs.values():
            wanted.setdefault(runs.base(reference.partition(".")[0]), []).append(parents)
    return pl.concat(told).unique("row_id", keep="first", maintain_order=True)


def lines(
    runs: Runs, name: str, ids: pl.Series | None = None, *, scores: bool = False
) -> pl.DataFrame:
    """The lines of the rows that a step made, or of those with these ids.

    Args:
        runs: The finished steps.
        name: A produce step.
        ids: Of these rows only.
        scores: Tell what reward and annotation steps measured on them, too.
    """
    scan = runs.scan(name)
    if scan is None:
        return pl.DataFrame(schema=COLUMNS)
    there = scan.collect_schema()
    # A column that is carried from the parent says nothing of how this row was made.
    manifest = runs.manifests[name]
    own = {"model", "k", "sample_seed"}
    if not manifest.inputs:
        own = {"source_file", "source_record"}
    elif manifest.use == PULLED:
        own = {"annotator"}
    known = [c for c in TOLD if c in own and c in there]
    facts: tuple[str, ...] = (
        _VOTED if manifest.use == PULLED else _DRAWN if "sample_seed" in known else ()
    )
    facts = tuple(c for c in facts if c in there)
    found = scan.select("row_id", "parent_ids", *known, *facts)
    if ids is not None:
        found = found.join(
            pl.LazyFrame({"row_id": ids}), on="row_id", how="semi", maintain_order="left"
        )
    if scores:
        found, more = _scored(runs, name, found)
        facts += more
    fact = pl.struct(facts).struct.json_encode() if facts else pl.lit(None, dtype=pl.String)
    made = found.with_columns(facts=fact).collect()
    return made.with_columns(
        *(pl.col(c).cast(dtype) for c, dtype in TOLD.items() if c in known),
        *(pl.lit(None, dtype=dtype).alias(c) for c, dtype in TOLD.items() if c not in known),
        step=pl.lit(name),
        use=pl.lit(manifest.use),
        version=pl.lit(None, dtype=pl.String),
    ).select(list(COLUMNS))


def earlier(runs: Runs, name: str, ids: pl.Series) -> pl.DataFrame:
    """The lines of rows that were read from a version, and of all their ancestors there.

    Raises:
        StoreError: The version is gone, so nobody could say any more where they came from.
    """
    split = next(iter(runs.manifests[name].splits or ({},)))
    reference = read_reference(str(split.get("version", "")))
    versions = Versions(Path(str(split.get("store", ""))), reference.name)
    if reference.version not in versions.known():
        what = f"{reference} is not there any more, which the step {name!r} read"
        raise StoreError(str(versions.store), what, fix="take it from a copy, or run again")
    whole = table_of(versions, reference.version)
    back = upwards(whole, ids)
    return (
        whole.join(back.to_frame("row_id"), on="row_id", how="semi", maintain_order="left")
        .select(pl.exclude("version"), version=pl.coalesce("version", pl.lit(str(reference))))
        .select(list(COLUMNS))
    )


def table_of(versions: Versions, version: str, columns: Iterable[str] = COLUMNS) -> pl.DataFrame:
    """The lineage of a version, with every column also where an older databuild wrote it."""
    check_plain(versions.read(version), lineage=True)
    folder = versions.folder(version) / "lineage"
    parts = sorted(folder.glob("rows-*.parquet"))
    wanted = list(columns)
    if not parts:
        return pl.DataFrame(schema={c: COLUMNS[c] for c in wanted})
    scan = pl.scan_parquet(parts, missing_columns="insert", extra_columns="ignore")
    there = scan.collect_schema()
    lacking = [pl.lit(None, dtype=COLUMNS[c]).alias(c) for c in wanted if c not in there]
    return scan.with_columns(lacking).select(wanted).collect()


def upwards(rows: pl.DataFrame, ids: pl.Series) -> pl.Series:
    """The ids, and those of all rows that they came from."""
    edges = rows.select("row_id", parent="parent_ids").explode("parent").drop_nulls()
    return _closure(edges, ids, ("row_id", "parent"))


def downwards(rows: pl.DataFrame, ids: pl.Series) -> pl.Series:
    """The ids, and those of all rows that were made from them.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b", "c"], "parent_ids": [["x"], ["a"], ["y"]]})
        >>> sorted(downwards(rows, pl.Series(["x"])))
        ['a', 'b', 'x']
    """
    edges = rows.select("row_id", parent="parent_ids").explode("parent").drop_nulls()
    return _closure(edges, ids, ("parent", "row_id"))


def _closure(edges: pl.DataFrame, ids: pl.Series, way: tuple[str, str]) -> pl.Series:
    """What is reached from ids along edges, themselves included."""
    at, to = way
    reached = pl.DataFrame({"id": ids.unique()}, schema={"id": pl.String})
    new = reached
    while new.height:
        new = edges.join(new, left_on=at, right_on="id", how="semi").select(id=to).unique()
        new = new.join(reached, on="id", how="anti")
        reached = pl.concat([reached, new])
    return reached["id"]


def _scored(runs: Runs, name: str, rows: pl.LazyFrame) -> tuple[pl.LazyFrame, tuple[str, ...]]:
    """Rows with the numbers that rewards and people gave them, and the names of these columns."""
    more: list[str] = []
    for other, manifest in runs.manifests.items():
        is_score = manifest.kind == "measure" and manifest.use.startswith(_SCORES)
        if not is_score or runs.base(other) != name or (scan := runs.scan(other)) is None:
            continue
        plain = [c for c, dtype in scan.collect_schema().items() if _is_plain(dtype)]
        plain = [c for c in plain if c not in more]
        rows = rows.join(scan.select("row_id", *plain), on="row_id", how="left",
                         maintain_order="left")  # fmt: skip
        more += plain
    return rows, tuple(more)


def _is_plain(dtype: Any) -> bool:
    return bool(dtype.is_numeric() or dtype == pl.Boolean)


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
