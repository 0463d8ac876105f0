"""dedup.index: the signed texts of a table, for later batches to be checked against."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.dedup.minhash import NearConfig, near_also, parameters_of, signed_table
from databuild.engine.step import step
from databuild.errors import StepError

if TYPE_CHECKING:
    from databuild.engine.parts import Parts
    from databuild.engine.resources import Progress


class IndexConfig(NearConfig):
    """Options of `dedup.index`: those of the `dedup.minhash` that is to read it."""


@step("dedup.index", kind="deliver", sees="parts", version=4, also=near_also)
def write_index(
    rows: Parts,
    config: IndexConfig,
    *,
    out: Path,
    scratch: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write an index of all rows: what `dedup.minhash` reads with its option `index`.

    A folder that can be copied anywhere: `index.json` with the parameters, and a batch of sorted
    band keys, shingle sets and row_ids; no text. A later recipe names it, so that its rows are
    checked against these without signing or sorting them again. One part of the rows is read at a
    time; neither their parts nor their order change what is written.

    Args:
        rows: n rows with `row_id` and the text column.
        config: See `IndexConfig`.
        out: Where it goes.
        scratch: Where signatures lie; what is there after a kill is used again.
        workers: How many threads.
        progress: Told of rows signed.

    Returns:
        `rows`: how many rows it has (without those whose text is null).

    Raises:
        SchemaError: A text column is not text.
        StepError: There are no rows.

    Example:
        >>> import polars as pl
        >>> from tempfile import mkdtemp
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": ["What is rain?", None]})
        >>> write_index(rows, IndexConfig(), out=Path(mkdtemp()) / "index")
        {'rows': 1}
    """
    from databuild.dedup.batches import add_batch, read_index

    if not rows.n_rows:
        raise StepError("dedup.index", "there are no rows to write", fix="look at the step before")
    if progress is not None:
        progress.total(rows.n_rows, "rows")
    asked, parameters = {"columns": list(config.column)}, parameters_of(config)
    with TemporaryDirectory(prefix="databuild-") as folder:
        signed = signed_table(rows, config, scratch or Path(folder), workers, progress)
        add_batch(out, parameters, asked, signed, np.ones(signed.n_rows, bool), {})
    (batch,) = read_index(out, parameters, asked)
    return {"rows": batch.signed.n_rows}
