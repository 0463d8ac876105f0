"""sample.stratify: as many rows of every kind as are wanted, and a report of what there was not."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import polars as pl
from pydantic import BeforeValidator, Field, model_validator

from databuild.engine.step import DROPPED, Reported, shortfall, step
from databuild.recipe.options import Column, Columns, StepConfig
from databuild.sample.cells import NULL, Bins, name_cells
from databuild.sample.drawing import in_drawn_order
from databuild.text.apportion import apportion_within

_EXPONENTS = {"proportional": 1.0, "sqrt": 0.5, "equal": 0.0}
_CELLS_TOLD = 1000
EVERY_OTHER = "*"


def _named_by_text(quotas: object) -> object:
    """YAML reads the cells 1, true and null as such; their names are texts."""
    if not isinstance(quotas, dict):
        return quotas
    plain = {True: "true", False: "false", None: NULL}
    return {
        plain[cell] if cell is None or isinstance(cell, bool) else str(cell): n
        for cell, n in quotas.items()
    }


class StratifyConfig(StepConfig):
    """Options of `sample.stratify`."""

    by: Columns = Field(min_length=1)
    """The columns whose values make a cell; its name is their texts joined by ` / `, as
    `en / hard`; a null is `null`."""
    bins: dict[Column, Bins] = Field(default_factory=dict)
    """How to cut numeric columns of `by`: a number of quantiles (cells `q1`, `q2` ...), or rising
    edges (`[0.2, 0.5]` makes `<0.2`, `0.2..0.5` with 0.2 in it, and `>=0.5`)."""
    total: int | None = Field(default=None, ge=0)
    """How many rows to keep in all."""
    balance: Literal["proportional", "sqrt", "equal"] | Annotated[float, Field(ge=0, le=1)] = (
        "proportional"
    )
    """Which share a cell of n rows gets: in proportion to n^1, n^0.5, n^0, or to n to this power
    (a temperature T is the power 1/T)."""
    quotas: Annotated[
        dict[str, Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0)]],
        BeforeValidator(_named_by_text),
    ] = Field(default_factory=dict)
    """In place of `balance`: cell -> how many rows (whole numbers, and no `total`), or its weight
    in `total` (`0.5`; weights need not add up to 1). `*` stands for every other cell; without it
    they get nothing."""
    at_least: int = Field(default=0, ge=0)
    """Rows that every cell gets first, as far as it has them: for the long tail."""
    at_most: int | None = Field(default=None, ge=1)
    """Rows that a cell gets at most. With it, `total` may be left out."""
    refill: bool = True
    """Share what a short cell cannot give among the others, so that `total` is met; numbers of
    rows in `quotas` are never exceeded."""
    prefer: Column | None = None
    """Within a cell, keep the rows with the highest value of this column; else they are drawn."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        stray = sorted(set(self.bins) - set(self.by))
        if stray:
            msg = f"`bins` cuts {stray[0]!r}, which is not in `by`"
            raise ValueError(msg)
        if self.quotas and self.balance != "proportional":
            msg = "give `quotas` or `balance`, not both"
            raise ValueError(msg)
        if self.counts and self.total is not None:
            msg = "numbers of rows in `quotas` say the total: give weights (0.5), or no `total`"
            raise ValueError(msg)
        if not self.counts and len({type(value) for value in self.quotas.values()}) > 1:
            msg = "give whole numbers of rows or weights (0.5, 1.0) in `quotas`, not a mixture"
            raise ValueError(msg)
        if not self.counts and self.total is None and self.at_most is None:
            msg = "say how many rows to keep: `total`, `at_most`, or numbers of rows in `quotas`"
            raise ValueError(msg)
        return self

    @property
    def counts(self) -> bool:
        """The quotas are numbers of rows."""
        return bool(self.quotas) and all(isinstance(n, int) for n in self.quotas.values())


