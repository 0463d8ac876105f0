"""Very many files: several are read as one split, so that the table does not fall into crumbs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.engine.step import Produced
from databuild.ingest.lines import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MANY = 64
"""Up to this many splits each is read by itself, and a preview takes rows of each file."""
_ROWS = 65_536
_ALIKE = ("shapes", "schema")


def bundle(splits: Sequence[dict[str, Any]], shard_bytes: int) -> list[dict[str, Any]]:
    """Put neighbours together, up to `shard_bytes`, where there are many splits.

    Example:
        >>> many = [{"file": str(i), "shapes": {}, "start": 0, "end": 10} for i in range(100)]
        >>> [len(split["files"]) for split in bundle(many, 600)]
        [60, 40]
    """
    if len(splits) <= MANY:
        return list(splits)
    bundles: list[dict[str, Any]] = []
    held = shard_bytes
    for split in splits:
        size = split["end"] - split["start"]
        alike = {name: split[name] for name in _ALIKE if name in split}
        if held + size > shard_bytes or not alike.items() <= bundles[-1].items():
            bundles.append({"file": split["file"], **alike, "files": []})
            held = 0
        own = {name: value for name, value in split.items() if name not in _ALIKE}
        bundles[-1]["files"].append(own)
        held += size
    return bundles


def unbundled(split: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The splits of a bundle, or the split itself."""
    alike = {name: split[name] for name in _ALIKE if name in split}
    yield from ({**alike, **own} for own in split["files"]) if "files" in split else [split]


def merged(pieces: Iterator[Produced]) -> Iterator[Produced]:
    """Put small pieces together until they are as large as one may be."""
    waiting: list[Produced] = []
    n_rows = n_bytes = 0
    for piece in pieces:
        waiting.append(piece)
        n_rows += piece.rows.height
        n_bytes += int(piece.rows.estimated_size())
        if n_rows >= _ROWS or n_bytes >= CHUNK_BYTES:
            yield _joined(waiting)
            waiting, n_rows, n_bytes = [], 0, 0
    if waiting:
        yield _joined(waiting)


def _joined(pieces: Sequence[Produced]) -> Produced:
    notes: Counter[str] = Counter()
    for piece in pieces:
        notes.update(piece.notes)
    failed = pl.concat([piece.failed for piece in pieces if piece.failed is not None])
    return Produced(pl.concat([piece.rows for piece in pieces]), failed=failed, notes=notes)
