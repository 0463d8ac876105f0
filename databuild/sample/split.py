"""sample.split: train, dev and held-out parts, exact and the same on every machine."""

from __future__ import annotations

from typing import Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator
from xxhash import xxh3_64_intdigest

from databuild.engine.step import DROPPED, step
from databuild.recipe.options import Column, Columns, StepConfig
from databuild.text.apportion import apportion, largest_remainder


class SplitConfig(StepConfig):
    """Options of `sample.split`."""

    parts: dict[str, float | int] = Field(min_length=1)
    """Part -> its share of the rows (above 0, up to 1, as `0.8` or `1.0`) or its number of rows
    (whole numbers); one kind for all. What is left over is dropped."""
    stratify: Columns = ()
    """Give every combination of values of these columns its fair share of every part."""
    together: Column | None = None
    """Rows with the same value of this column stay in one part; null is a value of its own each
    time."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        values = list(self.parts.values())
        if DROPPED in self.parts:
            msg = "a part cannot be called 'dropped'"
            raise ValueError(msg)
        if any(value <= 0 for value in values):
            msg = "shares and numbers of rows must be above 0"
            raise ValueError(msg)
        if not self.counts and not all(isinstance(value, float) for value in values):
            msg = "give shares (0.8, 1.0) or whole numbers of rows for all parts, not a mixture"
            raise ValueError(msg)
        if not self.counts and sum(values) > 1 + 1e-9:
            msg = f"the shares add up to {sum(values):g}, more than 1"
            raise ValueError(msg)
        return self

    @property
    def counts(self) -> bool:
        """The parts are numbers of rows, not shares."""
        return all(isinstance(value, int) for value in self.parts.values())


@step(
    "sample.split",
    kind="select",
    sees="table",
    version=1,
    parts=lambda config: tuple(config.parts),
)
def split_rows(rows: pl.DataFrame, config: SplitConfig, *, seed: int) -> pl.DataFrame:
    """Draw parts without replacement, as large as asked, fair within every stratum.

    Rows are drawn in the order of XXH3-64(seed, row_id), so neither the order of the input nor the
    machine matters. Part sizes follow from the shares by largest remainder; strata are divided
    among the parts by controlled rounding (`text.apportion`), so that both are exact. If the parts
    ask for more rows than there are, they get rows in proportion. With `together`, groups are dealt
    whole, the largest first, to the part of their stratum that lacks most: sizes are then only
    near.

    Args:
        rows: n rows with `row_id`, `config.stratify` and `config.together`.
        config: See `SplitConfig`.
        seed: Another seed, another draw.

    Returns:
        n rows with `row_id`, `part` and `reason` ("not drawn").

    Example:
        >>> rows = pl.DataFrame({"row_id": [str(n) for n in range(10)]})
        >>> config = SplitConfig(parts={"train": 0.8, "dev": 0.1})
        >>> split_rows(rows, config, seed=7)["part"].value_counts().sort("part").rows()
        [('dev', 1), ('dropped', 1), ('train', 8)]
    """
    units = _units(rows, config, seed)
    names = [*config.parts, DROPPED]
    strata = units.partition_by("stratum", maintain_order=True)
    sizes = [int(stratum["size"].sum()) for stratum in strata]
    counts_SP = apportion(sizes, _part_sizes(rows.height, config))
    deal = _deal_rows if config.together is None else _deal_groups
    dealt = [
        (unit, names[part])
        for stratum, wanted_P in zip(strata, counts_SP, strict=True)
        for unit, part in deal(stratum, wanted_P)
    ]
    part_of = pl.DataFrame(dealt, schema={"unit": pl.String, "part": pl.String}, orient="row")
    return (
        rows.select("row_id", unit=_unit(config))
        .join(part_of, on="unit", how="left", maintain_order="left")
        .select(
            "row_id",
            "part",
            reason=pl.when(pl.col("part") == DROPPED).then(pl.lit("not drawn")),
        )
    )


def _unit(config: SplitConfig) -> pl.Expr:
    """What is dealt whole: the row, or all rows with one value of `together`."""
    alone = pl.concat_str(pl.lit("row:"), "row_id")
    if config.together is None:
        return alone
    return pl.coalesce(
        pl.concat_str(pl.lit("value:"), pl.col(config.together).cast(pl.String)), alone
    )


def _units(rows: pl.DataFrame, config: SplitConfig, seed: int) -> pl.DataFrame:
    """Every `unit`, its `size`, and its `stratum` (of its smallest row_id), in the drawn order."""
    stratum = pl.struct(config.stratify).struct.json_encode() if config.stratify else pl.lit("")
    units = (
        rows.select("row_id", unit=_unit(config), stratum=stratum)
        .sort("row_id")
        .group_by("unit", maintain_order=True)
        .agg(
            size=pl.len().cast(pl.Int64),
            stratum=pl.col("stratum").first(),
            row_id=pl.col("row_id").first(),
        )
    )
    # A group is drawn by its value, a row by its id.
    draws = [xxh3_64_intdigest(f"{seed}\x1f{unit}".encode()) for unit in units["unit"]]
    return units.with_columns(draw=pl.Series(draws, dtype=pl.UInt64)).sort(
        "stratum", "draw", "unit"
    )


def _part_sizes(n_rows: int, config: SplitConfig) -> list[int]:
    """How many rows each part gets, and last how many are dropped."""
    wanted = [float(value) for value in config.parts.values()]
    if not config.counts:
        return largest_remainder(n_rows, [*wanted, max(0.0, 1 - sum(wanted))])
    if sum(wanted) >= n_rows:
        return [*largest_remainder(n_rows, wanted), 0]
    return [*(int(value) for value in wanted), n_rows - int(sum(wanted))]


def _deal_rows(units: pl.DataFrame, wanted_P: np.ndarray) -> list[tuple[str, int]]:
    parts = np.repeat(np.arange(len(wanted_P)), wanted_P)
    return list(zip(units["unit"].to_list(), parts.tolist(), strict=True))


def _deal_groups(units: pl.DataFrame, wanted_P: np.ndarray) -> list[tuple[str, int]]:
    lacking_P = wanted_P.astype(np.int64).copy()
    dealt = []
    for unit, size in (
        units.sort("size", descending=True, maintain_order=True).select("unit", "size").rows()
    ):
        part = int(np.argmax(lacking_P))
        lacking_P[part] -= size
        dealt.append((unit, part))
    return dealt
