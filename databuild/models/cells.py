"""An index over vectors for more of them than can all be compared: FAISS, inverted lists.

Of FAISS (Douze et al. 2024, arXiv:2401.08281) the index IVF-Flat: the space is cut into cells
around centres (k-means); a vector lies in the cell of its nearest centre, and one is compared with
those in the cells of the nearest few centres. Nothing is compressed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from databuild.errors import StepError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Places = NDArray[np.int64]

PROBED = 16
"""Cells that are looked into for each vector."""
_ROUNDS, _SAMPLE, _LEAST = 8, 64, 40


class Cells:
    """Vectors, in 2 * sqrt(n) cells.

    The centres come from a drawn sample of 64 vectors for each, with a seed of their own and by one
    thread, so that the same vectors in the same order always make the same index on one machine.
    Machines with other instruction sets may cut the cells a little differently.

    Args:
        vectors_ND: All unit vectors that there will be, in order: the centres stand for them.
        where: The step that the errors name.

    Raises:
        StepError: FAISS is not installed.
    """

    def __init__(self, vectors_ND: Vectors, *, where: str = "dedup.semantic") -> None:
        try:
            import faiss
        except ImportError as error:
            what = (
                f"{len(vectors_ND):,} texts are more than exact_up_to, and need the library faiss"
            )
            fix = "uv add 'databuild[embed]', or raise exact_up_to"
            raise StepError(where, what, fix=fix) from error
        faiss.omp_set_num_threads(1)
        n, width = vectors_ND.shape
        n_cells = max(1, min(int(2 * math.sqrt(n)), n // _LEAST))
        self._centres = faiss.IndexFlatIP(width)
        self._index = faiss.IndexIVFFlat(self._centres, width, n_cells, faiss.METRIC_INNER_PRODUCT)
        clustering = self._index.cp
        clustering.niter, clustering.max_points_per_centroid = _ROUNDS, _SAMPLE
        clustering.seed = 1
        self._index.nprobe = PROBED
        self._index.train(vectors_ND)

    def add(self, vectors_ND: Vectors) -> None:
        """Take in further vectors; they are numbered in the order in which they come."""
        if len(vectors_ND):
            self._index.add(vectors_ND)

    def near(self, vectors_ND: Vectors, n: int = 8) -> Places:
        """The numbers of the n nearest vectors in the cells that are looked into; -1 for none."""
        places_Nn: Places = self._index.search(vectors_ND, n)[1].astype(np.int64)
        return places_Nn
