"""dedup.cluster: which rows are nearly the same, as a column."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from databuild.dedup.minhash import NearConfig, near_also, search
from databuild.engine.step import Streamed, step

if TYPE_CHECKING:
    from databuild.engine.parts import Parts
    from databuild.engine.resources import Progress


class ClusterConfig(NearConfig):
    """Options of `dedup.cluster`."""


@step(
    "dedup.cluster", kind="measure", sees="parts", version=3, also=near_also, adds=("cluster_id",)
)
def cluster_rows(
    rows: Parts,
    config: ClusterConfig,
    *,
    scratch: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Streamed:
    """Name the cluster of near-duplicates that each row is in, and drop nothing.

    Two rows are in one cluster if they are near by the rule of `dedup.minhash` (with its options),
    or linked by others that are: the connected components of the verified pairs. So no pair of
    near rows is torn apart where clusters stay whole, as in `sample.split` with `together:
    cluster_id`. A row of such a chain need not be near all others of its cluster.

    Args:
        rows: n rows with `row_id` and the text column.
        config: See `ClusterConfig`.
        scratch: Where signatures and candidates lie; what is there after a kill is used again.
        workers: How many threads.
        progress: Told of rows signed, bands searched, candidates compared.

    Returns:
        n rows with `row_id` and `cluster_id`: the smallest row_id of the cluster, null for a row
        that is near no other. Facts as those of `dedup.minhash`, and `clusters`, their number.

    Raises:
        SchemaError: A text column is not text.

    Example:
        >>> import polars as pl
        >>> texts = ["How do clouds form over the sea?", "How do clouds form over the sea", "Hi!"]
        >>> rows = pl.DataFrame({"row_id": ["b", "a", "c"], "prompt": texts})
        >>> cluster_rows(rows, ClusterConfig()).table["cluster_id"].to_list()
        ['a', 'a', None]
    """
    if scratch is None:
        with TemporaryDirectory(prefix="databuild-") as folder:
            given = {"scratch": Path(folder), "workers": workers, "progress": progress}
            made = cluster_rows.run(rows, config, **given)
            return Streamed(list(made.frames), made.facts)
    from databuild.dedup.audit import cluster_facts, clusters

    signed, _, found = search(rows, config, scratch, workers, progress)
    return Streamed(clusters(signed, found), cluster_facts(signed, found))
