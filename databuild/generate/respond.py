"""generate.respond: k answers to every prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, cast

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Produced, step
from databuild.models.protocol import Answer, Message, Request, Sampling
from databuild.recipe.options import Column, ModelRef, Names, StepConfig
from databuild.schema.identity import derive_seed
from databuild.text.conversations import has_conversations, turns_to_last_user

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ATTRIBUTES: Mapping[str, Any] = {
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
_ROWS: dict[str, Any] = {"parent_ids": pl.List(pl.String), "response": pl.String, **_ATTRIBUTES}
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


class RespondConfig(StepConfig):
    """Options of `generate.respond`."""

    model: ModelRef
    """The model that answers."""
    prompt: Column = "prompt"
    """What is asked: a text, or messages (a list of `{role, content}`)."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Where it is
    not null it is asked instead of the prompt, up to its last user turn, and ends with the answer
    afterwards."""
    system: str | None = None
    """A system prompt that goes before every prompt, and every conversation that has none."""
    k: int = Field(default=1, ge=1)
    """Answers per prompt."""
    temperature: float = Sampling.model_fields["temperature"].default
    """0 takes the likeliest token every time (greedy); then `k` must be 1."""
    top_p: float = Sampling.model_fields["top_p"].default
    """Nucleus mass. Anything below 1 costs about half of vLLM's speed on a CPU."""
    max_tokens: int = Sampling.model_fields["max_tokens"].default
    """Longest answer, in tokens."""
    stop: Names = ()
    """Texts that end an answer and are not part of it."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.temperature == 0 and self.k > 1:
            msg = f"temperature 0 gives the same answer {self.k} times: raise it, or set k to 1"
            raise ValueError(msg)
        self.sampling()
        return self

    def sampling(self) -> Sampling:
        """The sampling parameters, checked against their ranges."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=self.stop,
        )


@step(
    "generate.respond",
    kind="produce",
    sees="row",
    version=1,
    also=lambda config: () if config.messages is None else (config.messages,),
    adds=("response", *_ATTRIBUTES),
    attributes=tuple(_ATTRIBUTES),
    carries=True,
)
def sample_answers(
    rows: pl.DataFrame,
    config: RespondConfig,
    *,
    generator: Ask,
    seed: int,
    models: Mapping[str, str],
) -> Produced:
    """Ask the model `k` times for an answer to every prompt.

    The seed of a draw is derived from (seed, row_id, k), so it does not depend on the batch.

    Args:
        rows: n rows with `row_id` and `config.prompt`.
        config: See `RespondConfig`.
        generator: Answers requests.
        seed: The step's seed.
        models: The identity of the model, under "model".

    Returns:
        n * k answers, fewer those in `failed` (with `k`, `error` and `retry`). An answer has one
        parent, `response`, in a table of conversations `messages`, and attributes that say how it
        was drawn; `origin` is "sampled". An answer that was cut at `max_tokens` is an answer, with
        finish reason "length". A prompt that is null or blank fails once and is not tried again.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Hi"]})
        >>> def ask(requests):
        ...     return {r.id: Answer(r.id, r.messages[-1].content + "!", "stop") for r in requests}
        >>> config = RespondConfig(model="start", k=2)
        >>> made = sample_answers(rows, config, generator=ask, seed=7, models={"model": "tiny@1"})
        >>> made.rows.select("response", "k").rows()
        [('Hi!', 0), ('Hi!', 1)]
    """
    wanted, failed = _requests(rows, config, seed)
    answers = generator([request for _, _, request in wanted])
    made = []
    for row_id, k, request in wanted:
        answer = answers.get(request.id)
        if answer is None:
            failed.append(([row_id], k, "the model gave no answer", True))
        elif answer.text is None:
            failed.append(([row_id], k, *_fault(answer)))
        else:
            made.append(_row(row_id, k, request, answer, models["model"]))
    return Produced(
        rows=_with_turns(pl.DataFrame(made, schema=_ROWS, orient="row"), rows, config),
        failed=pl.DataFrame(failed, schema=_FAILED, orient="row"),
    )


