"""Read the files of a version: the one place where they are opened."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import polars as pl

from databuild.errors import StoreError
from databuild.release.encryption import ALL, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from databuild.release.versions import File, Version, Versions


def config_of(one: File) -> str:
    """The configuration whose rows a file holds; empty where it holds none.

    Example:
        >>> from databuild.release.versions import File
        >>> one = File(path="data/sft/train-00000.parquet", sha256="", bytes=1)
        >>> config_of(one), split_of(one)
        ('sft', 'train')
    """
    pieces = one.path.split("/")
    return pieces[1] if pieces[0] == "data" else ""


def split_of(one: File) -> str:
    """The split that a file is of."""
    return one.path.rpartition("/")[2].rpartition("-")[0]


def read_file(
    versions: Versions,
    version: Version,
    one: File,
    columns: Iterable[str] | None = None,
) -> pl.DataFrame:
    """The rows of one file, all columns of it or some.

    Raises:
        StoreError: It is missing or cannot be read.
    """
    names = None if columns is None else list(columns)
    path = versions.file(version, one)
    if one.seal:
        rows = read_rows(path, versions.secret, f"{version.name}@{version.version}")
        return rows if names is None else rows.select(names)
    try:
        return pl.read_parquet(path, columns=names, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        what = f"cannot read {one.path}: {str(error).splitlines()[0]}"
        fix = f"see `databuild verify {version.name}@{version.version}`"
        raise StoreError(f"{versions.where}/{version.version}", what, fix=fix) from error


def read_files(
    versions: Versions, version: Version, files: Sequence[File], columns: Sequence[str]
) -> tuple[pl.DataFrame, list[int]]:
    """Columns of several files of one split in one scan, and how many rows each of them has.

    Raises:
        StoreError: One is missing or cannot be read.
    """
    heights = [0] * len(files)
    if not any(one.seal for one in files):
        paths = [versions.file(version, one) for one in files]
        with suppress(OSError, pl.exceptions.PolarsError):  # which one it is, is found below
            rows = pl.scan_parquet(paths, glob=False, include_file_paths="_file")
            found = rows.select(*columns, "_file").collect()
            names = {str(path): n for n, path in enumerate(paths)}
            for path, n in found["_file"].value_counts().iter_rows():
                heights[names[path]] = n
            return found.drop("_file"), heights
    each = [read_file(versions, version, one, columns) for one in files]
    return pl.concat(each), [rows.height for rows in each]


def check_plain(version: Version, *, lineage: bool = False) -> None:
    """Refuse a version that needs a key, where none can be given.

    Args:
        version: The version.
        lineage: Only its lineage is read, which is encrypted only where all is.

    Raises:
        StoreError: It is encrypted.
    """
    if version.encrypted is None or (lineage and version.encrypted.columns != ALL):
        return
    named = f"{version.name}@{version.version}"
    what = f"it is encrypted ({', '.join(version.encrypted.columns)}), and this takes no key"
    if version.encrypted.columns == ALL:
        what = "it is encrypted as a whole, and this takes no key"
    fix = "write it out with `databuild export --key-env VARIABLE`, or release the run again"
    raise StoreError(named, what, fix=fix)


def read_lineage(versions: Versions, version: Version, name: str) -> Iterator[pl.DataFrame]:
    """The files of `lineage/rows` or `lineage/sources`, one after the other."""
    for one in version.files:
        if one.path.startswith(f"lineage/{name}-"):
            yield read_file(versions, version, one)
