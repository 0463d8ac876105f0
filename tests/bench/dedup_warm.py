"""dedup.minhash in one process, from a Parquet file to verdicts in a Parquet file, several times.

    python tests/bench/dedup_warm.py ROWS.parquet OUT.parquet [TIMES] [OPTION=VALUE ...]

Prints one line of JSON a time: CPU seconds of all threads, those of each phase that the step tells,
and the peak of resident memory so far. The first run loads compiled code, the others are warm.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq


class Rows:
    """`engine.parts.Readable` over a Parquet file with ids, as the engine's: a part a row group."""

    columns = ("row_id", "text", "quality")

    def __init__(self, path: Path) -> None:
        self.file = pq.ParquetFile(path)
        self.n_parts = self.file.num_row_groups
        self.rows = self.file.metadata.num_rows
        self.layout = str(path)

    def part(self, index: int, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
        """Read one part."""
        names = list(dict.fromkeys(columns or self.columns))
        return pl.DataFrame(self.file.read_row_group(index, columns=names, use_threads=False))


def with_ids(path: Path) -> Path:
    """A copy of the file that has `row_id` as text in place of the number `id`, made once."""
    copy = path.with_suffix(".ids.parquet")
    if not copy.exists():
        half = copy.with_suffix(".half")
        rows = pl.read_parquet(path)
        ids = pl.format("r{}", pl.col("id").cast(pl.String).str.zfill(8)).alias("row_id")
        size = pq.ParquetFile(path).metadata.row_group(0).num_rows
        rows.select(ids, pl.exclude("id")).write_parquet(half, row_group_size=size)
        half.replace(copy)
    return copy


def main(path: Path, out: Path, times: int, options: dict[str, Any], workers: int) -> None:
    from databuild.dedup.minhash import MinhashConfig, drop_near_duplicates
    from databuild.engine.parts import Parts

    path = with_ids(path)
    for _ in range(times):
        started = time.process_time()
        config = MinhashConfig(**{"column": "text", "prefer": "quality", **options})
        found = drop_near_duplicates.run(Parts(Rows(path)), config, workers=workers)
        verdicts = pl.concat(list(found.frames))
        verdicts.write_parquet(out)
        told = {
            "cpu_s": round(time.process_time() - started, 2),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "kept": verdicts.filter(part="kept").height,
            "facts": {
                name: found.facts[name] for name in ("candidates", "skipped_pairs", "cpu_seconds")
            },
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    given = dict(pair.split("=") for pair in sys.argv[4:])
    workers = int(given.pop("workers", "1"))
    main(Path(sys.argv[1]), Path(sys.argv[2]), int((*sys.argv[3:], "2")[0]), given, workers)
