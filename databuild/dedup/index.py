"""dedup.index: the signed texts of a table, for later batches to be checked against."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from databuild.dedup.minhash import NearConfig, near_also, parameters_of, signed_table
from databuild.engine.parts import Parts
from databuild.engine.step import step
from databuild.errors import StepError

if TYPE_CHECKING:
    import polars as pl


class IndexConfig(NearConfig):
    """Options of `dedup.index`: those of the `dedup.minhash` that is to read it."""


@step("dedup.index", kind="deliver", sees="table", version=2, also=near_also)
def write_index(rows: pl.DataFrame, config: IndexConfig, *, out: Path) -> dict[str, Any]:
    """Write an index of all rows: what `dedup.minhash` reads with its option `index`.

    A folder that can be copied anywhere: `index.json` with the parameters, and per batch NumPy
    arrays of band keys, shingle sets and row_ids; no text. A later recipe names it, so that its
    rows are checked against these without signing them again.

    Args:
        rows: n rows with `row_id` and the text column.
        config: See `IndexConfig`.
        out: Where it goes.

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

    if rows.is_empty():
        raise StepError("dedup.index", "there are no rows to write", fix="look at the step before")
    with TemporaryDirectory(prefix="databuild-") as folder:
        signed = signed_table(Parts.of(rows.sort("row_id")), config, Path(folder), 1, None)
        asked = {"columns": list(config.column)}
        parameters = parameters_of(config)
        add_batch(out, parameters, asked, signed, np.ones(signed.n_rows, bool), {})
    (batch,) = read_index(out, parameters, asked)
    return {"rows": batch.signed.n_rows}
