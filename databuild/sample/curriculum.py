"""sample.curriculum: rows in bands of rising difficulty, one for each round or phase."""

from __future__ import annotations

from typing import Annotated, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import DROPPED, Reported, step
from databuild.errors import SchemaError
from databuild.recipe.options import Column, Names, StepConfig
from databuild.sample.cells import Edges
from databuild.sample.drawing import in_drawn_order
from databuild.text.apportion import largest_remainder
from databuild.text.ranking import known_value

_UNKNOWN = "its difficulty is unknown"


class CurriculumConfig(StepConfig):
    """Options of `sample.curriculum`."""

    by: Column
    """The column that says how hard a row is."""
    bands: Annotated[int, Field(ge=1, le=100)] | Names = ("easy", "medium", "hard")
    """The parts, the easiest first; a number n stands for `r1` to `rn`, so that a round takes
    `bands.r${round}`."""
    shares: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """The share of rows in each band, in numbers that need not add up to 1; equal ones unless
    said."""
    edges: Edges | None = None
    """Values between the bands, rising, one less than bands; a value equal to an edge belongs to
    the band above it. Without edges, bands are quantiles."""
    high_is_easy: bool = False
    """The highest values are the easiest, as for a pass rate."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = self.names
        if not names or len(set(names)) < len(names) or DROPPED in names:
            msg = "`bands` needs different names, and none of them 'dropped'"
            raise ValueError(msg)
        if self.shares and self.edges:
            msg = "give `shares` or `edges`, not both"
            raise ValueError(msg)
        if self.shares and len(self.shares) != len(names):
            msg = f"there are {len(names)} bands and {len(self.shares)} shares"
            raise ValueError(msg)
        if self.edges and len(self.edges) != len(names) - 1:
            msg = f"{len(names)} bands have {len(names) - 1} edges between them"
            raise ValueError(msg)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The parts, the easiest first."""
        if isinstance(self.bands, int):
            return tuple(f"r{number}" for number in range(1, self.bands + 1))
        return self.bands


@step(
    "sample.curriculum",
    kind="select",
    sees="table",
    version=1,
    parts=lambda config: config.names,
)
def select_bands(rows: pl.DataFrame, config: CurriculumConfig, *, seed: int) -> Reported:
    """Put every row into a band of difficulty.

    Without `edges`, the rows are sorted by `by`, the easiest first (equal values in the order of
    XXH3-64(seed, row_id)), and cut into bands of exactly `shares` (largest remainder): a value on
    the border may lie in both bands. With `edges`, bands are ranges of values, whatever their size.

    Args:
        rows: n rows with `row_id` and the numeric column `config.by`.
        config: See `CurriculumConfig`.
        seed: Another seed, another draw among equal values.

    Returns:
        n rows with `row_id`, `part` and `reason` ("its difficulty is unknown": null or NaN). Facts:
        `bands` (`{"band", "rows", "lowest", "highest"}`, the easiest first).

    Raises:
        SchemaError: The column is not numeric.

    Example:
        >>> rows = pl.DataFrame({"row_id": list("abcd"), "loss": [0.9, 0.1, None, 0.4]})
        >>> config = CurriculumConfig(by="loss", bands=3)
        >>> select_bands(rows, config, seed=7).table.select("row_id", "part").sort("row_id").rows()
        [('a', 'r3'), ('b', 'r1'), ('c', 'dropped'), ('d', 'r2')]
    """
    if not rows.schema[config.by].is_numeric():
        what = f"the column {config.by!r} has the type {rows.schema[config.by]}, and no order"
        raise SchemaError("sample.curriculum", what, fix="set `by` to a numeric column")
    ordered = in_drawn_order(rows.select("row_id", value=known_value(rows, config.by)), seed)
    known = ordered.drop_nulls("value").sort(
        "value", descending=config.high_is_easy, maintain_order=True
    )
    banded = known.with_columns(part=_by_edges(config) if config.edges else _by_rank(known, config))
    unknown = ordered.filter(pl.col("value").is_null()).select(
        "row_id", part=pl.lit(DROPPED), reason=pl.lit(_UNKNOWN)
    )
    kept = banded.select("row_id", "part", reason=pl.lit(None, dtype=pl.String))
    return Reported(pl.concat([kept, unknown]), {"bands": _told(banded, config)})


def _by_rank(known: pl.DataFrame, config: CurriculumConfig) -> pl.Series:
    """The band of each row of a table in order of difficulty."""
    sizes = largest_remainder(known.height, config.shares or [1.0] * len(config.names))
    names = [pl.repeat(name, n, eager=True) for name, n in zip(config.names, sizes, strict=True)]
    return pl.concat([pl.Series("part", [], dtype=pl.String), *names])


def _by_edges(config: CurriculumConfig) -> pl.Expr:
    assert config.edges is not None
    upwards = config.names[::-1] if config.high_is_easy else config.names
    part = pl.lit(upwards[-1])
    for edge, name in reversed(list(zip(config.edges, upwards, strict=False))):
        part = pl.when(pl.col("value") < edge).then(pl.lit(name)).otherwise(part)
    return part


def _told(banded: pl.DataFrame, config: CurriculumConfig) -> list[dict[str, object]]:
    facts = banded.group_by("part").agg(
        rows=pl.len(), lowest=pl.col("value").min(), highest=pl.col("value").max()
    )
    by_part = {str(row.pop("part")): row for row in facts.to_dicts()}
    nothing = {"rows": 0, "lowest": None, "highest": None}
    return [{"band": name, **by_part.get(name, nothing)} for name in config.names]
