"""sample.mix: the rows of several tables as one, in the proportions that are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Produced, shortfall, step
from databuild.errors import RecipeError
from databuild.recipe.options import Column, Columns, InputName, StepConfig
from databuild.sample.drawing import in_drawn_order
from databuild.text.apportion import largest_remainder
from databuild.text.normal import compared
from databuild.text.ranking import known_score, known_value

Positive = Annotated[float, Field(gt=0)]
PRIMARY = "rows"


class MixConfig(StepConfig):
    """Options of `sample.mix`; without any, every row of every input is taken once."""

    weights: dict[InputName, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Input -> its share of the result; all inputs, in numbers that need not add up to 1."""
    total: int | None = Field(default=None, ge=0)
    """How many rows to make; without it, as many as `weights` allow before an input is used up."""
    epochs: dict[InputName, Positive] = Field(default_factory=dict)
    """Input -> how often its rows may be taken: 1 unless said; 2.5 is each row twice and half of
    them once more."""
    at_most: dict[InputName, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Input -> the most rows that are made from it."""
    unique: Columns = ()
    """Keep one of the rows that agree in the normal form of these columns (`text.normal`), from
    whatever input. A null agrees with nothing."""
    priority: tuple[InputName, ...] = ()
    """Of such rows, the one from the input that stands first here is kept; inputs that are not
    named come after, `rows` first and the others by name."""
    prefer: Column | None = None
    """Take the rows with the highest value of this column first; else they are drawn."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.weights and not any(self.weights.values()):
            msg = "one of the weights must be above 0"
            raise ValueError(msg)
        if self.priority and not self.unique:
            msg = "`priority` chooses among equal rows: say in `unique` which columns make them so"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class Source:
    """One input: the rows that are left of it, in the order in which they are taken."""

    name: str
    rows: pl.DataFrame
    given: int

    def can_give(self, config: MixConfig) -> int:
        """How many rows can be made of it."""
        # 0.1 * 30 is 3.0000000000000004 in binary, and 0.7 * 10 may be a little less than 7.
        most = int(self.rows.height * config.epochs.get(self.name, 1.0) + 1e-9)
        return min(most, config.at_most.get(self.name, most))

    def take(self, n: int) -> pl.DataFrame:
        """Say of every row how often it is taken so that they are n, in the order of row_id."""
        every, once_more = divmod(n, max(self.rows.height, 1))
        place = pl.int_range(pl.len())
        return self.rows.select(
            "row_id",
            times=every + (place < once_more).cast(pl.Int64),
            mixed_from=pl.lit(self.name),
        ).sort("row_id")


@step(
    "sample.mix",
    kind="produce",
    sees="table",
    version=2,
    adds=("mixed_from", "mixed_epoch"),
    attributes=("mixed_from", "mixed_epoch"),
    carries=True,
)
def mix_rows(
    rows: pl.DataFrame | None, config: MixConfig, *, seed: int, **others: pl.DataFrame
) -> Produced:
    """Put rows of all inputs into one table, as often as weights, epochs and caps say.

    A source of n rows can give floor(n * epochs) rows, but no more than `at_most`. With `weights`
    it wants its share of `total` (largest remainder), and gets that or what it can give; nothing
    fills the gap, since that would change the mixture, and the gap is reported. Every row is taken
    once before any is taken twice; who is taken once more follows `prefer`, highest first, then
    XXH3-64(seed, row_id). So neither the order of the inputs nor of their rows matters.

    A mixed row has one parent and says what its parent says; a column that its input lacks is null.

    Args:
        rows: The first input; it may be left out where others are named.
        config: See `MixConfig`.
        seed: Another seed, another draw.
        others: Further inputs, under any name.

    Returns:
        Rows with `parent_ids`, `mixed_from: str` (the input's name) and `mixed_epoch: i32` (1 the
        first time a row is taken, then 2, ...); the engine carries the parents' columns. Dropped
        rows are "not drawn", or "duplicate: <row_id of the row that was kept>". Facts: `sources`
        (`{"source", "rows", "duplicates", "wanted", "got"}`) and `shortfall` by source.

    Raises:
        RecipeError: `weights` leaves an input out.

    Example:
        >>> rows, more = pl.DataFrame({"row_id": ["a"]}), pl.DataFrame({"row_id": ["b", "c"]})
        >>> mix_rows(rows, MixConfig(), seed=7, more=more).rows["parent_ids"].to_list()
        [['a'], ['b'], ['c']]
        >>> config = MixConfig(weights={"rows": 0.6, "more": 0.4}, total=5, epochs={"rows": 2})
        >>> found = mix_rows(rows, config, seed=7, more=more)
        >>> found.rows.select("mixed_from", "mixed_epoch").rows()
        [('rows', 1), ('rows', 2), ('more', 1), ('more', 1)]
        >>> found.facts["shortfall"]
        [{'of': 'rows', 'wanted': 3, 'got': 2}]
    """
    tables = ({} if rows is None else {PRIMARY: rows}) | dict(sorted(others.items()))
    unique, duplicates = _without_duplicates(tables, config)
    sources = [
        Source(name, in_drawn_order(unique[name], seed, config.prefer), tables[name].height)
        for name in tables
    ]
    wanted = _wanted(sources, config)
    got = [min(n, source.can_give(config)) for source, n in zip(sources, wanted, strict=True)]
    taken = pl.concat([source.take(n) for source, n in zip(sources, got, strict=True)])
    made = _repeated(taken)
    not_drawn = taken.filter(pl.col("times") == 0).select("row_id", reason=pl.lit("not drawn"))
    dropped = pl.concat([not_drawn, duplicates]).unique("row_id", keep="first", maintain_order=True)
    return Produced(
        rows=made.select("mixed_from", "mixed_epoch", parent_ids=pl.concat_list("row_id")),
        dropped=dropped.join(made, on="row_id", how="anti"),
        facts=_facts(sources, wanted, got),
    )


def _repeated(taken: pl.DataFrame) -> pl.DataFrame:
    """One row for each time that a row is taken, numbered from 1."""
    epochs = pl.int_ranges(1, pl.col("times") + 1, dtype=pl.Int32)
    repeated = taken.filter(pl.col("times") > 0)
    return repeated.select("row_id", "mixed_from", mixed_epoch=epochs).explode("mixed_epoch")


def _facts(sources: list[Source], wanted: list[int], got: list[int]) -> dict[str, object]:
    """What is reported of the sources."""
    told = [
        {
            "source": source.name, "rows": source.given,
            "duplicates": source.given - source.rows.height, "wanted": n, "got": m,
        }
        for source, n, m in zip(sources, wanted, got, strict=True)
    ]  # fmt: skip
    names = (source.name for source in sources)
    return {"sources": told, "shortfall": shortfall(zip(names, wanted, got, strict=True))}


def _without_duplicates(
    tables: dict[str, pl.DataFrame], config: MixConfig
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """The rows of every input that are kept for mixing, and those that equal one of them."""
    prefer = [] if config.prefer is None else [config.prefer]
    keys = [f"_form {column}" for column in config.unique]
    pool = pl.concat(
        (
            table.select(
                "row_id",
                *(_quality(table, column) for column in prefer),
                *(compared(table, column).alias(f"_form {column}") for column in config.unique),
                _source=pl.lit(name),
                _rank=pl.lit(_rank(name, list(tables), config.priority)),
            )
            for name, table in tables.items()
        ),
        how="vertical_relaxed",
    )
    order = ["_rank", *prefer, "row_id"]
    pool = pool.sort(
        order, descending=[column in prefer for column in order], nulls_last=True
    ).with_columns(_kept=pl.col("row_id"), _place=pl.lit(0, dtype=pl.UInt32))
    if keys:
        is_known = ~pl.any_horizontal(pl.col(keys).is_null())
        pool = pool.with_columns(
            _kept=pl.when(is_known).then(pl.col("row_id").first().over(keys)).otherwise("row_id"),
            _place=pl.when(is_known).then(pl.int_range(pl.len()).over(keys)).otherwise(0),
        )
    left = pool.filter(pl.col("_place") == 0)
    equal = pool.filter(pl.col("_place") > 0)
    reason = pl.concat_str(pl.lit("duplicate: "), "_kept")
    return (
        {name: left.filter(pl.col("_source") == name) for name in tables},
        equal.select("row_id", reason=reason),
    )


def _quality(table: pl.DataFrame, column: str) -> pl.Expr:
    """The column by which rows are preferred: a number in one input, a truth value in another."""
    dtype = table.schema[column]
    is_number = dtype.is_numeric() or dtype == pl.Boolean
    return known_score(column) if is_number else known_value(table, column)


def _rank(name: str, names: list[str], priority: tuple[str, ...]) -> int:
    return priority.index(name) if name in priority else len(priority) + names.index(name)


def _wanted(sources: list[Source], config: MixConfig) -> list[int]:
    """How many rows each source is to give."""
    can_give = [source.can_give(config) for source in sources]
    missing = [source.name for source in sources if source.name not in config.weights]
    if config.weights and missing:
        what = f"`weights` leaves out the input {missing[0]!r}"
        raise RecipeError("sample.mix", what, fix="give every input a weight; 0 takes none of it")
    weights = [config.weights.get(s.name, float(n)) for s, n in zip(sources, can_give, strict=True)]
    if config.total is not None:
        return largest_remainder(config.total, weights)
    if not config.weights:
        return can_give
    # An empty input must not empty the mixture: its share is missing and is reported.
    limits = [n * sum(weights) / w for n, w in zip(can_give, weights, strict=True) if n and w]
    return largest_remainder(int(min(limits, default=0) + 1e-9), weights)
