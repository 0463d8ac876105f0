"""reward.ensemble: several scores of each answer as one, on one scale.

`debias_length`: with l = ln(1 + characters of the answer) for z-scores, or for `mean_rank` the
rank of the length among the answers to the prompt, and with both l and the score s centred
within each prompt, one slope b = sum(s l) / sum(l l) is fitted over all prompts, and s - b l
(l centred) is the new score; z-scores are then standardised again. So a prompt's mean stays,
and within prompts no linear relation with length is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Reported, step
from databuild.recipe.options import Column, Columns, StepConfig
from databuild.schema.identity import derive_seed
from databuild.text.conversations import asked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class EnsembleConfig(StepConfig):
    """Options of `reward.ensemble`."""

    scores: Columns = Field(min_length=1)
    """The columns to put together; of each, higher is better."""
    name: str = Field(default="ensemble", pattern=r"^[A-Za-z]\w*$")
    """What the new columns begin with."""
    how: Literal["mean_z", "mean_rank", "worst_z"] = "mean_z"
    """`mean_z`: the mean of the z-scores. `mean_rank`: the mean of the ranks among the answers to
    the same prompt, which no scale and no outlier can bend. `worst_z`: the lowest z-score, so that
    an answer must please every scorer: one that fools a single one gains nothing."""
    weights: dict[str, float] = Field(default_factory=dict)
    """How much a score counts in a mean; 1 where it is not named."""
    debias_length: bool = False
    """Take out of each score what the length of the answer explains among the answers to the same
    prompt."""
    rotate: int | None = Field(default=None, ge=0)
    """Let only some of the scores count, drawn anew for every value of this, such as `${round}`:
    what a model learns in one round to please is not what judges it in the next."""
    count: int | None = Field(default=None, ge=1)
    """With `rotate`, how many scores count: all but one unless said."""
    min_scores: int | None = Field(default=None, ge=1)
    """A row with at least so many of the scores that count is scored by those; null (`~`): a row
    with any missing is missing."""
    prompt: Column = "prompt"
    """Answers with the same text here are ranked, and freed of length, together."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Then only
    answers with the same turns before them belong together."""
    response: Column = "response"
    """The answer, for its length in characters."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if len(set(self.scores)) < len(self.scores):
            msg = f"scores: one stands twice in {list(self.scores)}"
            raise ValueError(msg)
        unknown = sorted(self.weights.keys() - set(self.scores))
        if unknown:
            msg = f"weights: {unknown[0]!r} is none of the scores {list(self.scores)}"
            raise ValueError(msg)
        if any(not 0 < weight < float("inf") for weight in self.weights.values()):
            msg = f"weights are above 0, not {self.weights}"
            raise ValueError(msg)
        if self.weights and self.how == "worst_z":
            msg = "weights count in a mean; how is worst_z"
            raise ValueError(msg)
        if self.count is not None and self.rotate is None:
            msg = "count says how many scores are drawn; set rotate as well"
            raise ValueError(msg)
        counted = self.n_counted
        for option, given in (("count", self.count), ("min_scores", self.min_scores)):
            if given is not None and given > (len(self.scores) if option == "count" else counted):
                msg = f"{option}: {given} is more than the scores that count"
                raise ValueError(msg)
        return self

    @property
    def n_counted(self) -> int:
        """How many scores count."""
        if self.rotate is None:
            return len(self.scores)
        return self.count or max(1, len(self.scores) - 1)


