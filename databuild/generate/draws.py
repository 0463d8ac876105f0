"""Many answers to each of many prompts, as columns; no object is made for what the journal has.

`answers_to` and `rows_of` in `generate.answering` do the same for requests of every shape. Here all
the draws of a row differ in their k and seed alone, so keys are hashed, answers read and rows made
in bulk: a re-run over a full journal takes half the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import polars as pl

from databuild.generate.answering import ATTRIBUTES, Ask, Wanted, answers_to
from databuild.models.journalled import ANSWER
from databuild.models.protocol import Draws, Message, Sampling
from databuild.schema.identity import derive_seeds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from databuild.generate.answering import Failures
    from databuild.models.protocol import Answer

_PLACES: dict[str, Any] = {"draw": pl.Int64, "k": pl.Int64}


@runtime_checkable
class Recalls(Protocol):
    """What answers requests and knows at once which of them the journal holds."""

    def recall(self, draws: Sequence[Draws]) -> tuple[pl.DataFrame, Ask]:
        """Give what the journal holds as columns, and what answers the rest."""
        ...


@dataclass(frozen=True, slots=True)
class WantedDraws:
    """The answers that are wanted for a row, and whatever the step must know again about it."""

    row_id: str
    draws: Draws
    about: Any = None


def want_draws(
    row_id: str,
    k: int,
    messages: tuple[Message, ...],
    sampling: Sampling,
    seed: int,
    *,
    stage: str = "",
    about: Any = None,
) -> WantedDraws:
    """The first k answers to a row: the requests of `want` from 0 to k - 1.

    Example:
        >>> from databuild.generate.answering import want
        >>> question, drawn = (Message("user", "Why?"),), Sampling()
        >>> many = want_draws("r1", 2, question, drawn, 7, stage="plan").draws
        >>> many.request(1) == want("r1", 1, question, drawn, 7, stage="plan").request
        True
    """
    parts = (row_id, stage) if stage else (row_id,)
    seeds = derive_seeds(seed, *parts, n=k) if sampling.temperature else [0] * k
    return WantedDraws(row_id, Draws("-".join(parts), messages, sampling, seeds), about)


def rows_drawn(
    wanted: Sequence[WantedDraws],
    generator: Ask,
    model: str,
    origin: str,
    failures: Failures,
    *,
    logprobs: bool = False,
) -> pl.DataFrame:
    """Ask for all that is wanted; what has no text is added to `failures`.

    Returns:
        A row per answer, in the order of what is wanted, then of k: `draw`, the number of what was
        wanted, `parent_ids`, `response` and its attributes.
    """
    draws = [one.draws for one in wanted]
    known, generator = _recalled(draws, generator)
    found = known
    missing = _missing(draws, known)
    if missing:
        asked = [
            Wanted(wanted[i].row_id, k, draws[i].request(k), (i, wanted[i].about))
            for i, k in missing
        ]
        new = _columns(answers_to(asked, generator, failures))
        found = new if known.is_empty() else pl.concat([known, new]).sort("draw", "k")
    return _rows(found, wanted, model, origin, logprobs=logprobs)


def _recalled(draws: Sequence[Draws], generator: Ask) -> tuple[pl.DataFrame, Ask]:
    """What is known already. Answers in a form are looked at one by one, to see if they have it."""
    has_form = any(sampling.has_form for sampling in {id(d): d.sampling for d in draws}.values())
    if isinstance(generator, Recalls) and not has_form:
        return generator.recall(draws)
    return pl.DataFrame(schema={**_PLACES, **ANSWER}), generator


def _missing(draws: Sequence[Draws], known: pl.DataFrame) -> list[tuple[int, int]]:
    """The draws, by number and k, that are not among the known ones."""
    sizes = np.array([len(one.seeds) for one in draws], dtype=np.int64)
    if known.height == sizes.sum():
        return []
    firsts = np.cumsum(sizes) - sizes
    is_missing = np.ones(int(sizes.sum()), dtype=bool)
    is_missing[firsts[known["draw"].to_numpy()] + known["k"].to_numpy()] = False
    of = np.repeat(np.arange(len(draws)), sizes)
    at = np.flatnonzero(is_missing)
    return list(zip(of[at].tolist(), (at - firsts[of[at]]).tolist(), strict=True))


def _columns(found: Sequence[tuple[Wanted, Answer]]) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {
        "draw": [one.about[0] for one, _ in found],
        "k": [one.k for one, _ in found],
    }
    columns |= {name: [getattr(answer, name) for _, answer in found] for name in ANSWER}
    return pl.DataFrame(columns, schema={**_PLACES, **ANSWER})


def _rows(
    found: pl.DataFrame,
    wanted: Sequence[WantedDraws],
    model: str,
    origin: str,
    *,
    logprobs: bool,
) -> pl.DataFrame:
    """The answers as rows: what all k of a row have in common is taken from one place."""
    sizes = [len(one.draws.seeds) for one in wanted]
    firsts = pl.Series(np.cumsum([0, *sizes])[:-1], dtype=pl.Int64)
    seeds = pl.Series([seed for one in wanted for seed in one.draws.seeds], dtype=pl.Int64)
    drawn_by = [one.draws.sampling for one in wanted]
    of = found["draw"]

    def gathered(values: Sequence[Any], dtype: Any) -> pl.Series:
        return pl.Series(values, dtype=dtype)[of]

    parents = gathered([one.row_id for one in wanted], pl.String)
    own: dict[str, Any] = {
        "sample_seed": seeds[firsts[of] + found["k"]],
        "model": pl.lit(model),
        "temperature": gathered([one.temperature for one in drawn_by], pl.Float64),
        "top_p": gathered([one.top_p for one in drawn_by], pl.Float64),
        "max_tokens": gathered([one.max_tokens for one in drawn_by], pl.Int64),
        "origin": pl.lit(origin),
    }
    rows = found.with_columns(**own).select(
        "draw",
        parents.reshape((-1, 1)).arr.to_list().alias("parent_ids"),
        pl.col("text").alias("response"),
        *ATTRIBUTES,
        *(["logprob"] if logprobs else []),
    )
    if logprobs:
        n = pl.col("completion_tokens")
        rows = rows.with_columns(mean_logprob=pl.when(n > 0).then(pl.col("logprob") / n))
    return rows
