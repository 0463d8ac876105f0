"""fix.normalize: one Unicode form and tidy white space, outside code."""

from __future__ import annotations

import polars as pl
from pydantic import Field

from databuild.engine.step import Produced, step
from databuild.recipe.options import Columns, StepConfig
from databuild.text.whitespace import FENCE, tidied


class NormalizeConfig(StepConfig):
    """Options of `fix.normalize`."""

    columns: Columns = Field(default=("prompt",), min_length=1)
    """The text columns to normalise."""


@step(
    "fix.normalize",
    kind="produce",
    sees="row",
    version=1,
    adds=lambda config: config.columns,
    carries=True,
)
def normalize_text(rows: pl.DataFrame, config: NormalizeConfig) -> Produced:
    """Bring texts to Unicode NFC (UAX #15) with tidy white space; code blocks keep theirs.

    The text between the 1st and 2nd, 3rd and 4th ... fence of three backticks is code and only gets
    NFC; a fence that never closes reaches to the end. Elsewhere see `text.whitespace.tidied`. White
    space at the two ends of the whole text goes. A null text stays null.

    Args:
        rows: n rows with `row_id` and the text columns of `config.columns`.
        config: See `NormalizeConfig`.

    Returns:
        n rows, in order, each with the row that it came from as its only parent.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": [" Hi   you "]})
        >>> normalize_text(rows, NormalizeConfig()).rows["prompt"].to_list()
        ['Hi you']
    """
    made = rows.select(
        pl.concat_list("row_id").alias("parent_ids"),
        *(pl.col(column).str.normalize("NFC") for column in config.columns),
    )
    for column in config.columns:
        made = made.with_columns(_tidy_outside_code(made[column]))
    return Produced(rows=made)


def _tidy_outside_code(texts: pl.Series) -> pl.Series:
    name = texts.name
    plain = texts.to_frame().select(tidied(pl.col(name)).str.strip_chars()).to_series()
    with_code = texts.str.contains(FENCE, literal=True).fill_null(value=False)
    if not with_code.any():
        return plain
    pieces = (
        texts.to_frame()
        .with_row_index("row")
        .filter(with_code)
        .with_columns(pl.col(name).str.split(FENCE))
        .explode(name)
        .with_columns(is_code=pl.int_range(pl.len()).over("row") % 2 == 1)
    )
    joined = (
        pieces.with_columns(pl.when("is_code").then(name).otherwise(tidied(pl.col(name))))
        .group_by("row", maintain_order=True)
        .agg(pl.col(name).str.join(FENCE))
        .with_columns(pl.col(name).str.strip_chars())
    )
    return plain.scatter(joined["row"], joined[name])
