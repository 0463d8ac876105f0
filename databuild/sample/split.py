"""sample.split: train, dev and held-out parts, exact and the same on every machine."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import DROPPED, Reported, shortfall, step
from databuild.errors import LawError
from databuild.recipe.options import Columns, StepConfig
from databuild.sample.drawing import draws
from databuild.sample.groups import deal_groups, name_units
from databuild.text.apportion import apportion, largest_remainder
from databuild.text.normal import compared


class SplitConfig(StepConfig):
    """Options of `sample.split`."""

    parts: dict[str, float | int] = Field(min_length=1)
    """Part -> its share of the rows (above 0, up to 1, as `0.8` or `1.0`) or its number of rows
    (whole numbers); one kind for all. What is left over is dropped."""
    stratify: Columns = ()
    """Give every combination of values of these columns its fair share of every part."""
    together: Columns = ()
    """Rows with the same value of one of these columns stay in one part (a cluster, an author); a
    null is a value of its own each time."""
    no_leak: Columns = ()
    """Rows whose values of one of these columns agree in their normal form (`text.normal`: prompts
    that differ in case, width or white space) stay in one part, too."""
    exact: bool = True
    """Parts have exactly the sizes asked for, so a few rows change parts when rows come or go. With
    `false` (shares only, no strata) every row, or group, is dealt by its own draw: sizes are near,
    and what was in a part stays in it from one version of a data set to the next."""

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
        if not self.exact and (self.counts or self.stratify):
            what = "numbers of rows" if self.counts else "`stratify`"
            msg = f"`exact: false` deals every row by its own draw: it takes shares, not {what}"
            raise ValueError(msg)
        return self

    @property
    def grouped(self) -> list[str]:
        """The keys by which rows belong together."""
        same = [f"same {column}" for column in self.together]
        return same + [f"like {column}" for column in self.no_leak]

    @property
    def counts(self) -> bool:
        """The parts are numbers of rows, not shares."""
        return all(isinstance(value, int) for value in self.parts.values())


@step(
    "sample.split",
    kind="select",
    sees="table",
    version=2,
    parts=lambda config: tuple(config.parts),
)
def split_rows(rows: pl.DataFrame, config: SplitConfig, *, seed: int) -> Reported:
    """Draw parts without replacement, as large as asked, fair within every stratum.

    Rows are drawn in the order of XXH3-64(seed, row_id), so neither the order of the input nor the
    machine matters. Part sizes follow from the shares by largest remainder; strata are divided
    among the parts by controlled rounding (`text.apportion`), so that both are exact. If the parts
    ask for more rows than there are, they get rows in proportion. `exact: false` leaves exactness
    for permanence: a row's part follows from its own draw alone. With `together` or `no_leak`,
    groups (`sample.groups`: rows linked by any of these columns, directly or through others) are
    dealt whole; sizes are then only near. A group belongs to the stratum of its smallest row_id.

    That no value of `together` and no normal form of `no_leak` lies in two kept parts is not only
    aimed at: it is counted on the result, and the step fails if it were not so.

    Args:
        rows: n rows with `row_id`, `config.stratify`, `config.together` and `config.no_leak`.
        config: See `SplitConfig`.
        seed: Another seed, another draw.

    Returns:
        n rows with `row_id`, `part` and `reason` ("not drawn"). Facts: `leak_checked`, for each
        column of `together` and `no_leak` the number of different `values` and how many of them lie
        `in_two_parts` (0); `parts` (`{"part", "wanted", "got"}`); `largest_group` in rows;
        `shortfall` by part, where a group more would have been room for.

    Raises:
        LawError: A value lies in two parts, which is a bug.

    Example:
        >>> rows = pl.DataFrame({"row_id": [str(n) for n in range(10)]})
        >>> config = SplitConfig(parts={"train": 0.8, "dev": 0.1})
        >>> split_rows(rows, config, seed=7).table["part"].value_counts().sort("part").rows()
        [('dev', 1), ('dropped', 1), ('train', 8)]
    """
    keyed = _keyed(rows, config)
    units = _units(keyed, seed)
    names = [*config.parts, DROPPED]
    part_sizes = _part_sizes(rows.height, config)
    if config.exact:
        strata = units.partition_by("stratum", maintain_order=True)
        sizes = [int(stratum["size"].sum()) for stratum in strata]
        deal = deal_groups if config.grouped else _deal_rows
        numbers = deal(strata, apportion(sizes, part_sizes))
    else:
        numbers = _deal_each(units, [float(share) for share in config.parts.values()])
    dealt = [(unit, names[part]) for unit, part in numbers]
    part_of = pl.DataFrame(dealt, schema={"unit": pl.String, "part": pl.String}, orient="row")
    parted = keyed.join(part_of, on="unit", how="left", maintain_order="left")
    verdicts = parted.select(
        "row_id", "part", reason=pl.when(pl.col("part") == DROPPED).then(pl.lit("not drawn"))
    )
    sizes_of_units = units["size"].to_list()
    facts = _facts(parted, config, part_sizes, max(sizes_of_units, default=0))
    return Reported(verdicts, {**facts, "leak_checked": _prove(parted, config)})


def _keyed(rows: pl.DataFrame, config: SplitConfig) -> pl.DataFrame:
    """Rows with the texts by which they belong together, their `unit` and their `stratum`."""
    exact = [pl.col(column).cast(pl.String).alias(f"same {column}") for column in config.together]
    alike = [compared(rows, column).alias(f"like {column}") for column in config.no_leak]
    stratum = pl.struct(config.stratify).struct.json_encode() if config.stratify else pl.lit("")
    keyed = rows.select("row_id", *exact, *alike, stratum=stratum)
    return keyed.with_columns(name_units(keyed, config.grouped))


def _units(keyed: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Every `unit`, its `size`, and its `stratum` (of its smallest row_id), in the drawn order."""
    units = (
        keyed.sort("row_id")
        .group_by("unit", maintain_order=True)
        .agg(size=pl.len().cast(pl.Int64), stratum=pl.col("stratum").first())
    )
    # A group is drawn by its value, a row by its id.
    return units.with_columns(draws(units["unit"], seed)).sort("stratum", "draw", "unit")


