"""Versions that are written without a run: tables straight into the released layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.engine.store import write_json
from databuild.release.chunks import chunks
from databuild.release.tally import Tally
from databuild.release.versions import MANIFEST, Gate, Split, Version, Versions, fingerprint, plain
from databuild.schema.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl


def release(
    store: Path,
    version: str,
    tables: Mapping[str, Mapping[str, pl.DataFrame]],
    lineage: Mapping[str, pl.DataFrame] | None = None,
    **more: Any,
) -> Version:
    """Write a version `made@...` of tables by configuration and split."""
    versions, files, tally = Versions(store, "made"), [], Tally(more.pop("strata", ()))
    configs: dict[str, dict[str, Split]] = {}
    with versions.making(version) as folder:
        for config, splits in tables.items():
            (folder / "data" / config).mkdir(parents=True)
            for split, rows in splits.items():
                columns = {name: str(dtype) for name, dtype in rows.schema.items()}
                told = Split(step=f"{config}.{split}", rows=rows.height, columns=columns)
                configs.setdefault(config, {})[split] = told
                for n, chunk in enumerate(chunks([rows])):
                    path = folder / "data" / config / f"{split}-{n:05d}.parquet"
                    write_parquet(chunk, path)
                    tally.add(config, chunk)
                    files.append(versions.keep(path, folder, chunk.height))
        for name, rows in (lineage or {}).items():
            (folder / "lineage").mkdir(exist_ok=True)
            path = folder / "lineage" / f"{name}-00000.parquet"
            write_parquet(rows, path)
            files.append(versions.keep(path, folder, rows.height))
        made = Version(
            name="made", version=version, created="2026-05-01T10:00:00+00:00", databuild="0.1.0",
            recipe="made", run="r1", fingerprint=fingerprint(files), configs=configs, files=files,
            gates=[Gate(name="leak", passed=True, told="none")],
            about={"data": tally.facts(), **more},
        )  # fmt: skip
        write_json(folder / MANIFEST, plain(made))
    versions.point(latest=version)
    return made
