"""generate.respond: k answers to every prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Produced, step
from databuild.generate.answering import (
    ATTRIBUTES,
    LOGPROBS,
    Ask,
    Failures,
    FormedConfig,
    Wanted,
    answers_to,
    rows_of,
    want,
)
from databuild.models.protocol import Message
from databuild.recipe.options import Column
from databuild.text.conversations import has_conversations, turns_to_last_user

if TYPE_CHECKING:
    from collections.abc import Mapping


class RespondConfig(FormedConfig):
    """Options of `generate.respond`."""

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

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.temperature == 0 and self.k > 1:
            msg = f"temperature 0 gives the same answer {self.k} times: raise it, or set k to 1"
            raise ValueError(msg)
        return self


def _attributes(config: RespondConfig) -> dict[str, Any]:
    return {**ATTRIBUTES, **(LOGPROBS if config.logprobs else {})}


@step(
    "generate.respond",
    kind="produce",
    sees="row",
    version=1,
    also=lambda config: () if config.messages is None else (config.messages,),
    adds=lambda config: ("response", *_attributes(config)),
    attributes=(*ATTRIBUTES, *LOGPROBS),
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
        >>> from databuild.models.protocol import Answer
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Hi"]})
        >>> def ask(requests):
        ...     return {r.id: Answer(r.id, r.messages[-1].content + "!", "stop") for r in requests}
        >>> config = RespondConfig(model="start", k=2)
        >>> made = sample_answers(rows, config, generator=ask, seed=7, models={"model": "tiny@1"})
        >>> made.rows.select("response", "k").rows()
        [('Hi!', 0), ('Hi!', 1)]
    """
    failures = Failures()
    wanted = _wanted(rows, config, seed, failures)
    found = answers_to(wanted, generator, failures)
    made = rows_of(found, models["model"], "sampled", logprobs=config.logprobs)
    return Produced(rows=_with_turns(made, rows, config), failed=failures.frame())


def _wanted(
    rows: pl.DataFrame, config: RespondConfig, seed: int, failures: Failures
) -> list[Wanted]:
    """The k requests of every row; a prompt that cannot be asked is a failure."""
    wanted: list[Wanted] = []
    sampling = config.sampling()
    turns = _turns(rows, config.messages)
    for row_id, prompt, talk in rows.select("row_id", pl.col(config.prompt), turns).iter_rows():
        try:
            has_own = bool(talk) and talk[0]["role"] == "system"
            system = None if has_own else config.system
            messages = _messages(prompt if talk is None else talk, system)
        except ValueError as error:
            failures.add(row_id, None, str(error), retry=False)
            continue
        wanted += (want(row_id, k, messages, sampling, seed) for k in range(config.k))
    return wanted


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
