"""measure.characters: what kinds of characters a text is made of."""

from __future__ import annotations

import numpy as np
import polars as pl

from databuild.engine.step import step
from databuild.recipe.options import Column, StepConfig
from databuild.text.characters import KINDS, kind_counts

_FACTS = ("letter", "digit", "punctuation", "symbol", "space", "control", "upper")


class CharactersConfig(StepConfig):
    """Options of `measure.characters`."""

    column: Column = "prompt"
    """The text column to measure; the new columns begin with its name."""


def _names(config: CharactersConfig) -> tuple[str, ...]:
    return tuple(f"{config.column}_{fact}_ratio" for fact in _FACTS)


@step("measure.characters", kind="measure", sees="row", version=1, adds=_names)
def measure_characters(rows: pl.DataFrame, config: CharactersConfig) -> pl.DataFrame:
    """Measure the shares of kinds of characters in a text column.

    With `<c>` for the column, each from 0 to 1 and 0 for an empty or null text: shares of all code
    points that are letters and marks (`<c>_letter_ratio`), numbers (`_digit_`), punctuation,
    symbols and emoji (`_symbol_`), white space (`_space_`), and control, format, private or
    unassigned characters (`_control_`: zero-width spaces, byte order marks, bells); these six sum
    to 1. `<c>_upper_ratio` is the share of the cased letters that are upper or title case.
    `text.characters` has the exact classes.

    Args:
        rows: n rows with `row_id` and the text column.
        config: See `CharactersConfig`.

    Returns:
        n rows with `row_id` and the seven columns, in order.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Ab 1"]})
        >>> measure_characters(rows, CharactersConfig()).row(0)
        ('a', 0.5, 0.25, 0.0, 0.0, 0.25, 0.0, 0.5)
    """
    text = rows[config.column].cast(pl.String)
    counts = dict(zip(KINDS, kind_counts(text).T, strict=True))
    total = np.maximum(sum(counts.values()), 1)
    cased = counts["upper"] + counts["lower"]
    counts["letter"] = counts["letter"] + cased
    ratios = {kind: counts[kind] / total for kind in _FACTS}
    ratios["upper"] = counts["upper"] / np.maximum(cased, 1)
    names = zip(_FACTS, _names(config), strict=True)
    return rows.select("row_id").with_columns(pl.Series(n, ratios[fact]) for fact, n in names)