def _requests(
    rows: pl.DataFrame, config: RespondConfig, seed: int
) -> tuple[list[tuple[str, int, Request]], list[tuple[list[str], int | None, str, bool]]]:
    """The requests with their row and k, and the prompts that cannot be asked, as failed rows."""
    wanted: list[tuple[str, int, Request]] = []
    failed: list[tuple[list[str], int | None, str, bool]] = []
    sampling = config.sampling()
    turns = _turns(rows, config.messages)
    for row_id, prompt, talk in rows.select("row_id", pl.col(config.prompt), turns).iter_rows():
        try:
            has_own = bool(talk) and talk[0]["role"] == "system"
            system = None if has_own else config.system
            messages = _messages(prompt if talk is None else talk, system)
        except ValueError as error:
            failed.append(([row_id], None, str(error), False))
            continue
        for k in range(config.k):
            # Greedy answers depend on no seed: with one for all, a later exam finds them again.
            draw = derive_seed(seed, row_id, k) if config.temperature else 0
            request = Request(f"{row_id}-{k}", messages, sampling, draw)
            wanted.append((row_id, k, request))
    return wanted, failed


def _turns(rows: pl.DataFrame, messages: str | None) -> pl.Expr:
    """What is asked of each conversation, null where the row is none."""
    if messages is None or not has_conversations(rows, messages):
        return pl.lit(None).alias("turns")
    return turns_to_last_user(messages).alias("turns")


def _with_turns(made: pl.DataFrame, rows: pl.DataFrame, config: RespondConfig) -> pl.DataFrame:
    """Let the conversations of the answers end with them."""
    if config.messages is None or not has_conversations(rows, config.messages):
        return made
    asked = rows.select(pl.col("row_id").alias("asked"), _turns(rows, config.messages))
    known: Any = rows.schema[config.messages]
    said = {"role": pl.lit("assistant"), "content": pl.col("response")}
    turn = pl.struct(
        said.get(field.name, pl.lit(None)).cast(field.dtype).alias(field.name)
        for field in known.inner.fields
    )
    talk = pl.when(pl.col("turns").is_not_null()).then(pl.concat_list("turns", turn))
    return (
        made.with_columns(asked=pl.col("parent_ids").list.first())
        .join(asked, on="asked", how="left", maintain_order="left")
        .with_columns(talk.alias(config.messages))
        .drop("asked", "turns")
    )


def _fault(answer: Answer) -> tuple[str, bool]:
    """What went wrong, and whether another try may end better: a refusal comes back the same."""
    return answer.error or answer.finish_reason, answer.finish_reason == "error"


def _messages(prompt: str | list[dict[str, Any]] | None, system: str | None) -> tuple[Message, ...]:
    head = (Message("system", system),) if system is not None else ()
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt or []
    if not any((turn["content"] or "").strip() for turn in turns):
        msg = "the prompt is empty"
        raise ValueError(msg)
    unknown = [
        turn["role"] for turn in turns if turn["role"] not in {"system", "user", "assistant"}
    ]
    if unknown:
        msg = f"unknown role {unknown[0]!r} in the prompt"
        raise ValueError(msg)
    if any(turn.get("tool_calls") for turn in turns):
        msg = "the prompt has calls of tools, which cannot be asked"
        raise ValueError(msg)
    return (*head, *(Message(cast("Any", turn["role"]), turn["content"] or "") for turn in turns))


def _row(row_id: str, k: int, request: Request, answer: Answer, model: str) -> tuple[Any, ...]:
    sampling = request.sampling
    return (
        [row_id], answer.text, k, request.seed, model, sampling.temperature, sampling.top_p,
        sampling.max_tokens, answer.finish_reason, answer.prompt_tokens, answer.completion_tokens,
        "sampled",
    )  # fmt: skip
