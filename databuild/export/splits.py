"""The splits of a data set: one table each, by the name of the input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

SPLIT = "_split"
_NAME = r"\w+(\.\w+)*"


def together(
    rows: pl.DataFrame | None, split: str, others: Mapping[str, pl.DataFrame], where: str
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """All rows as one table with the column `_split`, and the names of the splits.

    A column that one table lacks is null there, so that all splits have the same columns, as
    `datasets.load_dataset` wants them.

    Args:
        rows: The first input, if there is one: the split `split`.
        split: Its name.
        others: The other splits by name, which are written in the order of their names.
        where: The step, for errors.

    Raises:
        StepError: No input, a name that is none for a file, or columns of other types.

    Example:
        >>> dev = pl.DataFrame({"row_id": ["a"]})
        >>> rows, splits = together(None, "train", {"dev": dev}, "export.trl")
        >>> rows.rows(), splits
        ([('a', 'dev')], ('dev',))
    """
    tables = ({} if rows is None else {split: rows}) | dict(others)
    for name in tables:
        if not re.fullmatch(_NAME, name) or (rows is not None and name == split and name in others):
            what = f"the split {name!r} is named twice, or its name is none for a file"
            raise StepError(where, what, fix="name each split once, in letters and digits")
    if not tables:
        raise StepError(where, "it has no input", fix="name a step under `from:`")
    for name in dict.fromkeys(column for table in tables.values() for column in table.columns):
        types = [t.schema[name] for t in tables.values() if t.schema.get(name, pl.Null) != pl.Null]
        if len({kind.base_type() for kind in types}) > 1 and not all(t.is_numeric() for t in types):
            what = f"the column {name!r} is {types[0]} in one split and {types[-1]} in another"
            raise StepError(where, what, fix="take all splits from one table")
    named = [table.with_columns(pl.lit(name).alias(SPLIT)) for name, table in tables.items()]
    return pl.concat(named, how="diagonal_relaxed"), tuple(tables)
