"""sample.mix: the rows of two tables as one."""

from __future__ import annotations

import polars as pl

from databuild.engine.step import Produced, step
from databuild.recipe.options import StepConfig


class MixConfig(StepConfig):
    """Options of `sample.mix`: none yet."""


@step("sample.mix", kind="produce", sees="table", version=1, carries=True)
def mix_rows(
    rows: pl.DataFrame,
    config: MixConfig,  # noqa: ARG001 -- every step takes its config
    others: pl.DataFrame | None = None,
) -> Produced:
    """Put the rows of all inputs into one table.

    A mixed row has one parent and says what its parent says; a column that its input lacks is null.

    Args:
        rows: n rows with `row_id`.
        config: See `MixConfig`.
        others: m more rows with `row_id`.

    Returns:
        n + m rows with `parent_ids`; the engine carries the parents' columns.

    Example:
        >>> rows, others = pl.DataFrame({"row_id": ["a"]}), pl.DataFrame({"row_id": ["b", "c"]})
        >>> mix_rows(rows, MixConfig(), others).rows["parent_ids"].to_list()
        [['a'], ['b'], ['c']]
    """
    ids = [table["row_id"] for table in (rows, others) if table is not None]
    return Produced(rows=pl.concat(ids).to_frame().select(parent_ids=pl.concat_list("row_id")))
