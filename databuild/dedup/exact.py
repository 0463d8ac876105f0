"""dedup.exact: one row of every group of rows whose text is the same."""

from __future__ import annotations

import polars as pl
from pydantic import Field

from databuild.engine.step import DROPPED, step
from databuild.recipe.options import Column, Columns, StepConfig
from databuild.text.conversations import context
from databuild.text.ranking import best_first
from databuild.text.whitespace import collapsed


class ExactConfig(StepConfig):
    """Options of `dedup.exact`."""

    columns: Columns = Field(default=("prompt",), min_length=1)
    """The text columns that must all agree."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Of a
    conversation `prompt` is only the last user turn: where it is compared, all turns before the
    last answer must agree too."""
    prefer: Column | None = None
    """Keep the row with the highest value of this column; without it, the smallest row_id."""
    width: bool = True
    """Compare after Unicode NFKC, so that full-width letters equal ordinary ones; else after
    NFC."""
    case: bool = True
    """Let upper and lower case be equal."""
    whitespace: bool = True
    """Let any run of white space equal one space, and none at the ends."""
    punctuation: bool = False
    """Leave out punctuation and symbols (Unicode P and S), unless nothing else is there."""


def _also(config: ExactConfig) -> tuple[str, ...]:
    return (config.messages,) if config.messages and "prompt" in config.columns else ()


@step("dedup.exact", kind="select", sees="table", version=1, also=_also)
def drop_exact_duplicates(rows: pl.DataFrame, config: ExactConfig) -> pl.DataFrame:
    """Keep the best row of every group of rows whose texts are equal in their normal form.

    A null text is equal to nothing, not even to another null.

    Args:
        rows: n rows with `row_id`, the text columns and `config.prefer`.
        config: See `ExactConfig`.

    Returns:
        n rows with `row_id`, `part`, `reason` ("duplicate") and `evidence`
        (`{"kept": <row_id of the row kept instead>}`). The order of the input does not matter.

    Cost:
        O(n log n) for the sort; 200,000 rows of 400 characters took 3.4 CPU seconds.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b", "c"], "prompt": ["Hi  all", "hi all", "Bye"]})
        >>> drop_exact_duplicates(rows, ExactConfig()).select("row_id", "part").rows()
        [('a', 'kept'), ('b', 'dropped'), ('c', 'kept')]
    """
    forms = [
        _normal_form(pl.col(column), config).alias(f"form:{column}") for column in config.columns
    ]
    names = [f"form:{column}" for column in config.columns]
    before = context(rows, *_also(config)) if _also(config) else pl.lit(None, dtype=pl.String)
    ordered = best_first(rows, config.prefer).select(
        "row_id", *forms, before=_normal_form(before, config)
    )
    has_text = ~pl.any_horizontal(pl.col(names).is_null())
    equal = pl.col("row_id").first().over(*names, "before")
    first = pl.when(has_text).then(equal).otherwise("row_id")
    is_dropped = pl.col("kept") != pl.col("row_id")
    return ordered.select("row_id", kept=first).select(
        "row_id",
        part=pl.when(is_dropped).then(pl.lit(DROPPED)).otherwise(pl.lit("kept")),
        reason=pl.when(is_dropped).then(pl.lit("duplicate")),
        evidence=pl.when(is_dropped).then(pl.struct("kept").struct.json_encode()),
    )


def _normal_form(text: pl.Expr, config: ExactConfig) -> pl.Expr:
    text = text.str.normalize("NFKC" if config.width else "NFC")
    if config.case:
        text = text.str.to_lowercase()
    if config.punctuation:
        bare = text.str.replace_all(r"[\p{P}\p{S}]", "")
        # "?" and "!" must not become equal because nothing is left of either.
        text = pl.when(bare.str.contains(r"\S")).then(bare).otherwise(text)
    return collapsed(text) if config.whitespace else text
