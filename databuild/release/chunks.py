"""Cut a table into files at places that its rows choose, so that versions share files.

A cut is made before a row whose id has a certain remainder, never less than `LEAST` rows after the
last one: the content decides, not the position. Rows that are added, removed or changed in one
place change the file that they lie in and at most the one after it; every other file is the same,
byte for byte. (Content-defined chunking: Muthitacharoen and others, LBFS, SOSP 2001, section 3.1.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EVERY = 1536
"""A cut is made before one in so many rows, on average."""
LEAST = 384
MOST = 65_536


def chunks(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield the rows of all frames, in order, cut where their `row_id` says so.

    Example:
        >>> rows = pl.DataFrame({"row_id": [f"{n:032x}" for n in range(10)]})
        >>> [chunk.height for chunk in chunks([rows[:3], rows[3:]])]
        [10]
    """
    waiting: list[pl.DataFrame] = []
    n_waiting = 0
    for frame in frames:
        start = 0
        for cut in _candidates(frame):
            if n_waiting + cut - start >= LEAST:
                yield pl.concat([*waiting, frame[start:cut]])
                waiting, n_waiting, start = [], 0, cut
        rest = frame[start:]
        while n_waiting + rest.height > MOST:  # no row chose a place: so be it
            yield pl.concat([*waiting, rest[: MOST - n_waiting]])
            waiting, n_waiting, rest = [], 0, rest[MOST - n_waiting :]
        waiting.append(rest)
        n_waiting += rest.height
    if n_waiting:
        yield pl.concat(waiting)


def _candidates(frame: pl.DataFrame) -> list[int]:
    """Where a row says that a new file may begin: its id, a hash in hexadecimal, ends so."""
    tail = pl.col("row_id").str.slice(-8).str.to_integer(base=16, dtype=pl.UInt32)
    return frame.select((tail % EVERY == 0).arg_true())["row_id"].to_list()
