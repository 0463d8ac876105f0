"""Versions made of tables alone, for tests and benchmarks that need no run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from databuild.engine.store import write_json
from databuild.release.finding import index_path, write_ids
from databuild.release.versions import MANIFEST, Split, Version, Versions, fingerprint, plain
from databuild.schema.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from databuild.release.versions import File


def released(
    versions: Versions,
    number: str,
    splits: Mapping[str, Iterable[pl.DataFrame]],
    lineage: Iterable[pl.DataFrame] = (),
) -> Version:
    """Release splits of one configuration, `sft`, each frame as a file, and their lineage."""
    files: list[File] = []
    told: dict[str, Split] = {}
    with versions.making(number) as place:

        def write(rows: pl.DataFrame, path: str) -> None:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            write_parquet(rows, place / path)
            files.append(versions.keep(place / path, place, rows.height))
            write_ids(rows, place / index_path(path))
            files.append(versions.keep(place / index_path(path), place))

        for split, frames in splits.items():
            n, columns = 0, dict[str, str]()
            for i, rows in enumerate(frames):
                write(rows, f"data/sft/{split}-{i:05d}.parquet")
                n += rows.height
                columns = {c: str(t) for c, t in rows.schema.items()}
            told[split] = Split(step=split, rows=n, columns=columns)
        for i, rows in enumerate(lineage):
            write(rows, f"lineage/rows-{i:05d}.parquet")
        made = Version(
            name=versions.name, version=number, created="2026-03-01T09:30:00+00:00", databuild="0",
            recipe="r", run="r", fingerprint=fingerprint(files), configs={"sft": told}, files=files,
        )  # fmt: skip
        write_json(place / MANIFEST, plain(made))
    return made
