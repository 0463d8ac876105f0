"""Erase rows from a version that was released: it stays listed, and says what is gone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import polars as pl

from databuild.engine.store import write_json
from databuild.release.erasing import has_gone
from databuild.release.finding import index_path, write_ids
from databuild.release.texts import sweep_file
from databuild.release.versions import (
    MANIFEST,
    File,
    Split,
    Tombstone,
    Version,
    Versions,
    fingerprint,
    plain,
)
from databuild.schema.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Set
    from pathlib import Path

    from databuild.release.texts import Patterns

_CARD = "README.md"
_NAMED = ("row_id", "parent_ids", "source_id")


def affected(versions: Versions, number: str, ids: pl.Series) -> dict[str, int]:
    """The Parquet files of a version that have one of some rows, and how many."""
    folder = versions.folder(number)
    found: dict[str, int] = {}
    for one in versions.read(number).files:
        path = folder / one.path
        if path.suffix == ".parquet" and path.exists():
            there = [c for c in _NAMED if c in pl.read_parquet_schema(path)]
            n = int(has_gone(pl.read_parquet(path, columns=there), ids).sum())
            found |= {one.path: n} if n else {}
    return found


def renew(
    versions: Versions,
    number: str,
    ids: pl.Series,
    paths: Set[str],
    patterns: Patterns,
    stone: Tombstone,
) -> list[str]:
    """Erase rows from a version, in its own place: its files, its checksums, its card.

    Every file is replaced in one move and the manifest last; begun again after a kill it ends the
    same. Somebody who reads the version meanwhile finds checksums that are off, and is refused.

    Args:
        versions: The data set.
        number: The version.
        ids: The rows.
        paths: The files that have, or had, some of them.
        patterns: What they said, for the files that are no tables.
        stone: What the version says from now on.

    Returns:
        What became of files that are no tables.
    """
    version, folder = versions.read(number), versions.folder(number)
    if any(one.at == stone.at for one in version.withdrawn):
        return []
    _permit(folder, 0o755)
    done: list[str] = []
    files: list[File] = []
    for one in version.files:
        path = folder / one.path
        if one.path in paths:
            files += _erased(versions, folder, one, ids)
        elif path.suffix in {".parquet", ".ids"}:
            files += [] if one.path in {index_path(p) for p in paths} else [one]
        elif path.exists():
            said = sweep_file(path, patterns)
            done += [f"{version.name}@{number}: {said}"] if said else []
            files += [_kept(versions, folder, path)] if path.exists() else []
    version.files, version.configs = files, _configs(version, files)
    version.fingerprint = fingerprint(files)
    version.withdrawn = [*version.withdrawn, stone]
    _tell(versions, folder, version, stone)
    for left in folder.rglob(".*.erased"):  # of an attempt that was killed
        left.unlink()
    write_json(folder / MANIFEST, plain(version))
    _permit(folder, 0o555)
    return done


def _erased(versions: Versions, folder: Path, one: File, ids: pl.Series) -> list[File]:
    """A file without the rows, and its index; nothing where no row is left."""
    path, index = folder / one.path, folder / index_path(one.path)
    if not path.exists():
        return []
    rows = pl.read_parquet(path)
    left = rows.filter(~has_gone(rows, ids))
    if not left.height:
        path.unlink()
        index.unlink(missing_ok=True)
        return []
    waiting = _beside(path)
    write_parquet(left, waiting)  # never into the file itself, which other versions share
    found = [_put(versions, folder, waiting, path, left.height)]
    if index.exists():
        waiting = _beside(index)
        write_ids(left, waiting)
        found.append(_put(versions, folder, waiting, index))
    return found


def _kept(versions: Versions, folder: Path, path: Path) -> File:
    """A file as it is now, among the objects."""
    waiting = _beside(path)
    waiting.unlink(missing_ok=True)
    shutil.copyfile(path, waiting)
    return _put(versions, folder, waiting, path)


def _put(
    versions: Versions, folder: Path, waiting: Path, path: Path, rows: int | None = None
) -> File:
    """Put a file that was written beside its place there, whatever happens on the way."""
    kept = versions.keep(waiting, folder, rows)
    waiting.replace(path)
    waiting.unlink(missing_ok=True)  # a move onto a link of the same file does nothing
    return kept.model_copy(update={"path": path.relative_to(folder).as_posix()})


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.erased")


def _configs(version: Version, files: list[File]) -> dict[str, dict[str, Split]]:
    """The splits that are left, with their rows."""
    found: dict[str, dict[str, Split]] = {}
    left = version.model_copy(update={"files": files})
    for config, splits in version.configs.items():
        for name, split in splits.items():
            n = sum(one.rows or 0 for one in left.of(config, name))
            if n:
                renewed = split.model_copy(update={"rows": n})
                found.setdefault(config, {})[name] = renewed
    return found


def _tell(versions: Versions, folder: Path, version: Version, stone: Tombstone) -> None:
    """Say on the card what is gone."""
    path = folder / _CARD
    if not path.exists():
        return
    told = ", ".join(f"{n:,} of {split}" for split, n in stone.rows.items()) or "none itself"
    text = path.read_text(encoding="utf-8").partition(f"\n## Withdrawn on {stone.at}")[0]
    text += f"\n## Withdrawn on {stone.at}\n\n"
    text += f"Rows that were erased: {told}. Reason: {stone.why}. The counts above are those of "
    text += f"the release; the fingerprint of what is left is `{version.fingerprint}`.\n"
    waiting = _beside(path)
    waiting.write_text(text, encoding="utf-8")
    version.files = [one for one in version.files if one.path != _CARD]
    version.files.append(_put(versions, folder, waiting, path))


def _permit(folder: Path, mode: int) -> None:
    """Let files of a version be replaced (0o755), or no more (0o555)."""
    for path in [folder, *sorted(folder.rglob("*"))]:
        if path.is_dir():
            path.chmod(mode)
        elif mode == 0o555:
            path.chmod(0o444)
