"""One batch of an index on disk: its kept rows, their sets, and its bands as they are looked up in.

    part-00000/*.npy   text, row (and id) of each row; form and size of the set of each text
    shingles.u64       the sets, one text after the other
    bands/keys.u32     bands x texts: the keys of each band, ascending
    bands/texts.u32    bands x texts: the text of each of them

All are memory-mapped: a new batch reads the keys once, and of texts and sets only those that share
a key with one of its own. To sort the keys anew for every batch costs more than the whole search.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from databuild.dedup.candidates import sorted_band
from databuild.dedup.comparing import forget
from databuild.dedup.signing import HASHES
from databuild.dedup.tokenizing import offsets_of
from databuild.engine.checkpoints import Checkpoints
from databuild.engine.store import making_room

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from databuild.dedup.signing import Signed

    Ints = NDArray[np.int64]

_BANDS = "bands"
_CHUNK = 16_384
"""Texts whose sets are in memory at once."""


class Band(NamedTuple):
    """The N texts of one band in the order of their keys, and of equal keys in their own."""

    keys: NDArray[np.uint32]
    """Ascending."""
    texts: NDArray[np.uint32]
    """The text of each key."""

    @classmethod
    def of(cls, keys: NDArray[np.uint32]) -> Band:
        """Sort the keys of texts that are numbered in order.

        Example:
            >>> band = Band.of(np.array([7, 3, 7], np.uint32))
            >>> band.keys.tolist(), band.texts.tolist()
            ([3, 7, 7], [1, 0, 2])
        """
        packed = sorted_band(keys)
        return cls((packed >> np.uint64(32)).astype(np.uint32), packed.astype(np.uint32))


class Bands:
    """The bands of earlier texts: of a batch of an index as they lie there, else sorted now."""

    def __init__(self, signed: Signed) -> None:
        self._signed = signed
        self._stored: list[NDArray[np.uint32]] = []
        place, n = signed.folder / _BANDS, signed.n_texts
        self._are_stored = place.is_dir()
        if self._are_stored and n:  # an empty file cannot be mapped
            files = [place / "keys.u32", place / "texts.u32"]
            self._stored = [np.memmap(one, np.uint32, "r").reshape(-1, n) for one in files]

    def band(self, number: int) -> Band:
        """One of them."""
        if not self._are_stored:
            return Band.of(self._signed.keys(number))
        if not self._stored:
            return Band.of(np.zeros(0, np.uint32))
        keys, texts = (np.asarray(one[number]) for one in self._stored)
        return Band(keys, texts)


def write_batch(folder: Path, signed: Signed, keep: NDArray[np.bool_], bands: int) -> int:
    """Write the kept rows of a batch, in the order of their ids, of files in that of the rows.

    So what is written does not depend on the parts that the rows came in. In memory are some bytes
    per row, the sets of some thousand texts, and one band.

    Args:
        folder: Where; what is there is written over.
        signed: All rows of the batch.
        keep: Which of them are kept; rows without text are left out.
        bands: How many bands the texts were signed in.

    Returns:
        How many rows there are.
    """
    text = signed.row_texts()
    rows = np.flatnonzero(keep & (text >= 0))
    of_rows: dict[str, Any] = {"row": rows}
    if signed.has("id"):
        ids = signed.column("id", rows)
        order = np.argsort(ids, kind="stable")
        # Their numbers in the table would say in which order it came.
        rows, of_rows = rows[order], {"id": ids[order], "row": np.arange(len(rows))}
    texts, number = _met_first(text[rows], signed.n_texts)
    sizes = np.diff(signed.shingles.offsets)[texts]
    kept = Checkpoints(folder, {"texts": len(texts)})
    of_rows["text"] = number.astype(np.uint32)
    of_texts = {"form": signed.forms()[texts], "sizes": sizes.astype(np.int32)}
    kept.keep("part-00000", of_rows | of_texts)
    _write_sets(folder / HASHES, signed, texts, sizes)
    place = folder / _BANDS
    with making_room(folder):
        place.mkdir(exist_ok=True)
    with _writing(place / "keys.u32") as keys, _writing(place / "texts.u32") as of_keys:
        for number_of_band in range(bands):
            band = Band.of(signed.keys(number_of_band)[texts])
            keys.write(band.keys.data)
            of_keys.write(band.texts.data)
    return len(rows)


def _met_first(text: Ints, n_texts: int) -> tuple[Ints, Ints]:
    """The texts in the order in which rows have them, and the place of each row's text in it."""
    first = np.full(n_texts, -1, np.int64)
    first[text[::-1]] = np.arange(len(text))[::-1]  # what is written last is the first row
    is_first = first[text] == np.arange(len(text))
    place = np.cumsum(is_first) - 1
    return text[is_first], place[first[text]]


def _write_sets(place: Path, signed: Signed, texts: Ints, sizes: Ints) -> None:
    hashes, starts = signed.shingles.hashes, signed.shingles.offsets[texts]
    with _writing(place) as handle:
        for at in range(0, len(texts), _CHUNK):
            here = slice(at, at + _CHUNK)
            edges = offsets_of(sizes[here])
            from_start = np.repeat(starts[here] - edges[:-1], sizes[here])
            handle.write(hashes[from_start + np.arange(edges[-1])].data)
            forget(hashes)  # what was read would count as memory until the end


@contextmanager
def _writing(place: Path) -> Iterator[BinaryIO]:
    """A file that is on the disk at the end."""
    with making_room(place.parent), place.open("wb") as handle:
        yield handle
        handle.flush()
        os.fsync(handle.fileno())