@step(
    "reward.ensemble",
    kind="measure",
    sees="table",
    version=1,
    also=lambda config: () if config.messages is None else (config.messages,),
    adds=lambda config: (f"{config.name}_score", f"{config.name}_spread"),
)
def measure_together(rows: pl.DataFrame, config: EnsembleConfig, *, seed: int) -> Reported:
    """Put several scores of each answer together.

    Every score (NaN and infinities are missing) becomes a z-score over all rows that have it,
    (score - mean) / standard deviation (of the population), 0 where all are equal; for `mean_rank`
    a rank among the answers to the same prompt, from 0 (worst) to 1 (best), equal scores sharing
    the mean of their ranks, 0.5 where there is one answer. `worst_z` is the worst-case optimisation
    of Coste et al. 2023 (arXiv:2310.02743, section 4), with z-scores because these scorers share
    no scale.

    What `debias_length` takes out is stated in this module's text.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `EnsembleConfig`.
        seed: The step's seed; with `rotate`, the scores that count are drawn from it.

    Returns:
        n rows with `row_id`, `<name>_score: f64` (a z-score, unbounded, or with `mean_rank` about 0
        to 1) and `<name>_spread: f64` (standard deviation of the scores that were put together: how
        much the scorers disagree; null for one). Both are null, with an error, where a score that
        counts is missing, or fewer than `min_scores` are there.
        Facts: `counted` (the scores that counted), `missing` (rows without it, by score),
        `constant` (scores that are equal everywhere and say nothing), `correlations` (Pearson, over
        the rows that have both, by pair of scores), `with_length` (Pearson with ln(1 + characters),
        by score and of the result) and `with_length_within_prompts` (the same, with both centred
        by prompt).

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a", "b"], "prompt": ["p", "p"], "response": ["x", "y"],
        ...     "one_score": [0.0, 1.0], "other_score": [30.0, 10.0],
        ... })
        >>> config = EnsembleConfig(scores=["one_score", "other_score"], how="worst_z")
        >>> measure_together(rows, config, seed=7).table["ensemble_score"].to_list()
        [-1.0, -1.0]
    """
    table = _prepared(rows, config)
    counted = _drawn(config, seed)
    lengths_N = np.log1p(table["n_chars"].fill_null(0).to_numpy().astype(np.float64))
    groups_N = table["group"].to_numpy()
    raw_SN = {name: table[name].to_numpy() for name in config.scores}
    parts_SN = np.array(
        [_comparable(raw_SN[name], lengths_N, groups_N, config) for name in counted]
    )
    weights_S = np.array([config.weights.get(name, 1.0) for name in counted])
    score_N, spread_N = _together(parts_SN, weights_S, config)
    error = _errors(parts_SN, counted, config)
    found = pl.DataFrame(
        {
            "row_id": table["row_id"],
            f"{config.name}_score": pl.Series(score_N).fill_nan(None),
            f"{config.name}_spread": pl.Series(spread_N).fill_nan(None),
            "error": pl.Series(error, dtype=pl.String),
        }
    )
    facts = _facts({**raw_SN, f"{config.name}_score": score_N}, lengths_N, groups_N)
    return Reported(found, {"counted": list(counted), **facts})


def _prepared(rows: pl.DataFrame, config: EnsembleConfig) -> pl.DataFrame:
    """Rows in the order of their ids, so that sums of floats are the same, with their prompts."""
    known = [_finite(name) for name in config.scores]
    return rows.sort("row_id").select(
        "row_id",
        *known,
        n_chars=pl.col(config.response).str.len_chars(),
        # A row without a prompt belongs to no other.
        group=pl.when(pl.col(config.prompt).is_null())
        .then(pl.concat_str(pl.lit("row "), "row_id"))
        .otherwise(pl.concat_str(pl.lit("prompt "), asked(rows, config.prompt, config.messages)))
        .rank("dense"),
    )


def _finite(name: str) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value).otherwise(float("nan")).alias(name)


def _drawn(config: EnsembleConfig, seed: int) -> tuple[str, ...]:
    """The scores that count, in the order in which they stand."""
    if config.rotate is None:
        return config.scores
    generator = np.random.default_rng(derive_seed(seed, "rotate", config.rotate))
    places = sorted(generator.permutation(len(config.scores))[: config.n_counted].tolist())
    return tuple(config.scores[place] for place in places)


def _comparable(
    raw_N: NDArray[np.float64],
    lengths_N: NDArray[np.float64],
    groups_N: NDArray[np.uint32],
    config: EnsembleConfig,
) -> NDArray[np.float64]:
    """A score on the common scale, NaN where it is missing."""
    is_rank = config.how == "mean_rank"
    score_N = _ranks(raw_N, groups_N) if is_rank else _z(raw_N)
    if not config.debias_length:
        return score_N
    there = np.isfinite(score_N)
    length_N = np.where(there, lengths_N, np.nan)
    length_N = _centred(_ranks(length_N, groups_N) if is_rank else length_N, groups_N)
    freed_N = score_N - _slope(_centred(score_N, groups_N), length_N) * length_N
    return freed_N if is_rank else _z(freed_N)


