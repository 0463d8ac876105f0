"""Embed many texts, with what is done kept on disk: a kill costs the texts of one chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import polars as pl
import xxhash

from databuild.engine.resources import Silence
from databuild.models.embedder import Embedded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from databuild.engine.resources import Progress
    from databuild.models.embedder import Embedder

CHUNK = 256
"""Texts that are embedded together and kept together."""


def embed_texts(
    texts: pl.Series,
    embedder: Embedder,
    *,
    prefix: str | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Embedded:
    """Embed n different texts; texts of similar length are embedded together.

    The texts are sorted by their length in bytes, then by themselves, and cut into chunks, so that
    a chunk follows from the set of texts alone: neither their order nor a kill changes a vector by
    a bit, although the same text may differ in the last bits in other company.

    Args:
        texts: Without nulls, all different.
        embedder: The model.
        prefix: Put before every text; None puts there what the model's folder says.
        scratch: Finished chunks lie here, if anywhere; what is damaged is made again.
        progress: Told of every chunk.

    Returns:
        The vectors in the order of `texts`: 4 * n * d bytes.
    """
    table = pl.DataFrame({"text": texts}).with_row_index("place")
    table = table.sort(pl.col("text").str.len_bytes(), "text")
    progress = progress or Silence()
    progress.total(table.height, "texts")
    vectors_ND: np.ndarray | None = None
    is_cut_N, longest = np.zeros(table.height, dtype=np.bool_), None
    for piece in table.iter_slices(CHUNK):
        found, is_old = _chunk(piece["text"].to_list(), embedder, prefix, scratch)
        if vectors_ND is None:
            vectors_ND = np.zeros((table.height, found.vectors_ND.shape[1]), dtype=np.float32)
        places = piece["place"].to_numpy()
        vectors_ND[places], is_cut_N[places], longest = found
        progress.tick(piece.height, "from the journal" if is_old else "")
    if vectors_ND is None:
        return Embedded(np.zeros((0, 1), np.float32), is_cut_N)
    return Embedded(vectors_ND, is_cut_N, longest)


def _chunk(
    texts: Sequence[str], embedder: Embedder, prefix: str | None, scratch: Path | None
) -> tuple[Embedded, bool]:
    """One chunk, and whether it lay on disk."""
    if scratch is None:
        return embedder.read(texts, prefix), False
    digest = xxhash.xxh3_128(repr(prefix).encode())
    for text in texts:
        written = text.encode()
        digest.update(len(written).to_bytes(8, "little") + written)
    path = scratch / f"vectors-{digest.hexdigest()}.npz"
    try:
        with path.open("rb") as file, np.load(file) as kept:
            longest = int(kept["longest"]) or None
            return Embedded(kept["vectors_ND"], kept["is_cut_N"], longest), True
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        pass  # not there, or cut short by a power cut
    found = embedder.read(texts, prefix)
    making = path.with_suffix(".making")
    with making.open("wb") as out:
        kept = {**found._asdict(), "longest": found.longest or 0}
        np.savez(out, **kept)
    making.rename(path)
    return found, False
