"""Read the files of a version: the one place where they are opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from databuild.errors import StoreError
from databuild.release.encryption import ALL, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
        return pl.read_parquet(path, columns=names)
    except (OSError, pl.exceptions.PolarsError) as error:
        what = f"cannot read {one.path}: {str(error).splitlines()[0]}"
        fix = f"see `databuild verify {version.name}@{version.version}`"
        raise StoreError(f"{versions.where}/{version.version}", what, fix=fix) from error


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
