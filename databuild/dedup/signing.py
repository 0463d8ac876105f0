"""Texts signed part by part and kept on disk: what near-duplicates are found with.

One part of the texts is in memory at a time. What is kept of it lies in a folder and is read
memory-mapped: a set of shingles per text (8 bytes each), the key of every band (8 bytes each), and
few bytes per row. Texts that are equal in their normal form are signed once in a part.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from databuild.dedup.banding import band_keys, keys_of
from databuild.dedup.keeping import first_equal
from databuild.dedup.numbers import as_bytes_column, as_flat_bytes, as_order
from databuild.dedup.shingles import Shingles, shingle
from databuild.dedup.signatures import datasketch_signatures
from databuild.engine.store import making_room

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from databuild.engine.checkpoints import Checkpoints
    from databuild.engine.resources import Progress

NO_TEXT = np.uint32(0xFFFFFFFF)
HEAD_CHARS = 100
_HASHES = "shingles.u64"


@dataclass(frozen=True)
class Parameters:
    """What signatures depend on: two that differ cannot be compared."""

    ngram: int
    scheme: str
    bands: int
    band_rows: int
    tokens: int = 1
    """Raised when texts are cut into tokens in another way."""

    def plain(self) -> dict[str, Any]:
        """As JSON, with the names that a user knows."""
        return {
            "ngram": self.ngram, "scheme": self.scheme, "bands": self.bands,
            "band_rows": self.band_rows, "tokens": self.tokens,
        }  # fmt: skip


class Texts(Protocol):
    """Texts in parts: `text`, and where there are such columns `id` and `prefer`."""

    @property
    def n_parts(self) -> int:
        """How many parts there are."""

    @property
    def n_rows(self) -> int:
        """How many rows there are in all."""

    def read(self, index: int) -> pl.DataFrame:
        """Read one part."""


@dataclass(frozen=True)
class Signed:
    """Signed texts in a folder.

    Rows are numbered through all parts, and so are texts: those of a part that differ in their
    normal form, in the order of the rows. Nothing of a null text is there.
    """

    folder: Path
    parts: tuple[Mapping[str, NDArray[Any]], ...]

    @cached_property
    def row_starts(self) -> NDArray[np.int64]:
        """The number of the first row of each part, and last that of all rows."""
        return _starts([len(part["text"]) for part in self.parts])

    @cached_property
    def text_starts(self) -> NDArray[np.int64]:
        """The number of the first text of each part, and last that of all texts."""
        return _starts([len(part["form"]) for part in self.parts])

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return int(self.row_starts[-1])

    @property
    def n_texts(self) -> int:
        """How many texts there are."""
        return int(self.text_starts[-1])

    def row_texts(self) -> NDArray[np.int64]:
        """The number of the text of each row, -1 for null."""
        found = [np.zeros(0, np.int64)]
        for part, start in zip(self.parts, self.text_starts, strict=False):
            local = np.asarray(part["text"])
            found.append(np.where(local == NO_TEXT, -1, local.astype(np.int64) + start))
        return np.concatenate(found)

    def forms(self) -> NDArray[np.uint64]:
        """The 128-bit hash of the normal form of each text."""
        return np.concatenate([np.zeros((0, 2), np.uint64), *(p["form"] for p in self.parts)])

    def keys(self, band: int) -> NDArray[np.uint32]:
        """The key of each text in one band."""
        return np.concatenate([np.zeros(0, np.uint32), *(p["keys"][band] for p in self.parts)])

    def column(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Values of some rows of a column that is kept per row: `id` or `head`."""
        widest = max((p[name].dtype for p in self.parts), key=lambda d: d.itemsize, default="S1")
        out: NDArray[Any] = np.zeros(len(rows), widest)
        which = np.searchsorted(self.row_starts, rows, side="right") - 1
        for index in np.unique(which):
            mine = which == index
            out[mine] = self.parts[index][name][rows[mine] - self.row_starts[index]]
        return out

    def head(self, part: int, row: int) -> str:
        """The first characters of the text of a row of a part."""
        ends = self.parts[part]["head_ends"]
        start = int(ends[row - 1]) if row else 0
        return bytes(self.parts[part]["head"][start : int(ends[row])]).decode()

    def first_rows(self, texts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first row of each of some texts."""
        first = np.zeros(self.n_texts, np.int64)
        of = self.row_texts()[::-1]
        has = of >= 0
        first[of[has]] = np.arange(len(of))[::-1][has]  # what is written last is the first row
        return first[texts]

    def has(self, column: str) -> bool:
        """Whether a column is kept per row: `id` (else rows are known by number) or `prefer`."""
        return bool(self.parts) and all(column in part for part in self.parts)

    @cached_property
    def shingles(self) -> Shingles:
        """The sets of all texts, memory-mapped."""
        sizes = np.concatenate([np.zeros(0, np.int64), *(p["sizes"] for p in self.parts)])
        offsets = _starts(sizes)
        place = self.folder / _HASHES
        total = int(offsets[-1])
        hashes: NDArray[np.uint64] = (
            np.memmap(place, np.uint64, "r", shape=(total,)) if total else np.zeros(0, np.uint64)
        )
        return Shingles(hashes, offsets, np.zeros((0, 2), np.uint64))


def sign(
    texts: Texts, parameters: Parameters, kept: Checkpoints, workers: int, progress: Progress | None
) -> Signed:
    """Sign all texts part by part; parts that were signed before a kill are not signed again.

    Args:
        texts: What to sign.
        parameters: How.
        kept: The folder that it is kept in.
        workers: How many threads.
        progress: Told of every part, in rows.
    """
    end = 0
    for index in range(texts.n_parts):
        name = f"part-{index:05d}"
        if not kept.has(name):
            made = _sign_part(texts.read(index), parameters, workers)
            hashes = made.pop("hashes")
            append_hashes(kept.folder, end, hashes)
            kept.keep(name, made)
        part = kept.read(name)
        end += int(np.sum(part["sizes"], dtype=np.int64))
        if progress is not None:
            progress.tick(len(part["text"]), "signing")
    return opened(kept.folder, texts.n_parts)


def opened(folder: Path, n_parts: int) -> Signed:
    """Signed texts that lie in a folder."""
    names = [folder / f"part-{index:05d}" for index in range(n_parts)]
    return Signed(folder, tuple(read_part(name) for name in names))


def read_part(folder: Path) -> Mapping[str, NDArray[Any]]:
    """The arrays of one part, memory-mapped."""
    return {p.stem: np.load(p, mmap_mode="r") for p in sorted(folder.glob("*.npy"))}


def _sign_part(rows: pl.DataFrame, parameters: Parameters, workers: int) -> dict[str, Any]:
    sets = shingle(rows["text"], parameters.ngram, threads=workers)
    has_text = rows["text"].is_not_null().to_numpy()
    first = first_equal(sets.form)
    is_first = has_text & (first == np.arange(rows.height))
    number = np.where(has_text, (np.cumsum(is_first) - 1)[first], NO_TEXT).astype(np.uint32)
    chosen = np.flatnonzero(is_first)
    cut = parameters.bands, parameters.band_rows
    if parameters.scheme == "datasketch":
        texts = rows["text"].gather(chosen)
        signed = datasketch_signatures(texts, parameters.ngram, threads=workers)
        keys = band_keys(signed, *cut)
    else:
        keys = keys_of(sets, *cut, of=chosen, threads=workers)
    sizes = np.diff(sets.offsets)[chosen]
    if len(chosen) < rows.height:
        sets = _some(sets, chosen, sizes)
    made: dict[str, Any] = {
        "text": number, "form": sets.form, "sizes": sizes.astype(np.int32), "keys": keys,
        "hashes": sets.hashes,
    }  # fmt: skip
    made["head"], made["head_ends"] = as_flat_bytes(rows["text"].str.head(HEAD_CHARS))
    if "id" in rows.columns:
        made["id"] = as_bytes_column(rows["id"])
    if "prefer" in rows.columns:
        made["prefer"], made["has_prefer"] = as_order(rows["prefer"])
    return made


def _some(sets: Shingles, chosen: NDArray[np.int64], sizes: NDArray[np.int64]) -> Shingles:
    """The sets of some texts."""
    offsets = _starts(sizes)
    from_start = np.repeat(sets.offsets[chosen] - offsets[:-1], sizes)
    return Shingles(
        sets.hashes[from_start + np.arange(len(from_start))], offsets, sets.form[chosen]
    )


def append_hashes(folder: Path, at: int, hashes: NDArray[np.uint64]) -> None:
    """Write shingles from place `at` on, over what a killed attempt left there."""
    place = folder / _HASHES
    with making_room(place), place.open("r+b" if place.exists() else "w+b") as handle:
        handle.truncate(8 * at)
        handle.seek(8 * at)
        handle.write(np.ascontiguousarray(hashes).data)
        handle.flush()
        os.fsync(handle.fileno())


def _starts(sizes: Any) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
