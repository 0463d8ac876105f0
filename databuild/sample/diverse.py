"""sample.diverse: few rows that differ from each other and stand for all."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import DROPPED, Reported, shortfall, step
from databuild.recipe.options import Column, Columns, StepConfig
from databuild.sample.centres import Chosen, choose_centres, unit_vectors
from databuild.sample.coverage import choose_covering
from databuild.sample.drawing import in_drawn_order
from databuild.text.grams import number_grams
from databuild.text.ranking import known_score


class DiverseConfig(StepConfig):
    """Options of `sample.diverse`."""

    take: Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, le=1)]
    """How many rows to keep, or which share of all (`0.1`, `1.0`)."""
    text: Columns = ()
    """Text columns: keep the rows whose token n-grams are the least alike. Needs no model."""
    embedding: Column | None = None
    """In place of `text`: a column of vectors (`measure.embedding`), of which centres are kept."""
    n: int = Field(default=2, ge=1, le=8)
    """How many tokens make an n-gram."""
    length_power: float = Field(default=1.0, ge=0, le=1)
    """What a long text costs: what a row would add is divided by its number of n-grams to this
    power. At 1 every length has the same chance; at 0 long texts come first."""
    weight: Column | None = None
    """A number of 0 or more that multiplies what a row is worth; null, NaN and less count as 0."""
    prefer: Column | None = None
    """Among rows of equal worth, take the one with the highest value of this column first."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.text) == (self.embedding is not None):
            msg = "say what to compare: either `text` columns or an `embedding` column"
            raise ValueError(msg)
        return self


@step("sample.diverse", kind="select", sees="table", version=1)
def select_diverse(rows: pl.DataFrame, config: DiverseConfig, *, seed: int) -> Reported:
    """Keep rows one by one, each time the one that adds most to those kept before.

    With `text` (coverage, no model): an n-gram that c kept rows have is worth 2^-c (nothing from c
    = 20 on), and a row is worth the sum over its different n-grams, divided by their number to the
    power `length_power`, times `weight`. The worth of a set is monotone and submodular, so that
    this greedy choice reaches at least 1 - 1/e of the best where lengths and weights do not count
    (Nemhauser et al. 1978); the scaling by length is that of Lin and Bilmes 2010, section 4.

    With `embedding` (k-centre greedy, Gonzalez 1985): the first row is the best by `prefer` or the
    first drawn; each next one is the farthest from all that are kept, by Euclidean distance of unit
    vectors times `weight`; without weights no row is then more than twice as far from a kept one as
    it must be. Vectors are rounded to 1/2000 of their length, so that every sum of products is a
    whole number that float32 holds exactly: neither threads nor row order change the choice.

    Equal worth is decided by `prefer`, highest first, then by XXH3-64(seed, row_id).

    Args:
        rows: n rows with `row_id` and the columns that the options name.
        config: See `DiverseConfig`.
        seed: Another seed, another choice among equals.

    Returns:
        n rows with `row_id`, `part`, `reason` ("adds less than the rows kept", or "nothing to
        compare": no token, or no vector) and `evidence`: for `text` `{"new_ratio"}`, the share of
        its n-grams that no kept row has; for `embedding` `{"nearest", "distance"}`, the nearest
        kept row and its distance, 0 to 2. Facts: for `text` `n_grams`, `covered_ratio` (of all
        different n-grams, those in kept rows) and `drawn_covered_ratio` (the same for as many rows
        in drawn order); for `embedding` `radius` and `mean_distance` of all rows to their nearest
        kept one; `shortfall` of `rows`.

    Raises:
        SchemaError: The embeddings are no vectors of one length.

    Cost:
        `text`: see `text.grams`, and a pass over n numbers for each row that is kept.
        `embedding`: n * d * kept multiplications and 4 * n * d bytes.

    Example:
        >>> prompts = ["name a red fruit", "name a big fruit", "sing a song", "name a red fruit!"]
        >>> rows = pl.DataFrame({"row_id": list("abcd"), "prompt": prompts})
        >>> found = select_diverse(rows, DiverseConfig(take=2, text="prompt"), seed=1)
        >>> "c" in found.table.filter(part="kept")["row_id"].to_list()
        True
        >>> found.facts["covered_ratio"]
        0.7143
    """
    ordered = in_drawn_order(rows, seed, config.prefer)
    take = config.take if isinstance(config.take, int) else int(rows.height * config.take + 0.5)
    weights_N = _weights(ordered, config)
    if config.embedding is None:
        chosen = choose_covering(
            number_grams(ordered, config.text, config.n), take, weights_N, config.length_power
        )
    else:
        vectors_ND, is_known_N = unit_vectors(ordered[config.embedding])
        chosen = choose_centres(vectors_ND, is_known_N, take, weights_N, ordered["row_id"])
    got = int(chosen.is_kept_N.sum())
    facts = {**chosen.facts, "shortfall": shortfall([("rows", take, got)])}
    return Reported(_verdicts(ordered, chosen), facts)


def _weights(ordered: pl.DataFrame, config: DiverseConfig) -> np.ndarray:
    if config.weight is None:
        return np.ones(ordered.height)
    weight = known_score(config.weight).fill_null(0.0).clip(lower_bound=0.0)
    return ordered.select(weight).to_series().to_numpy().copy()


def _verdicts(ordered: pl.DataFrame, chosen: Chosen) -> pl.DataFrame:
    reason = (
        pl.when(pl.col("is_known"))
        .then(pl.lit("adds less than the rows kept"))
        .otherwise(pl.lit("nothing to compare"))
    )
    return ordered.select(
        "row_id",
        is_kept=pl.Series(chosen.is_kept_N, dtype=pl.Boolean),
        is_known=pl.Series(chosen.is_known_N, dtype=pl.Boolean),
        told=chosen.evidence,
    ).select(
        "row_id",
        part=pl.when("is_kept").then(pl.lit("kept")).otherwise(pl.lit(DROPPED)),
        reason=pl.when(~pl.col("is_kept")).then(reason),
        evidence=pl.when(~pl.col("is_kept") & pl.col("is_known")).then("told"),
    )