def _facts(
    parted: pl.DataFrame, config: SplitConfig, part_sizes: list[int], largest_group: int
) -> dict[str, Any]:
    """What parts were to get and what they got."""
    wanted = list(config.parts.values()) if config.counts else part_sizes
    got = [parted.filter(pl.col("part") == name).height for name in config.parts]
    asked = [(name, int(n), m) for name, n, m in zip(config.parts, wanted, got, strict=False)]
    facts: dict[str, Any] = {
        "parts": [{"part": name, "wanted": n, "got": m} for name, n, m in asked],
        "shortfall": shortfall(
            one for one in asked if config.exact and one[1] - one[2] >= largest_group
        ),
    }
    return {**facts, "largest_group": largest_group} if config.grouped else facts


def _prove(parted: pl.DataFrame, config: SplitConfig) -> dict[str, dict[str, int]]:
    """Count, for every key, the values that lie in two kept parts: there must be none."""
    kept = parted.filter(pl.col("part") != DROPPED)
    proven = {}
    for key in config.grouped:
        parts = kept.drop_nulls(key).group_by(key).agg(n=pl.col("part").n_unique())["n"]
        twice = int((parts > 1).sum())
        if twice:
            what = f"{twice} values of {key!r} lie in two parts"
            raise LawError("sample.split", what, fix="report this as a bug, with the recipe")
        proven[key.partition(" ")[2]] = {"values": len(parts), "in_two_parts": twice}
    return proven


def _part_sizes(n_rows: int, config: SplitConfig) -> list[int]:
    """How many rows each part gets, and last how many are dropped."""
    wanted = [float(value) for value in config.parts.values()]
    if not config.counts:
        return largest_remainder(n_rows, [*wanted, max(0.0, 1 - sum(wanted))])
    if sum(wanted) >= n_rows:
        return [*largest_remainder(n_rows, wanted), 0]
    return [*(int(value) for value in wanted), n_rows - int(sum(wanted))]


def _deal_rows(strata: list[pl.DataFrame], wanted_SP: np.ndarray) -> list[tuple[str, int]]:
    dealt: list[tuple[str, int]] = []
    for units, wanted_P in zip(strata, wanted_SP, strict=True):
        parts = np.repeat(np.arange(len(wanted_P)), wanted_P)
        dealt += zip(units["unit"].to_list(), parts.tolist(), strict=True)
    return dealt


def _deal_each(units: pl.DataFrame, shares: list[float]) -> list[tuple[str, int]]:
    """Deal by where a unit's draw falls between 0 and 2^64, whatever the other units are."""
    bounds = np.cumsum(shares) * 2.0**64
    if sum(shares) > 1 - 1e-9:
        bounds[-1] = np.inf
    parts = np.searchsorted(bounds, units["draw"].to_numpy().astype(np.float64), side="right")
    return list(zip(units["unit"].to_list(), parts.tolist(), strict=True))
