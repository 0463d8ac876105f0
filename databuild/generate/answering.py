"""What all steps that ask a model share: their options, their requests, and the rows they make.

A step makes a list of `Wanted`, asks for all of them at once (`answers_to`), and turns the texts
into rows. Every answer's row says how it was drawn (`ATTRIBUTES`); a request without a usable
answer becomes a row of `failed`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.models.prompting import (
    Ask,
    PromptedConfig,
    SamplingConfig,
    Wanted,
    asked_in,
    trouble,
    want,
)
from databuild.models.protocol import Answer, Sampling
from databuild.models.structure import as_schema_text, broken_form
from databuild.recipe.options import Names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "ATTRIBUTES",
    "LOGPROBS",
    "Ask",
    "Failures",
    "FormedConfig",
    "PromptedConfig",
    "SamplingConfig",
    "Wanted",
    "answers_to",
    "asked_in",
    "drawn",
    "rows_of",
    "want",
]

ATTRIBUTES: Mapping[str, Any] = {
    "k": pl.Int64,
    "sample_seed": pl.Int64,
    "model": pl.String,
    "temperature": pl.Float64,
    "top_p": pl.Float64,
    "max_tokens": pl.Int64,
    "finish_reason": pl.String,
    "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64,
    "origin": pl.String,
}
"""How an answer was drawn: its place among the k of its row, its seed, the model's identity, the
sampling, how it ended, its tokens, and where the text comes from."""
LOGPROBS: Mapping[str, Any] = {"logprob": pl.Float64, "mean_logprob": pl.Float64}
"""On request: the answer's log-probability, and that by token."""
_FAILED: dict[str, Any] = {
    "parent_ids": pl.List(pl.String),
    "k": pl.Int64,
    "error": pl.String,
    "retry": pl.Boolean,
}


class FormedConfig(SamplingConfig):
    """The options of a step that passes answers on as they are, in a form of the user's choice."""

    logprobs: bool = False
    """Whether to keep the answer's log-probability: `logprob` is the sum over its tokens (natural
    logarithm, the model's own before temperature and penalties), `mean_logprob` that by
    token."""
    json_schema: dict[str, Any] | None = None
    """The answer is JSON of this schema (draft 2020-12): guided decoding lets the model write
    nothing else. One that breaks it all the same, because it was cut, is a failure."""
    regex: str | None = None
    """The whole answer matches this regular expression, as with `json_schema`."""
    choice: Names = ()
    """The answer is one of these texts, as with `json_schema`."""

    def sampling(self) -> Sampling:
        """The sampling parameters."""
        given = super().sampling().model_dump()
        schema = None if self.json_schema is None else as_schema_text(self.json_schema)
        form = {"json_schema": schema, "regex": self.regex, "choice": self.choice}
        return Sampling.model_validate(given | {"logprobs": self.logprobs} | form)


@dataclass
class Failures:
    """What could not be made, as the `failed` of a produce step."""

    rows: list[tuple[list[str], int | None, str, bool]] = field(default_factory=list)

    def add(self, parents: str | list[str], k: int | None, error: str, *, retry: bool) -> None:
        """Note one failure; `retry` where another try may end better."""
        self.rows.append(([parents] if isinstance(parents, str) else parents, k, error, retry))

    def frame(self) -> pl.DataFrame:
        """One row per failure: `parent_ids`, `k`, `error`, `retry`."""
        return pl.DataFrame(self.rows, schema=_FAILED, orient="row")


def answers_to(
    wanted: Sequence[Wanted], generator: Ask, failures: Failures
) -> list[tuple[Wanted, Answer]]:
    """Ask for all that is wanted; what has no text is added to `failures`.

    Returns:
        The wanted ones that were answered, in their order, with the answer, whose text is not None
        and keeps the form that was asked, if one was. An answer that breaks it would come back the
        same, so it is not tried again.
    """
    answers = generator([one.request for one in wanted])
    found = []
    sampling, has_form = None, False
    for one in wanted:
        if one.request.sampling is not sampling:
            sampling = one.request.sampling
            has_form = sampling.has_form
        answer = answers.get(one.request.id)
        if none := trouble(answer):
            failures.add(one.row_id, one.k, none[0], retry=none[1])
            continue
        assert answer is not None
        if has_form and (broken := broken_form(one.request.sampling, answer)):
            failures.add(one.row_id, one.k, broken, retry=False)
        else:
            found.append((one, answer))
    return found


def drawn(wanted: Wanted, answer: Answer, model: str, origin: str) -> dict[str, Any]:
    """The attributes of an answer's row: see `ATTRIBUTES`; `LOGPROBS` too where they were asked."""
    request = wanted.request
    attributes = {
        "k": wanted.k,
        "sample_seed": request.seed,
        "model": model,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "max_tokens": request.sampling.max_tokens,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "origin": origin,
    }
    if request.sampling.logprobs:
        attributes["logprob"] = total = answer.logprob
        n = answer.completion_tokens
        attributes["mean_logprob"] = None if total is None or not n else total / n
    return attributes


def rows_of(
    found: Sequence[tuple[Wanted, Answer]],
    model: str,
    origin: str,
    *,
    text: str = "response",
    logprobs: bool = False,
) -> pl.DataFrame:
    """One row per answer: `parent_ids` (the row that it is for), its `text`, its attributes.

    The same as one `drawn` per answer, made column by column, which is several times as quick.
    """
    asked = [one.request for one, _ in found]
    answers = [answer for _, answer in found]
    drawn_by = [request.sampling for request in asked]
    columns: dict[str, Sequence[Any]] = {
        text: [answer.text for answer in answers],
        "k": [one.k for one, _ in found],
        "sample_seed": [request.seed for request in asked],
        "model": [model] * len(asked),
        "temperature": [sampling.temperature for sampling in drawn_by],
        "top_p": [sampling.top_p for sampling in drawn_by],
        "max_tokens": [sampling.max_tokens for sampling in drawn_by],
        "finish_reason": [answer.finish_reason for answer in answers],
        "prompt_tokens": [answer.prompt_tokens for answer in answers],
        "completion_tokens": [answer.completion_tokens for answer in answers],
        "origin": [origin] * len(asked),
    }
    schema = {text: pl.String, **ATTRIBUTES}
    if logprobs:
        columns["logprob"] = [answer.logprob for answer in answers]
        schema["logprob"] = pl.Float64
    rows = pl.DataFrame(columns, schema=schema)
    if logprobs:
        n = pl.col("completion_tokens")
        rows = rows.with_columns(mean_logprob=pl.when(n > 0).then(pl.col("logprob") / n))
    parents = pl.Series("parent_ids", [one.row_id for one, _ in found], dtype=pl.String)
    return rows.with_columns(parents.reshape((-1, 1)).arr.to_list()).select(
        "parent_ids", pl.exclude("parent_ids")
    )
