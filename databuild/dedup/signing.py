"""Texts signed part by part and kept on disk: what near-duplicates are found with.

One part of the texts is in memory at a time. What is kept of it lies in a folder and is read
memory-mapped: a set of shingles per text (8 bytes each), the key of every band (4 bytes each), and
few bytes per row. Texts that are equal in their normal form are one text, signed once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from databuild.dedup.banding import band_keys, keys_of
from databuild.dedup.comparing import forget
from databuild.dedup.forms import NO_TEXT, Forms
from databuild.dedup.numbers import as_bytes_column, as_flat_bytes, as_order
from databuild.dedup.overlapping import read_ahead, write_behind
from databuild.dedup.shingles import Shingles, shingle, shingle_slice
from databuild.dedup.signatures import datasketch_signatures
from databuild.dedup.tokenizing import as_bytes, chosen, in_slices, offsets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from databuild.dedup.tokenizing import Texts as Column
    from databuild.engine.checkpoints import Checkpoints
    from databuild.engine.resources import Progress

HEAD_CHARS = 100
HASHES = "shingles.u64"
_SLICE_BYTES = 1 << 18
"""Texts that are shingled and signed at once: their shingles stay in the processor's cache."""


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

    Rows are numbered through all parts, and so are texts: those that differ in their normal form. A
    text is kept with the part in which it is met first. Nothing of a null text is there.
    """

    folder: Path
    parts: tuple[Mapping[str, NDArray[Any]], ...]
    held: NDArray[np.uint64] | None = field(default=None, repr=False)
    """The shingles of a table so small that they are not in the folder."""

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
        found = np.concatenate([np.zeros(0, np.uint32), *(p["text"] for p in self.parts)])
        return np.where(found == NO_TEXT, -1, found.astype(np.int64))

    def forms(self) -> NDArray[np.uint64]:
        """The 128-bit hash of the normal form of each text."""
        return np.concatenate([np.zeros((0, 2), np.uint64), *(p["form"] for p in self.parts)])

    def keys(self, band: int) -> NDArray[np.uint32]:
        """The key of each text in one band."""
        keys = [np.zeros(0, np.uint32), *(p["keys"][band] for p in self.parts)]
        found: NDArray[np.uint32] = np.concatenate(keys)
        for part in self.parts:
            forget(part["keys"])
        return found

    def forget(self) -> None:
        """Let the system take back what was read of the files: it counts as memory until then."""
        forget(self.shingles.hashes)
        for part in self.parts:
            for array in part.values():
                forget(array)

    def column(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Values of some rows of a column that is kept per row: `id` or `head`."""
        widest = max((p[name].dtype for p in self.parts), key=lambda d: d.itemsize, default="S1")
        out: NDArray[Any] = np.zeros(len(rows), widest)
        in_order = None if (rows[1:] >= rows[:-1]).all() else np.argsort(rows, kind="stable")
        rows = rows if in_order is None else rows[in_order]
        edges = np.searchsorted(rows, self.row_starts)
        for index in np.flatnonzero(np.diff(edges)).tolist():
            here = slice(edges[index], edges[index + 1])
            values = self.parts[index][name][rows[here] - self.row_starts[index]]
            out[here if in_order is None else in_order[here]] = values
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
        if self.held is not None:
            return Shingles(self.held, offsets, np.zeros((0, 2), np.uint64))
        place = self.folder / HASHES
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
    met, end = Forms(), 0
    names = [f"part-{index:05d}" for index in range(texts.n_parts)]
    unsigned = [index for index, name in enumerate(names) if not kept.has(name)]
    for name in names[: texts.n_parts - len(unsigned)]:
        part = kept.read(name)
        met.number(np.asarray(part["form"]))
        end += int(np.sum(part["sizes"], dtype=np.int64))
        _tell(progress, part)
    # A part is kept on a thread of its own while the next one is signed.
    with kept.appending(HASHES, 8 * end) as sets, write_behind(workers) as afterwards:

        def keep(name: str, part: Mapping[str, NDArray[Any]]) -> None:
            sets.sync()
            kept.keep(name, part)
            _tell(progress, part)

        read = read_ahead((texts.read(index) for index in unsigned), workers)
        for index, rows in zip(unsigned, read, strict=True):
            part = _sign_part(rows, parameters, workers, met, sets.write)
            sets.flush()
            afterwards(partial(keep, names[index], part))
    made = tuple(kept.read(name) for name in names)
    held = None if kept.is_durable else np.frombuffer(kept.appended(HASHES), np.uint64)
    return Signed(kept.folder, made, held)


def _tell(progress: Progress | None, part: Mapping[str, NDArray[Any]]) -> None:
    if progress is not None:
        progress.tick(len(part["text"]), "signing")


def opened(folder: Path, n_parts: int) -> Signed:
    """Signed texts that lie in a folder."""
    names = [folder / f"part-{index:05d}" for index in range(n_parts)]
    return Signed(folder, tuple(read_part(name) for name in names))


