"""Cells of a table: the combinations of values of some columns, under names that people write."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated

import polars as pl
from pydantic import AfterValidator, Field

from databuild.errors import SchemaError
from databuild.text.ranking import known_value

if TYPE_CHECKING:
    from collections.abc import Mapping

NULL = "null"
SEPARATOR = " / "


def _rising(edges: tuple[float, ...]) -> tuple[float, ...]:
    if any(not low < high for low, high in itertools.pairwise(edges)):
        msg = "edges must rise"
        raise ValueError(msg)
    return edges


Edges = Annotated[tuple[float, ...], Field(min_length=1), AfterValidator(_rising)]
Bins = Annotated[int, Field(ge=2)] | Edges


def name_cells(rows: pl.DataFrame, by: tuple[str, ...], bins: Mapping[str, Bins]) -> pl.Series:
    """Name the cell of every row: the texts of its values in `by`, joined by ` / `.

    Null and NaN are `null`. A column in `bins` is cut first: into k quantiles `q1` to `qk`, where
    equal values stay together (value v is in the first quantile whose upper edge, the value at
    place ceil(i * n / k) of the sorted n, is not below v), or at edges.

    Args:
        rows: n rows with the columns of `by`.
        by: The columns of a cell's name, in order.
        bins: How to cut numeric columns.

    Returns:
        n names, the column `cell`.

    Raises:
        SchemaError: A column of `bins` is not numeric, or one of `by` is nested.

    Example:
        >>> rows = pl.DataFrame({"lang": ["en", None, "en"], "n": [1, 5, 9]})
        >>> name_cells(rows, ("lang", "n"), {"n": (5,)}).to_list()
        ['en / <5', 'null / >=5', 'en / >=5']
    """
    texts = []
    for column in by:
        dtype = rows.schema[column]
        if column in bins and not dtype.is_numeric():
            what = f"`bins` cuts {column!r}, whose values are {dtype}, not numbers"
            raise SchemaError("sample.stratify", what, fix="cut numeric columns only")
        if dtype.is_nested():
            what = f"`by` names {column!r}, whose values are {dtype}"
            raise SchemaError("sample.stratify", what, fix="name columns of single values")
        value = known_value(rows, column)
        text = _binned(rows, value, bins[column]) if column in bins else value.cast(pl.String)
        texts.append(text.fill_null(NULL))
    return rows.select(cell=pl.concat_str(texts, separator=SEPARATOR)).to_series()


def _binned(rows: pl.DataFrame, value: pl.Expr, bins: Bins) -> pl.Expr:
    if isinstance(bins, int):
        edges = _quantile_edges(rows.select(value).to_series(), bins)
        names = [f"q{number}" for number in range(1, bins + 1)]
        found = [value <= edge for edge in edges]
    else:
        shown = [f"{edge:g}" for edge in bins]
        between = [f"{low}..{high}" for low, high in itertools.pairwise(shown)]
        names = [f"<{shown[0]}", *between, f">={shown[-1]}"]
        found = [value < edge for edge in bins]
    name = pl.lit(names[-1])
    for is_in, text in reversed(list(zip(found, names, strict=False))):
        name = pl.when(is_in).then(pl.lit(text)).otherwise(name)
    return pl.when(value.is_not_null()).then(name)


def _quantile_edges(values: pl.Series, bins: int) -> list[float]:
    """The upper edges of all quantiles but the last."""
    known = values.drop_nulls().sort()
    if known.is_empty():
        return []
    return [known[-(-i * len(known) // bins) - 1] for i in range(1, bins)]