@step("sample.stratify", kind="select", sees="table", version=1)
def stratify_rows(rows: pl.DataFrame, config: StratifyConfig, *, seed: int) -> Reported:
    """Keep a quota of rows from every cell.

    A cell wants, of the total, its share by `balance` or `quotas`, but no less than `at_least` and
    no more than `at_most` (water-filling, see `text.apportion.apportion_within`). It gets that, or
    all its rows where it has fewer; with `refill`, the others then share what is missing by the
    same rule. Within a cell, rows are taken by `prefer`, highest first (null and NaN last), then in
    the order of XXH3-64(seed, row_id); neither the order of the input nor the machine matters.

    Args:
        rows: n rows with `row_id`, `config.by` and `config.prefer`.
        config: See `StratifyConfig`.
        seed: Another seed, another draw.

    Returns:
        n rows with `row_id`, `part`, `reason` ("over the quota of its cell", or "its cell has no
        quota") and `evidence` (`{"cell", "quota", "place"}`: place 1 is taken first). Facts:
        `cells` (`{"cell", "rows", "wanted", "got"}`, the first 1,000 by name), `n_cells`, and
        `shortfall` by cell.

    Raises:
        SchemaError: A column of `bins` is not numeric, or one of `by` is a list or struct.

    Example:
        >>> rows = pl.DataFrame({"row_id": list("abcdef"), "topic": ["sky"] * 5 + ["sea"]})
        >>> config = StratifyConfig(by="topic", total=4, balance="equal")
        >>> found = stratify_rows(rows, config, seed=7)
        >>> found.table.group_by("part").len().sort("part").rows()
        [('dropped', 2), ('kept', 4)]
        >>> found.facts["shortfall"]
        [{'of': 'sea', 'wanted': 2, 'got': 1}]
    """
    cells = name_cells(rows, config.by, config.bins)
    ordered = in_drawn_order(rows.with_columns(cells), seed, config.prefer).select("row_id", "cell")
    sizes = dict(ordered.group_by("cell").len().sort("cell").iter_rows())
    sizes |= {name: 0 for name in config.quotas if name not in sizes and name != EVERY_OTHER}
    names = sorted(sizes)
    have = [sizes[name] for name in names]
    wanted, got = _quotas(names, have, config)
    told = zip(names, have, wanted, got, strict=True)
    facts = {
        "n_cells": len(names),
        "cells": [
            {"cell": cell, "rows": n, "wanted": asked, "got": taken}
            for cell, n, asked, taken in list(told)[:_CELLS_TOLD]
        ],
        "shortfall": shortfall(zip(names, wanted, got, strict=True)),
    }
    quota = pl.DataFrame(
        {"cell": names, "quota": got}, schema={"cell": pl.String, "quota": pl.Int64}
    )
    return Reported(_verdicts(ordered.join(quota, on="cell", maintain_order="left")), facts)


def _verdicts(ordered: pl.DataFrame) -> pl.DataFrame:
    """Rows in the order in which they are taken, with their cell and its quota: who is kept?"""
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("cell")
    is_kept = pl.col("place") <= pl.col("quota")
    reason = (
        pl.when(pl.col("quota") == 0)
        .then(pl.lit("its cell has no quota"))
        .otherwise(pl.lit("over the quota of its cell"))
    )
    return ordered.with_columns(place=place).select(
        "row_id",
        part=pl.when(is_kept).then(pl.lit("kept")).otherwise(pl.lit(DROPPED)),
        reason=pl.when(~is_kept).then(reason),
        evidence=pl.when(~is_kept).then(pl.struct("cell", "quota", "place").struct.json_encode()),
    )


def _quotas(names: list[str], have: list[int], config: StratifyConfig) -> tuple[list[int], ...]:
    """How many rows each cell wants, and how many it gets."""
    if config.counts:
        every = int(config.quotas.get(EVERY_OTHER, 0))
        wanted = [int(config.quotas.get(name, every)) for name in names]
        wanted = [max(n, config.at_least) for n in wanted]
        if config.at_most is not None:
            wanted = [min(n, config.at_most) for n in wanted]
        return wanted, [min(n, m) for n, m in zip(wanted, have, strict=True)]
    weights = _weights(names, have, config)
    most = config.at_most
    if config.total is None:
        total = sum(min(n, most or n) for n, w in zip(have, weights, strict=True) if w > 0)
    else:
        total = config.total
    wanted = apportion_within(
        total, weights, _least(weights, config), [total if most is None else most] * len(names)
    )
    if config.total is None or not config.refill:
        return wanted, [min(n, m) for n, m in zip(wanted, have, strict=True)]
    least = [min(n, m) for n, m in zip(_least(weights, config), have, strict=True)]
    limits = [n if most is None else min(n, most) for n in have]
    return wanted, apportion_within(total, weights, least, limits)


def _least(weights: list[float], config: StratifyConfig) -> list[int]:
    cap = config.at_least if config.at_most is None else min(config.at_least, config.at_most)
    return [cap if weight > 0 else 0 for weight in weights]


def _weights(names: list[str], have: list[int], config: StratifyConfig) -> list[float]:
    if config.quotas:
        every = float(config.quotas.get(EVERY_OTHER, 0.0))
        return [float(config.quotas.get(name, every)) for name in names]
    balance = config.balance
    power = _EXPONENTS[balance] if isinstance(balance, str) else balance
    return [float(n) ** power for n in have]
