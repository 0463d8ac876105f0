"""measure.frequency: how often a text stands in the table."""

from __future__ import annotations

import polars as pl

from databuild.engine.step import Reported, step
from databuild.recipe.options import Column, StepConfig
from databuild.text.normal import compared

_TOLD, _CHARS = 10, 80


class FrequencyConfig(StepConfig):
    """Options of `measure.frequency`."""

    column: Column = "prompt"
    """The column whose values are counted; the new column begins with its name."""


@step(
    "measure.frequency",
    kind="measure",
    sees="table",
    version=1,
    adds=lambda config: (f"{config.column}_frequency",),
)
def measure_frequency(rows: pl.DataFrame, config: FrequencyConfig) -> Reported:
    """Count, for every row, the rows whose value is the same in its normal form, itself included.

    Texts are the same after NFKC, lower-casing and collapsing white space (`text.normal`). A null
    is counted with nothing: its frequency is null.

    Args:
        rows: n rows with `row_id` and `config.column`.
        config: See `FrequencyConfig`.

    Returns:
        n rows with `row_id` and `<column>_frequency: i64`, 1 or more. Facts: `different` values,
        `repeated` (how many of them occur more than once), and `most_frequent`, the ten that occur
        most (`{"value", "rows"}`, normal forms of at most 80 characters).

    Example:
        >>> rows = pl.DataFrame({"row_id": list("abcd"), "prompt": ["Hi", " hi", "Bye", None]})
        >>> measure_frequency(rows, FrequencyConfig()).table["prompt_frequency"].to_list()
        [2, 2, 1, None]
    """
    forms = rows.select("row_id", form=compared(rows, config.column))
    counts = forms.drop_nulls("form").group_by("form").len()
    counts = counts.sort("len", "form", descending=[True, False])
    found = forms.join(counts, on="form", how="left", maintain_order="left").select(
        "row_id", pl.col("len").cast(pl.Int64).alias(f"{config.column}_frequency")
    )
    repeated = counts.filter(pl.col("len") > 1)
    most = repeated.head(_TOLD).select(value=pl.col("form").str.slice(0, _CHARS), rows="len")
    facts = {
        "different": counts.height,
        "repeated": repeated.height,
        "most_frequent": most.to_dicts(),
    }
    return Reported(found, facts)
