"""`databuild why` and `uses` on a store of many rows: `python -m tests.bench.lineage [--rows N]`.

Two versions of N/2 released rows each, every row made of one answer of one record of a source file;
texts of about 70 characters. Told are CPU seconds (with those of all threads): of the first look-up
of a process, of the next ones, of an unknown id, and of `uses` of a source file.
Wall time stands beside, where somebody waits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from databuild.errors import SchemaError
from databuild.release.ancestry import COLUMNS
from databuild.release.tracing import trace
from databuild.release.uses import Meant, uses
from databuild.release.versions import Versions
from tests.release.small import released

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
FILE_ROWS = 8_192
WORDS = np.array(
    [
        "the",
        "model",
        "answers",
        "a",
        "question",
        "about",
        "weather",
        "money",
        "travel",
        "law",
        "music",
        "code",
    ]
)


def ids_of(kind: str, start: int, n: int) -> pl.Series:
    """n ids that look like hashes and follow from their numbers."""
    rng = np.random.default_rng([start, *kind.encode()])
    return pl.Series([one.hex() for one in _cut(rng.bytes(16 * n))])


def _cut(data: bytes) -> list[bytes]:
    return [data[i : i + 16] for i in range(0, len(data), 16)]


def data(start: int, n: int) -> Iterator[pl.DataFrame]:
    """Files of released rows."""
    for at in range(start, start + n, FILE_ROWS):
        rows = min(FILE_ROWS, start + n - at)
        rng = np.random.default_rng(at)
        words = rng.choice(WORDS, (rows, 12))
        yield pl.DataFrame({
            "row_id": ids_of("row", at, rows), "content_id": ids_of("content", at, rows),
            "parent_ids": ids_of("source", at, rows).reshape((-1, 1)).cast(pl.List(pl.String)),
            "response": [" ".join(row) for row in words.tolist()],
        })  # fmt: skip


def lines(start: int, n: int) -> Iterator[pl.DataFrame]:
    """Files of lineage: the rows, then the records that they were made of."""
    for kind in ("row", "source"):
        for at in range(start, start + n, FILE_ROWS):
            rows = min(FILE_ROWS, start + n - at)
            sources = ids_of("source", at, rows).reshape((-1, 1)).cast(pl.List(pl.String))
            is_row = kind == "row"
            made = pl.DataFrame({"row_id": ids_of(kind, at, rows)}).with_columns(
                parent_ids=sources if is_row else pl.lit([], dtype=pl.List(pl.String)),
                step=pl.lit("answers" if is_row else "raw"),
                use=pl.lit("generate.respond" if is_row else "ingest.files"),
                source_file=pl.lit(None if is_row else f"part-{at // (1 << 20)}.jsonl"),
                source_record=pl.lit(None) if is_row else pl.int_range(at, at + rows),
                model=pl.lit("m@1" if is_row else None),
                sample_seed=pl.int_range(at, at + rows),
            )
            yield made.select(
                (pl.col(c) if c in made.columns else pl.lit(None)).cast(t).alias(c)
                for c, t in COLUMNS.items()
            )


def measured(what: Callable[[], Any]) -> dict[str, float]:
    """CPU and wall seconds of one call."""
    cpu, wall = time.process_time(), time.monotonic()
    what()
    return {"cpu_s": round(time.process_time() - cpu, 3),
            "wall_s": round(time.monotonic() - wall, 3)}  # fmt: skip


def missing(store: Path) -> None:
    """Look for an id that is not there."""
    try:
        trace(store, "0" * 32)
    except SchemaError:
        return
    raise AssertionError


def main() -> None:
    """Make the store, look rows up, write the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--work", type=Path, default=None)
    asked = parser.parse_args()
    folder = asked.work or Path(tempfile.mkdtemp(prefix="lineage-"))
    store, half = folder / "store", asked.rows // 2
    versions = Versions(store, "big")
    for number, start in (("1.0.0", 0), ("1.1.0", half)):
        if number not in versions.known():
            released(versions, number, {"train": data(start, half)}, lines(start, half))
    row = ids_of("row", 0, min(FILE_ROWS, half))[-1]
    source = ids_of("source", half, min(FILE_ROWS, half))[0]
    found: dict[str, Any] = {
        "rows": asked.rows,
        "why_first": measured(lambda: trace(store, row)),
        "why_next": min((measured(lambda: trace(store, row)) for _ in range(3)),
                        key=lambda one: one["cpu_s"]),
        "why_of_a_source_record": measured(lambda: trace(store, source)),
        "why_of_ten_digits": measured(lambda: trace(store, row[:10])),
        "why_of_an_unknown_id": measured(lambda: missing(store)),
        "uses_of_a_source_file": measured(
            lambda: uses(store, folder / "none", [Meant("source", "part-0.jsonl")])
        ),
        "index_bytes": sum(p.stat().st_size for p in store.glob("big/1.*/lineage/ids/**/*.ids")),
        "bytes": sum(p.stat().st_size for p in store.glob("big/objects/*")),
    }  # fmt: skip
    found |= {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("polars", "numpy", "pyarrow")},
    }
    (HERE / "lineage.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if asked.work is None:
        for path in folder.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