def read_part(folder: Path) -> Mapping[str, NDArray[Any]]:
    """The arrays of one part, memory-mapped."""
    return {p.stem: np.load(p, mmap_mode="r") for p in sorted(folder.glob("*.npy"))}


class _Sets(NamedTuple):
    """The sets of some texts that are not known, and their band keys, one column for each set."""

    hashes: NDArray[np.uint64]
    counts: NDArray[np.int64]
    form: NDArray[np.uint64]
    keys: NDArray[np.uint32]
    left: NDArray[np.int64]
    """The texts that the loops leave to Polars."""


@dataclass
class _Part:
    """What is made of a part, slice by slice, in the order of the slices."""

    met: Forms
    write: Callable[[NDArray[np.uint64]], None]
    text: NDArray[np.uint32]
    fresh: list[NDArray[np.int64]] = field(default_factory=list)
    """The rows whose text is new."""
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    form: list[NDArray[np.uint64]] = field(default_factory=list)
    keys: list[NDArray[np.uint32]] = field(default_factory=list)

    def take(self, rows: NDArray[np.int64], sets: _Sets) -> None:
        """Number the texts of some rows, and keep what was not there before."""
        from databuild.dedup.kernels.numbering import close_up

        self.text[rows], is_new = self.met.number(sets.form)
        new = np.flatnonzero(is_new)
        hashes, keys, has_set = sets.hashes, sets.keys, sets.counts > 0
        if len(new) < np.count_nonzero(has_set):  # some are equal within the slice
            hashes = hashes[: close_up(hashes, sets.counts, is_new)]
            keys = keys[:, is_new[has_set] != 0]
        self.write(hashes)
        self.fresh.append(rows[new])
        self.sizes.append(sets.counts[new])
        self.form.append(sets.form[new])
        self.keys.append(keys)


def _sign_part(
    rows: pl.DataFrame, parameters: Parameters, workers: int, met: Forms,
    write: Callable[[NDArray[np.uint64]], None],
) -> dict[str, Any]:  # fmt: skip
    texts = rows["text"].rechunk()
    part = _Part(met, write, np.full(rows.height, NO_TEXT, np.uint32))

    def work(some: Column) -> _Sets:
        sets = _sets(some, parameters, met)
        # The next slice of the same thread is written to the same place.
        return sets if workers == 1 else sets._replace(hashes=sets.hashes.copy())

    at, left = 0, [np.zeros(0, np.int64)]
    for sets in in_slices(work, texts, workers, _SLICE_BYTES):
        part.take(np.arange(at, at + len(sets.counts)), sets)
        left.append(sets.left + at)
        at += len(sets.counts)
    slow = np.concatenate(left)
    if len(slow):
        part.take(slow, _slow_sets(chosen(texts, slow), parameters))
    keys = [np.zeros((parameters.bands, 0), np.uint32), *part.keys]
    if parameters.scheme == "datasketch":
        fresh = texts.gather(np.concatenate([np.zeros(0, np.int64), *part.fresh]))
        signed = datasketch_signatures(fresh, parameters.ngram, threads=workers)
        keys = [band_keys(signed, parameters.bands, parameters.band_rows)]
    made: dict[str, Any] = {
        "text": part.text,
        "form": np.concatenate([np.zeros((0, 2), np.uint64), *part.form]),
        "sizes": np.concatenate([np.zeros(0, np.int64), *part.sizes]).astype(np.int32),
        "keys": np.concatenate(keys, axis=1),
    }
    made["head"], made["head_ends"] = as_flat_bytes(texts.str.head(HEAD_CHARS))
    if "id" in rows.columns:
        made["id"] = as_bytes_column(rows["id"])
    if "prefer" in rows.columns:
        made["prefer"], made["has_prefer"] = as_order(rows["prefer"])
    return made


def _sets(texts: Column, parameters: Parameters, met: Forms) -> _Sets:
    from databuild.dedup.kernels.folding import IS_BARE, IS_SLOW

    made = shingle_slice(as_bytes(texts), parameters.ngram, known=met.table)
    hashes, counts, form, state = made
    left = np.flatnonzero((state == IS_SLOW) | (state == IS_BARE))
    return _Sets(hashes, counts, form, _keys(hashes, counts, form, parameters), left)


def _slow_sets(texts: pl.Series, parameters: Parameters) -> _Sets:
    sets = shingle(texts, parameters.ngram, threads=1)
    counts = np.diff(sets.offsets)
    keys = _keys(sets.hashes, counts, sets.form, parameters)
    hashes = np.array(sets.hashes)  # a copy that can be written to
    return _Sets(hashes, counts, sets.form, keys, np.zeros(0, np.int64))


def _keys(hashes: Any, counts: Any, form: Any, parameters: Parameters) -> NDArray[np.uint32]:
    some = np.flatnonzero(counts)
    if parameters.scheme == "datasketch":
        return np.zeros((parameters.bands, len(some)), np.uint32)
    sets = Shingles(hashes, offsets_of(counts), form)
    return keys_of(sets, parameters.bands, parameters.band_rows, of=some, threads=1)


def _starts(sizes: Any) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
