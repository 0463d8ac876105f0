"""What is said of every dropped row, and of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.dedup.candidates import CAP
from databuild.dedup.near import EARLIER, EXACT, NEAR, STAGES
from databuild.dedup.numbers import as_texts
from databuild.engine.step import DROPPED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from databuild.dedup.near import Found
    from databuild.dedup.signing import Signed

REASONS = {
    EXACT: "duplicate", NEAR: "near duplicate", EARLIER: "duplicate of an earlier row",
}  # fmt: skip
_REASONS = [None, *(REASONS[one] for one in sorted(REASONS))]
_STAGES = [None, *(STAGES[one] for one in sorted(STAGES))]
LARGEST = 10
EXAMPLE_CHARS = 80


def verdicts(signed: Signed, earlier: Sequence[Signed], found: Found) -> Iterator[pl.DataFrame]:
    """One frame for each part: `row_id`, `part`, `reason`, and `evidence` of what is dropped."""
    for index in range(len(signed.parts)):
        start, end = signed.row_starts[index : index + 2]
        lo, hi = np.searchsorted(found.dropped, [start, end])
        place = found.dropped[lo:hi] - start
        stage = np.zeros(end - start, np.uint8)
        stage[place] = found.stage[lo:hi]
        yield pl.DataFrame({
            "row_id": as_texts(signed.parts[index]["id"]),
            "part": pl.Series(["kept", DROPPED]).gather((stage > 0).astype(np.uint32)),
            "reason": pl.Series(_REASONS, dtype=pl.String).gather(stage.astype(np.uint32)),
            "evidence": placed(evidence(signed, earlier, found, slice(lo, hi)), place, len(stage)),
        })  # fmt: skip


def placed(texts: pl.Series, place: NDArray[np.int64], n: int) -> pl.Series:
    """A column of n rows with these texts in these rows, null in the others.

    Example:
        >>> placed(pl.Series(["a", "b"]), np.array([2, 0]), 4).to_list()
        ['b', None, 'a', None]
    """
    at = np.full(n, len(texts), np.int64)
    at[place] = np.arange(len(texts))
    return pl.concat([texts, pl.Series([None], dtype=pl.String)]).gather(at)


def evidence(signed: Signed, earlier: Sequence[Signed], found: Found, which: slice) -> pl.Series:
    """For each dropped row the row kept instead, their similarity, the stage and the cluster."""
    stages = pl.Series(_STAGES, dtype=pl.String).gather(found.stage[which].astype(np.uint32))
    return pl.DataFrame({
        "kept": kept_ids(signed, earlier, found, which),
        "jaccard": pl.Series(found.jaccard[which], dtype=pl.Float64),
        "stage": stages,
        "cluster": as_texts(signed.column("id", found.cluster_of(found.dropped[which]))),
    }).select(pl.struct(pl.all()).struct.json_encode()).to_series()  # fmt: skip


def kept_ids(signed: Signed, earlier: Sequence[Signed], found: Found, which: slice) -> pl.Series:
    """The id of the row that is kept instead of each dropped row."""
    source, kept = found.source[which], found.kept[which]
    if (source < 0).all():
        return names_of(signed, kept)
    ids = pl.Series(["" for _ in range(len(kept))], dtype=pl.String)
    for number, table in ((-1, signed), *enumerate(earlier)):
        mine = np.flatnonzero(source == number)
        if len(mine):
            ids = ids.scatter(mine, names_of(table, kept[mine]))
    return ids


def names_of(table: Signed, rows: NDArray[np.int64]) -> pl.Series:
    """The ids of rows; of a batch of files, which has none, its folder and their numbers in it."""
    if table.has("id"):
        return as_texts(table.column("id", rows))
    numbers = table.column("row", rows)
    return pl.Series([f"{table.folder.name} row {number}" for number in numbers], dtype=pl.String)


def clusters(signed: Signed, found: Found) -> Iterator[pl.DataFrame]:
    """One frame for each part: `row_id` and `cluster_id`, null for a row that is in no cluster."""
    for index in range(len(signed.parts)):
        start, end = signed.row_starts[index : index + 2]
        lo, hi = np.searchsorted(found.clustered, [start, end])
        names = as_texts(signed.column("id", found.cluster[lo:hi]))
        yield pl.DataFrame({
            "row_id": as_texts(signed.parts[index]["id"]),
            "cluster_id": placed(names, found.clustered[lo:hi] - start, end - start),
        })  # fmt: skip


def facts(signed: Signed, found: Found) -> dict[str, Any]:
    """The accounting of a search, as plain JSON for the manifest."""
    count = {name: int((found.stage == stage).sum()) for stage, name in STAGES.items()}
    largest = [
        {"rows": size, "kept": row_name(signed, row), "text": example(signed, row)}
        for row, size in largest_clusters(found)
    ]
    return {
        "rows": found.n_rows, **count, "candidates": found.candidates,
        "skipped_pairs": found.skipped, "bucket_cap": CAP, "largest_clusters": largest,
        "cpu_seconds": found.seconds, "in_short": in_short(count, found),
    }  # fmt: skip


def cluster_facts(signed: Signed, found: Found) -> dict[str, Any]:
    """The accounting of a search that drops nothing."""
    told = facts(signed, found)
    n = len(np.unique(found.cluster))
    short = f"{len(found.clustered):,} rows in {n:,} clusters"
    for name in (*STAGES.values(), "in_short"):
        del told[name]
    return {"clusters": n, "rows_in_clusters": len(found.clustered), **told, "in_short": short}


def in_short(count: dict[str, int], found: Found) -> str:
    """The accounting in a few words, for the summary of a run.

    Example:
        >>> from types import SimpleNamespace
        >>> in_short({"exact": 3, "near": 0, "earlier": 1}, SimpleNamespace(skipped=0))
        '3 exact, 1 earlier'
    """
    told = [f"{n:,} {name}" for name, n in count.items() if n]
    told += [f"{found.skipped:,} pairs not compared"] if found.skipped else []
    return ", ".join(told)


def largest_clusters(found: Found, n: int = LARGEST) -> list[tuple[int, int]]:
    """The best row and the number of rows of the largest clusters; of equal ones the first row."""
    names, sizes = np.unique(found.cluster, return_counts=True)
    order = np.lexsort((names, -sizes))[:n]
    return [(int(names[i]), int(sizes[i])) for i in order]


def row_name(signed: Signed, row: int) -> str | int:
    """The id of a row, or its number where rows have no ids."""
    if not signed.has("id"):
        return row
    found: str = as_texts(signed.column("id", np.array([row])))[0]
    return found


def example(signed: Signed, row: int) -> str:
    """The begin of a row's text, on one line."""
    part = int(np.searchsorted(signed.row_starts, row, side="right")) - 1
    text = " ".join(signed.head(part, row - int(signed.row_starts[part])).split())
    return text if len(text) <= EXAMPLE_CHARS else f"{text[: EXAMPLE_CHARS - 1]}…"
