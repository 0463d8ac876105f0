"""sample.where: keep the rows that meet a condition."""

from __future__ import annotations

import polars as pl
from pydantic import field_validator

from databuild.engine.step import DROPPED, step
from databuild.errors import SchemaError
from databuild.recipe.options import StepConfig
from databuild.text import expression
from databuild.text.compiled import MisfitError

_SHOWN_CHARS = 120


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
    version=3,
    reads=lambda config: expression.columns(config.keep),
)
def select_where(rows: pl.DataFrame, config: WhereConfig) -> pl.DataFrame:
    """Keep every row for which the condition is true; the language is `text.expression`'s.

    A row for which it is unknown (a null or NaN in a comparison) is dropped.

    Args:
        rows: n rows with `row_id` and the columns that the condition names.
        config: See `WhereConfig`.

    Returns:
        n rows with `row_id`, `part`, `reason`: "not (...)" around the first top-level `and` clause
        that is not true, and `evidence`: what the columns of that clause hold, each up to 120
        characters.

    Raises:
        SchemaError: The condition compares what cannot be compared, such as a text and a number, or
            asks for a field or an item of what has none.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b", "c"], "n": [1, 7, None]})
        >>> found = select_where(rows, WhereConfig(keep="n > 0 and n < 5"))
        >>> found["reason"].to_list(), found["evidence"].to_list()
        ([None, 'not (n < 5)', 'not (n > 0)'], [None, 'n 7', 'n null'])
    """
    parts = expression.clauses(config.keep)
    try:
        are_true = [clause.build(rows.schema).fill_null(value=False) for clause in parts]
        reasons = [pl.lit(f"not ({clause.text})") for clause in parts]
        found = rows.select(
            "row_id",
            reason=_of_first_untrue(are_true, reasons),
            evidence=_of_first_untrue(are_true, [_held(c.columns, rows.schema) for c in parts]),
        )
    except (MisfitError, pl.exceptions.PolarsError) as error:
        what = f"`keep: {config.keep}` does not fit the columns: {str(error).splitlines()[0]}"
        raise SchemaError(
            "sample.where", what, fix="compare columns with values of their type"
        ) from error
    return found.select(
        "row_id",
        part=pl.when(pl.col("reason").is_null()).then(pl.lit("kept")).otherwise(pl.lit(DROPPED)),
        reason="reason",
        evidence="evidence",
    )


def _of_first_untrue(are_true: list[pl.Expr], told: list[pl.Expr]) -> pl.Expr:
    return pl.coalesce(
        pl.when(is_true).then(None).otherwise(text)
        for is_true, text in zip(are_true, told, strict=True)
    )


def _held(columns: tuple[str, ...], schema: pl.Schema) -> pl.Expr:
    """What columns hold, as text: their names and values; lists and objects as JSON."""
    values = [
        pl.concat_str(
            pl.lit(f"{column} "),
            _as_text(pl.col(column), schema[column]).str.head(_SHOWN_CHARS).fill_null("null"),
        )
        for column in columns
    ]
    return pl.concat_str(values, separator=", ") if values else pl.lit("no column is read")


def _as_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_nested():
        held = pl.struct(value.alias("v")).struct.json_encode()
        return held.str.strip_prefix('{"v":').str.strip_suffix("}")
    if dtype == pl.Binary:
        return value.bin.encode("hex")
    if dtype == pl.Duration:
        value = value.cast(pl.Int64)
    return value.cast(pl.String)
