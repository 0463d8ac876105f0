"""sample.where: keep the rows that meet a condition."""

from __future__ import annotations

import polars as pl
from pydantic import field_validator

from databuild.engine.step import DROPPED, step
from databuild.errors import SchemaError
from databuild.recipe.options import StepConfig
from databuild.text import expression
from databuild.text.compiled import MisfitError


class WhereConfig(StepConfig):
    """Options of `sample.where`."""

    keep: str
    """A condition on columns, such as `prompt_words <= 200 and language in ["en", "zh"]`."""

    @field_validator("keep")
    @classmethod
    def _must_parse(cls, keep: str) -> str:
        expression.clauses(keep)
        return keep


@step(
    "sample.where",
    kind="select",
    sees="row",
    version=2,
    reads=lambda config: expression.columns(config.keep),
)
def select_where(rows: pl.DataFrame, config: WhereConfig) -> pl.DataFrame:
    """Keep every row for which the condition is true; the language is `text.expression`'s.

    A row for which it is unknown (a null or NaN in a comparison) is dropped.

    Args:
        rows: n rows with `row_id` and the columns that the condition names.
        config: See `WhereConfig`.

    Returns:
        n rows with `row_id`, `part` and `reason`: "not (...)" around the first top-level `and`
        clause that is not true.

    Raises:
        SchemaError: The condition compares what cannot be compared, such as a text and a number, or
            asks for a field or an item of what has none.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b", "c"], "n": [1, 7, None]})
        >>> select_where(rows, WhereConfig(keep="n > 0 and n < 5"))["reason"].to_list()
        [None, 'not (n < 5)', 'not (n > 0)']
    """
    parts = expression.clauses(config.keep)
    try:
        reason = pl.coalesce(
            pl.when(clause.build(rows.schema).fill_null(value=False))
            .then(None)
            .otherwise(pl.lit(f"not ({clause.text})"))
            for clause in parts
        )
        found = rows.select("row_id", reason=reason)
    except (MisfitError, pl.exceptions.PolarsError) as error:
        what = f"`keep: {config.keep}` does not fit the columns: {str(error).splitlines()[0]}"
        raise SchemaError(
            "sample.where", what, fix="compare columns with values of their type"
        ) from error
    return found.select(
        "row_id",
        part=pl.when(pl.col("reason").is_null()).then(pl.lit("kept")).otherwise(pl.lit(DROPPED)),
        reason="reason",
    )
