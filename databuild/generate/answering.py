"""What all steps that ask a model share: their options, their requests, and the rows they make.

A step makes a list of `Wanted`, asks for all of them at once (`answers_to`), and turns the texts
into rows. Every answer's row says how it was drawn (`ATTRIBUTES`); a request without a usable
answer becomes a row of `failed`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import polars as pl

from databuild.models.protocol import Answer, Message, Request, Sampling
from databuild.models.structure import as_schema_text, broken_form
from databuild.recipe.options import ModelRef, Names, Paths, StepConfig
from databuild.schema.identity import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


class Ask(Protocol):
    """Answers requests, by id; answers that the journal holds are not asked for again."""

    def __call__(self, requests: Sequence[Request]) -> Mapping[str, Answer]:
        """Give one answer per request, by the request's id."""
        ...


class SamplingConfig(StepConfig):
    """The options of a step that asks a model."""

    model: ModelRef
    """The model that answers."""
    temperature: float = Sampling.model_fields["temperature"].default
    """0 takes the likeliest token every time (greedy)."""
    top_p: float = Sampling.model_fields["top_p"].default
    """Nucleus mass. Anything below 1 costs about half of vLLM's speed on a CPU."""
    max_tokens: int = Sampling.model_fields["max_tokens"].default
    """Longest answer, in tokens."""
    stop: Names = ()
    """Texts that end an answer and are not part of it."""
    top_k: int = Sampling.model_fields["top_k"].default
    """Only the so many likeliest tokens may be drawn; 0 is all of them."""
    min_p: float = Sampling.model_fields["min_p"].default
    """Only tokens with at least this share of the likeliest one's probability may be drawn."""
    presence_penalty: float = Sampling.model_fields["presence_penalty"].default
    """From -2 to 2: taken off the score of every token that the answer has already."""
    frequency_penalty: float = Sampling.model_fields["frequency_penalty"].default
    """From -2 to 2: taken off a token's score as often as the answer has it already."""
    repetition_penalty: float = Sampling.model_fields["repetition_penalty"].default
    """Divides the score of tokens that the prompt or the answer has; above 1 repeats less."""

    def model_post_init(self, _context: object) -> None:
        """Check the sampling against its ranges."""
        self.sampling()

    def sampling(self) -> Sampling:
        """The sampling parameters."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=self.stop,
            top_k=self.top_k,
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=self.repetition_penalty,
        )


class FormedConfig(SamplingConfig):
    """The options of a step that passes answers on as they are, in a form of the user's choice."""

    logprobs: bool = False
    """Whether to keep the answer's log-probability: `logprob` is the sum over its tokens (natural
    logarithm, the model's own before temperature, penalties and form), `mean_logprob` that by
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


class PromptedConfig(SamplingConfig):
    """The options of a step that asks with prompts of its own."""

    prompts: Paths = ()
    """Files of your own prompts, or a folder of them, relative to the recipe. Each is named after
    the one that it replaces: `<prompt>.en.md`, `<prompt>.zh.md`, or `<prompt>.md` for both
    languages. Their content is part of the step's key, as that of the shipped ones is."""
    language: Literal["auto", "en", "zh"] = "auto"
    """The language to ask in. `auto` asks in Chinese where at least three in ten letters of the row
    are Han characters and none is Kana, else in English."""


@dataclass(frozen=True)
class Wanted:
    """One answer that is wanted for a row."""

    row_id: str
    k: int
    request: Request
    about: Any = None
    """Whatever the step must know again when the answer comes."""


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


def want(
    row_id: str,
    k: int,
    messages: tuple[Message, ...],
    sampling: Sampling,
    seed: int,
    *,
    stage: str = "",
    about: Any = None,
) -> Wanted:
    """A request for the k-th answer to a row.

    Its seed is derived from (seed, row, stage, k), so it depends neither on the batch nor on
    another row; a greedy one has seed 0, so that whoever asks the same again finds the answer.

    Args:
        row_id: The row that the answer is for.
        k: Which of its answers.
        messages: What is asked.
        sampling: How it is drawn.
        seed: The step's seed.
        stage: Which question, where a step asks several of one row.
        about: Given back with the answer.
    """
    if stage:
        name = f"{row_id}-{stage}-{k}"
        draw = derive_seed(seed, row_id, stage, k) if sampling.temperature else 0
    else:
        name = f"{row_id}-{k}"
        draw = derive_seed(seed, row_id, k) if sampling.temperature else 0
    return Wanted(row_id, k, Request(name, messages, sampling, draw), about)


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
        if answer is None:
            failures.add(one.row_id, one.k, "the model gave no answer", retry=True)
        elif answer.text is None:
            # A refusal would come back the same; another error may pass.
            error = answer.error or answer.finish_reason
            failures.add(one.row_id, one.k, error, retry=answer.finish_reason == "error")
        elif has_form and (broken := broken_form(one.request.sampling, answer)):
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


def asked_in(language: str, columns: Iterable[str]) -> pl.Expr:
    """The language to ask a row in, `en` or `zh`: see `PromptedConfig.language`.

    Example:
        >>> rows = pl.DataFrame({"t": ["Why?", "为什么?", "なぜ空は青い", None]})
        >>> rows.select(asked_in("auto", ["t"]))["language"].to_list()
        ['en', 'zh', 'en', 'en']
    """
    if language != "auto":
        return pl.lit(language).alias("language")
    text = pl.concat_str([pl.col(c) for c in columns], separator="\n", ignore_nulls=True)
    han, letters = text.str.count_matches(r"\p{Han}"), text.str.count_matches(r"\p{L}")
    is_kana = text.str.contains(r"[\p{Hiragana}\p{Katakana}]")
    is_chinese = (han > 0) & (han >= 0.3 * letters) & ~is_kana
    return pl.when(is_chinese).then(pl.lit("zh")).otherwise(pl.lit("en")).alias("language")
