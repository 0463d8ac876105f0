"""Where a row lies in a version of millions: 4 bytes for each id, in files beside the lineage.

`lineage/ids/<place>/<file>.ids` belongs to the Parquet file `<place>/<file>.parquet` of the same
version: three numbers of 32 bits (little-endian: a mark, how many ids, how many parents), then for
each row the first 32 bits of its id, in the order of the rows, then those of its parents. They
follow from the rows of their file alone, so versions that share a file share these. Searching ten
million rows reads 40 MB; a false match of 32 bits costs one look into a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_MARK = 0x31644964  # "dId1"
_DIGITS = 8
FOLDER = "lineage/ids"


def write_ids(rows: pl.DataFrame, path: Path) -> None:
    """Write the index of a file's rows: their ids and, where there are, their parents'."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = _heads(rows["row_id"])
    is_lineage = "step" in rows.columns and "parent_ids" in rows.columns
    parents = rows["parent_ids"].explode().drop_nulls() if is_lineage else rows["row_id"].clear()
    above = _heads(parents.unique(maintain_order=True))
    head = np.array([_MARK, len(ids), len(above)], dtype="<u4")
    path.write_bytes(head.tobytes() + ids.tobytes() + above.tobytes())


def index_path(path: str) -> str:
    """The index of a Parquet file of a version.

    Example:
        >>> index_path("data/sft/train-00000.parquet")
        'lineage/ids/data/sft/train-00000.ids'
    """
    return f"{FOLDER}/{path.removesuffix('.parquet')}.ids"


@dataclass(frozen=True)
class Index:
    """The indexes of files of a version, one after another."""

    files: tuple[str, ...]
    ids: NDArray[np.uint32]
    id_ends: NDArray[np.int64]
    parents: NDArray[np.uint32]
    parent_ends: NDArray[np.int64]

    @classmethod
    def of(cls, folder: Path, files: Sequence[str]) -> Index:
        """Read the indexes of Parquet files; what an older databuild wrote has none, and is read.

        Args:
            folder: The version's.
            files: Paths within it.
        """
        ids, parents = [], []
        for path in files:
            one, above = _read(folder, path)
            ids.append(one)
            parents.append(above)
        nothing = np.zeros(0, dtype="<u4")
        return cls(
            tuple(files),
            np.concatenate([nothing, *ids]), np.cumsum([len(one) for one in ids], dtype=np.int64),
            np.concatenate([nothing, *parents]),
            np.cumsum([len(one) for one in parents], dtype=np.int64),
        )  # fmt: skip

    def with_id(self, prefix: str) -> list[str]:
        """The files that may have an id which begins so."""
        return self._files(_hits(self.ids, [prefix]), self.id_ends)

    def with_ids(self, ids: Iterable[str]) -> list[str]:
        """The files that may have one of some ids."""
        return self._files(_hits(self.ids, ids), self.id_ends)

    def with_parents(self, ids: Iterable[str]) -> list[str]:
        """The files that may have a child of one of some rows."""
        return self._files(_hits(self.parents, ids), self.parent_ends)

    def nearest(self, prefix: str) -> list[str]:
        """The files with the ids just before and after what was meant."""
        if not len(self.ids):
            return []
        meant = np.int64(_range(prefix)[0])
        distance = np.abs(self.ids.astype(np.int64) - meant)
        few = np.argpartition(distance, min(2, len(distance) - 1))[:3]
        return self._files(few, self.id_ends)

    def _files(self, at: NDArray[np.int64], ends: NDArray[np.int64]) -> list[str]:
        return [self.files[i] for i in np.unique(np.searchsorted(ends, at, side="right"))]


def rows_with(
    folder: Path, files: Iterable[str], which: pl.Expr, columns: Iterable[str] | None = None
) -> pl.DataFrame:
    """The rows of some files that an expression is true of, with `columns` (all when None)."""
    paths = [folder / path for path in files]
    if not paths:
        return pl.DataFrame(schema={"row_id": pl.String})
    scan = pl.scan_parquet(paths, missing_columns="insert", extra_columns="ignore")
    found = scan.filter(which)
    return (found if columns is None else found.select(list(columns))).collect()


def _read(folder: Path, path: str) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    place = folder / index_path(path)
    held = place.read_bytes() if place.exists() else b""
    numbers = np.frombuffer(held[: len(held) // 4 * 4], dtype="<u4")
    if len(numbers) >= 3 and numbers[0] == _MARK and len(numbers) == 3 + numbers[1] + numbers[2]:
        n = int(numbers[1])
        return numbers[3 : 3 + n], numbers[3 + n :]
    is_lineage = path.startswith("lineage/")
    rows = pl.read_parquet(
        folder / path, columns=["row_id", *(["parent_ids"] if is_lineage else [])]
    )
    parents = rows["parent_ids"].explode().drop_nulls() if is_lineage else rows["row_id"].clear()
    return _heads(rows["row_id"]), _heads(parents.unique())


def _heads(ids: pl.Series) -> NDArray[np.uint32]:
    head = ids.str.slice(0, _DIGITS).str.to_integer(base=16, dtype=pl.UInt32, strict=False)
    return head.fill_null(0).to_numpy().astype("<u4")


def _range(prefix: str) -> tuple[int, int]:
    """The first and last number that ids which begin so can have."""
    digits = "".join(c for c in prefix[:_DIGITS].lower() if c in "0123456789abcdef")
    return int(digits.ljust(_DIGITS, "0") or "0", 16), int(digits.ljust(_DIGITS, "f"), 16)


def _hits(heads: NDArray[np.uint32], prefixes: Iterable[str]) -> NDArray[np.int64]:
    found = [np.zeros(0, dtype=np.int64)]
    exact: list[int] = []
    for prefix in prefixes:
        low, high = _range(prefix)
        if low == high:
            exact.append(low)
        else:
            found.append(np.flatnonzero((heads >= low) & (heads <= high)))
    if len(exact) <= 4:
        found += [np.flatnonzero(heads == one) for one in exact]
    else:
        found.append(np.flatnonzero(np.isin(heads, np.array(exact, dtype=np.uint32))))
    return np.unique(np.concatenate(found))