def _z(values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    there = values_N[np.isfinite(values_N)]
    if not len(there):
        return values_N
    middle, spread = there.mean(), there.std()
    # The spread of equal numbers may come out a little above 0.
    if spread <= 1e-12 * max(1.0, float(np.abs(there).max())):
        return np.where(np.isfinite(values_N), 0.0, np.nan)
    return np.asarray((values_N - middle) / spread)


def _ranks(values_N: NDArray[np.float64], groups_N: NDArray[np.uint32]) -> NDArray[np.float64]:
    """The rank among the values of a group, 0 to 1, higher for higher values."""
    value = pl.col("value")
    rank = value.rank("average").over("group")
    n = value.count().over("group")
    table = pl.DataFrame({"value": values_N, "group": groups_N}).with_columns(value.fill_nan(None))
    found = table.select(pl.when(n > 1).then((rank - 1) / (n - 1)).otherwise(rank * 0 + 0.5))
    return found.to_series().fill_null(float("nan")).to_numpy()


def _centred(values_N: NDArray[np.float64], groups_N: NDArray[np.uint32]) -> NDArray[np.float64]:
    table = pl.DataFrame({"value": values_N, "group": groups_N}).with_columns(
        pl.col("value").fill_nan(None)
    )
    found = table.select(pl.col("value") - pl.col("value").mean().over("group"))
    return found.to_series().fill_null(float("nan")).to_numpy()


def _slope(score_N: NDArray[np.float64], length_N: NDArray[np.float64]) -> float:
    there = np.isfinite(score_N) & np.isfinite(length_N)
    square = float((length_N[there] ** 2).sum())
    return float((score_N[there] * length_N[there]).sum()) / square if square > 1e-12 else 0.0


def _together(
    parts_SN: NDArray[np.float64], weights_S: NDArray[np.float64], config: EnsembleConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The score of each row and the spread of its parts; NaN where too few are there."""
    there_SN = np.isfinite(parts_SN)
    n_N = there_SN.sum(axis=0)
    enough_N = n_N >= (config.min_scores or len(parts_SN))
    held_SN = np.where(there_SN, parts_SN, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        if config.how == "worst_z":
            score_N = np.where(there_SN, parts_SN, np.inf).min(axis=0, initial=np.inf)
        else:
            given_SN = there_SN * weights_S[:, None]
            score_N = (held_SN * given_SN).sum(axis=0) / given_SN.sum(axis=0)
        middle_N = held_SN.sum(axis=0) / n_N
        square_N = (np.where(there_SN, parts_SN - middle_N, 0.0) ** 2).sum(axis=0) / n_N
    return (
        np.where(enough_N, score_N, np.nan),
        np.where(enough_N & (n_N > 1), np.sqrt(square_N), np.nan),
    )


def _errors(
    parts_SN: NDArray[np.float64], counted: Sequence[str], config: EnsembleConfig
) -> list[str | None]:
    missing_SN = ~np.isfinite(parts_SN)
    allowed = len(counted) - (config.min_scores or len(counted))
    errors: list[str | None] = [None] * parts_SN.shape[1]
    for place in np.flatnonzero(missing_SN.sum(axis=0) > allowed).tolist():
        names = [name for name, gone in zip(counted, missing_SN[:, place], strict=True) if gone]
        errors[place] = f"no score of: {', '.join(names)}"
    return errors


def _facts(
    scores: Mapping[str, NDArray[np.float64]],
    lengths_N: NDArray[np.float64],
    groups_N: NDArray[np.uint32],
) -> dict[str, Any]:
    names = list(scores)
    given = names[:-1]
    pairs = [(one, other) for place, one in enumerate(given) for other in given[place + 1 :]]
    inner_N = _centred(lengths_N, groups_N)
    within = {name: _correlation(_centred(scores[name], groups_N), inner_N) for name in names}
    return {
        "missing": {name: int((~np.isfinite(scores[name])).sum()) for name in given},
        "constant": [name for name in given if not np.any(np.nan_to_num(_z(scores[name])))],
        "correlations": {
            f"{one} ~ {other}": _correlation(scores[one], scores[other]) for one, other in pairs
        },
        "with_length": {name: _correlation(scores[name], lengths_N) for name in names},
        "with_length_within_prompts": within,
    }


def _correlation(one_N: NDArray[np.float64], other_N: NDArray[np.float64]) -> float | None:
    """Pearson's over the rows that have both; None where one of them does not vary."""
    there = np.isfinite(one_N) & np.isfinite(other_N)
    one, other = _z(one_N[there]), _z(other_N[there])
    if not one.any() or not other.any():
        return None
    return round(float((one * other).mean()), 4)
