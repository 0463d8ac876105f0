"""What near-dedup of files leaves: kept rows, dropped rows with their evidence, clusters."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.dedup.near import STAGES
from databuild.dedup.overlapping import read_ahead, write_behind
from databuild.engine.store import writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from databuild.dedup.batches import Batch
    from databuild.dedup.near import Found
    from databuild.engine.resources import Progress

_BATCH_ROWS = 1 << 14
_SAME_CODECS = {"SNAPPY", "ZSTD", "GZIP", "BROTLI", "LZ4"}


@dataclass(frozen=True)
class Outside:
    """Where the rows of an earlier table stand: in one file, or in those of an index's batch."""

    name: str
    rows: NDArray[np.int64] | None
    """For each of its rows the number that it had in its batch; None where it is the same."""
    files: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()

    @classmethod
    def of_batch(cls, batch: Batch) -> Outside:
        """The files that a batch of an index was made of."""
        parts = [np.zeros(0, np.int64), *(part["row"] for part in batch.signed.parts)]
        name = str(batch.signed.folder)
        files = tuple(batch.facts.get("files", (name,)))
        starts = np.cumsum([0, *batch.facts.get("file_rows", (batch.signed.n_rows,))])
        return cls(name, np.concatenate(parts), files, tuple(starts.tolist()))

    @property
    def names(self) -> tuple[str, ...]:
        """The files."""
        return (self.name,) if self.rows is None else self.files

    def places(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of the files each row is in, and its number in it, from 0."""
        if self.rows is None:
            return np.zeros(len(rows), np.int64), rows
        rows = self.rows[rows]
        file = np.searchsorted(self.starts[1:-1], rows, side="right")
        return file, rows - np.array(self.starts)[file]


@dataclass(frozen=True)
class Sources:
    """Where rows stand: in the input files, or in earlier tables."""

    files: Sequence[str]
    sizes: Sequence[int]
    outside: tuple[Outside, ...]

    @property
    def starts(self) -> NDArray[np.int64]:
        """The number of the first row of each file, and last that of all rows."""
        return np.concatenate([[0], np.cumsum(self.sizes, dtype=np.int64)])

    def places(
        self, rows: NDArray[np.int64], source: NDArray[np.int16]
    ) -> tuple[pl.Series, NDArray[np.int64]]:
        """The file of each row and its number in it, from 0."""
        names = [*self.files]
        own = source < 0
        file, number = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        file[own] = np.searchsorted(self.starts, rows[own], side="right") - 1
        number[own] = rows[own] - self.starts[file[own]]
        for which, outside in enumerate(self.outside):
            mine = source == which
            if mine.any():
                file[mine], number[mine] = outside.places(rows[mine])
                file[mine] += len(names)
            names += outside.names
        return pl.Series(names, dtype=pl.String).gather(file), number


def write_rows(
    out: Path, paths: Sequence[Path], sources: Sources, found: Found, progress: Progress,
    workers: int = 1,
) -> None:  # fmt: skip
    """Write the kept rows of each file, and the dropped ones with their evidence.

    Rows are read and written a row group or some thousands at a time, with the columns, types and
    compression of the file that they come from.
    """
    with writing(out):
        (out / "dropped").mkdir(parents=True, exist_ok=True)
        for number, (path, (start, _)) in enumerate(
            zip(paths, pairwise(sources.starts), strict=True)
        ):
            targets = (
                out / f"kept-{number:05d}.parquet",
                out / "dropped" / f"dropped-{number:05d}.parquet",
            )
            _write_file(path, int(start), targets, sources, found, progress, workers)


def _write_file(
    path: Path, start: int, targets: tuple[Path, Path], sources: Sources, found: Found,
    progress: Progress, workers: int,
) -> None:  # fmt: skip
    import pyarrow as pa
    import pyarrow.parquet as pq

    halves = [target.with_suffix(".half") for target in targets]
    with ExitStack() as stack:
        file = stack.enter_context(pq.ParquetFile(path))
        schema = file.schema_arrow
        wide = pa.schema([*schema, *_evidence_schema()], schema.metadata)
        codec = _codec(file)
        kept, dropped = (
            stack.enter_context(pq.ParquetWriter(half, shape, compression=codec))
            for half, shape in zip(halves, (schema, wide), strict=True)
        )
        write_kept, write_dropped = (stack.enter_context(write_behind(workers)) for _ in halves)
        at = start
        for rows in read_ahead(_groups(file), workers):
            lo, hi = np.searchsorted(found.dropped, [at, at + rows.num_rows])
            is_kept = np.ones(rows.num_rows, bool)
            is_kept[found.dropped[lo:hi] - at] = False
            write_kept(partial(kept.write_table, _chosen(rows, is_kept)))
            if hi > lo:
                lost = _chosen(rows, ~is_kept)
                told = _evidence(found, slice(lo, hi), sources, start)
                for field, column in zip(_evidence_schema(), told, strict=True):
                    lost = lost.append_column(field, column)
                write_dropped(partial(dropped.write_table, lost.cast(wide)))
            at += rows.num_rows
            progress.tick(rows.num_rows)
    for half, target in zip(halves, targets, strict=True):
        with half.open("rb") as handle:
            os.fsync(handle.fileno())
        half.replace(target)


def _groups(file: Any) -> Iterator[Any]:
    """The rows of a file, some thousands at a time: whole row groups, or slices of a large one."""
    import pyarrow as pa

    for group in range(file.num_row_groups):
        if file.metadata.row_group(group).num_rows <= _BATCH_ROWS:
            yield file.read_row_group(group, use_threads=False)
            continue
        for batch in file.iter_batches(_BATCH_ROWS, [group], use_threads=False):
            yield pa.Table.from_batches([batch])


def _chosen(rows: Any, which: NDArray[np.bool_]) -> Any:
    return rows.filter(_arrow(which, pl.Boolean))


def _codec(file: Any) -> str:
    head = file.metadata
    found = (
        head.row_group(0).column(0).compression if head.num_row_groups and head.num_columns else ""
    )
    return found if found in _SAME_CODECS else "ZSTD"


def _evidence_schema() -> list[Any]:
    import pyarrow as pa

    return [
        pa.field("dedup_row", pa.int64()), pa.field("dedup_kept_file", pa.string()),
        pa.field("dedup_kept_row", pa.int64()), pa.field("dedup_jaccard", pa.float64()),
        pa.field("dedup_stage", pa.string()), pa.field("dedup_cluster", pa.int64()),
    ]  # fmt: skip


def _evidence(found: Found, which: slice, sources: Sources, start: int) -> Iterator[Any]:
    rows = found.dropped[which]
    name, number = sources.places(found.kept[which], found.source[which])
    yield _arrow(rows - start, pl.Int64)
    yield _arrow(name, pl.String)
    yield _arrow(number, pl.Int64)
    yield _arrow(found.jaccard[which], pl.Float64)
    stages = pl.Series([None, *(STAGES[one] for one in sorted(STAGES))], dtype=pl.String)
    yield _arrow(stages.gather(found.stage[which].astype(np.uint32)), pl.String)
    yield _arrow(found.cluster_of(rows), pl.Int64)


def _arrow(values: Any, dtype: type[pl.DataType]) -> Any:
    """Values as an Arrow array, by way of Polars: `pyarrow.array` would import pandas."""
    found = pl.Series(values, dtype=dtype).to_arrow(compat_level=pl.CompatLevel.oldest())
    return found.cast("string") if dtype == pl.String else found


def write_clusters(path: Path, sources: Sources, found: Found) -> None:
    """Write every row of a cluster of two or more: `cluster`, `file`, `row`, `is_kept`.

    A cluster is named by the number of its best row, counted through all files from 0.
    """
    rows = found.clustered
    name, number = sources.places(rows, np.full(len(rows), -1, np.int16))
    is_kept = np.ones(found.n_rows, bool)
    is_kept[found.dropped] = False
    table = pl.DataFrame({
        "cluster": pl.Series(found.cluster, dtype=pl.Int64),
        "file": name,
        "row": pl.Series(number, dtype=pl.Int64),
        "is_kept": pl.Series(is_kept[rows], dtype=pl.Boolean),
    })  # fmt: skip
    half = path.with_suffix(".half")
    with writing(path.parent):
        table.sort("cluster", "file", "row").write_parquet(half)
        half.replace(path)
