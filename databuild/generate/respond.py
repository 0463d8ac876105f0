"""generate.respond: k answers to every prompt."""

from __future__ import annotations

from dataclasses import dataclass
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
)
from databuild.generate.draws import WantedDraws, rows_drawn, want_draws
from databuild.models.protocol import Message
from databuild.recipe.options import Column, ModelNames, ModelRef
from databuild.schema.identity import derive_seed
from databuild.text.conversations import has_conversations, turns_to_last_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CHOSEN: Mapping[str, Any] = {"model_name": pl.String, "system_variant": pl.Int64}


class RespondConfig(FormedConfig):
    """Options of `generate.respond`."""

    model: ModelRef | None = None  # type: ignore[assignment]
    """The model that answers. With `route`, the one for rows that no other is named for."""
    models: ModelNames = Field(default_factory=dict)
    """Several models, one after another: each gives `k` answers to every prompt. A list of models,
    or models by names of your choice; the column `model_name` says which one answered."""
    route: Column | None = None
    """A column that says which of `models` answers a row, by name: the best for each capability."""
    prompt: Column = "prompt"
    """What is asked: a text, or messages (a list of `{role, content}`)."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. Where it is
    not null it is asked instead of the prompt, up to its last user turn, and ends with the answer
    afterwards."""
    system: str | tuple[str, ...] | None = None
    """A system prompt that goes before every prompt, and every conversation that has none. Of a
    list each row gets one, drawn by its id; the column `system_variant` says which, from 0."""
    each_system: bool = False
    """Every row is asked with every system prompt of the list, `k` times each."""
    k: int = Field(default=1, ge=1)
    """Answers per prompt."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.temperature == 0 and self.k > 1:
            msg = f"temperature 0 gives the same answer {self.k} times: raise it, or set k to 1"
            raise ValueError(msg)
        if self.each_system and not isinstance(self.system, tuple):
            msg = "each_system needs a list of system prompts"
            raise ValueError(msg)
        if self.system == ():
            msg = "the list of system prompts is empty: fill it, or leave `system` out"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _answered(self) -> Self:
        if self.route is not None and not self.models:
            msg = "route needs `models`, by what stands in the column"
        elif self.model is None and not self.models:
            msg = "name the `model` that answers, or several under `models`"
        elif self.model is not None and self.models and self.route is None:
            msg = "set either `model` or `models`; both together need a `route`"
        else:
            return self
        raise ValueError(msg)


def _chosen(config: RespondConfig) -> tuple[str, ...]:
    """The attributes that say what was chosen for a row, where there was a choice."""
    has_variants = isinstance(config.system, tuple)
    there = {"model_name": bool(config.models), "system_variant": has_variants}
    return tuple(name for name in _CHOSEN if there[name])


def _attributes(config: RespondConfig) -> dict[str, Any]:
    return {**ATTRIBUTES, **(LOGPROBS if config.logprobs else {})}


@step(
    "generate.respond",
    kind="produce",
    sees="row",
    version=1,
    also=lambda config: () if config.messages is None else (config.messages,),
    adds=lambda config: ("response", *_attributes(config), *_chosen(config)),
    attributes=(*ATTRIBUTES, *LOGPROBS, *_CHOSEN),
    carries=True,
)
def sample_answers(
    rows: pl.DataFrame,
    config: RespondConfig,
    *,
    generator: Ask,
    seed: int,
    models: Mapping[str, str],
    generators: Mapping[str, Ask] | None = None,
) -> Produced:
    """Ask a model, or several, `k` times for an answer to every prompt.

    The seed of a draw is derived from (seed, row_id, k), so it does not depend on the batch; where
    a row is asked several times k, by several models or with several system prompts, from their
    names as well. Models are asked one after another. With `route`, a row is asked by the model of
    `models` that its cell names, else by `model`, and is a failure where there is none.

    Args:
        rows: n rows with `row_id` and `config.prompt`.
        config: See `RespondConfig`.
        generator: Answers requests.
        seed: The step's seed.
        models: The identity of the model under "model", of several under "models.<name>".
        generators: Answers requests, by model as in `models`; without it `generator` asks `model`.

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
    wanted = list(_wanted(rows, config, seed, failures))
    asking = {"model": generator} | dict(generators or {})
    made = []
    for option in models:
        mine = [one for one in wanted if one.about.option == option]
        lost = Failures()
        made.append(_rows(mine, asking[option], models[option], config, lost))
        name = _About(option).name
        for parents, k, error, retry in lost.rows:
            said = error if name is None else f"{error} (model {name})"
            failures.add(parents, k, said, retry=retry)
    return Produced(rows=_with_turns(pl.concat(made), rows, config), failed=failures.frame())


@dataclass(frozen=True)
class _About:
    """Which model is asked, and with which system prompt."""

    option: str
    variant: int | None = None

    @property
    def name(self) -> str | None:
        """The name under `models`."""
        return self.option.partition(".")[2] or None


def _rows(
    mine: Sequence[WantedDraws], ask: Ask, model: str, config: RespondConfig, failures: Failures
) -> pl.DataFrame:
    """What one model answers, with what was chosen for each row."""
    made = rows_drawn(mine, ask, model, "sampled", failures, logprobs=config.logprobs)
    chosen = {
        "model_name": [one.about.name for one in mine],
        "system_variant": [one.about.variant for one in mine],
    }
    return made.with_columns(
        pl.Series(name, chosen[name], dtype=_CHOSEN[name])[made["draw"]].alias(name)
        for name in _chosen(config)
    ).drop("draw")


def _wanted(
    rows: pl.DataFrame, config: RespondConfig, seed: int, failures: Failures
) -> Iterator[WantedDraws]:
    """The requests of every row; a prompt that cannot be asked is a failure."""
    sampling = config.sampling()
    turns = _turns(rows, config.messages)
    cell = pl.lit(None, pl.String) if config.route is None else pl.col(config.route)
    asked = rows.select("row_id", pl.col(config.prompt), turns, cell.cast(pl.String).alias("route"))
    for row_id, prompt, talk, route in asked.iter_rows():
        try:
            options = _options(config, route)
            has_own = bool(talk) and talk[0]["role"] == "system"
            heads = [(None, None)] if has_own else _heads(config, seed, row_id)
            said = {
                variant: _messages(prompt if talk is None else talk, system)
                for variant, system in heads
            }
        except ValueError as error:
            failures.add(row_id, None, str(error), retry=False)
            continue
        for option in options:
            for variant, messages in said.items():
                about = _About(option, variant)
                stage = "-".join(_stage(config, about))
                yield want_draws(
                    row_id, config.k, messages, sampling, seed, stage=stage, about=about
                )


def _options(config: RespondConfig, route: str | None) -> list[str]:
    """The models that a row is asked of."""
    if config.route is None:
        return [f"models.{name}" for name in config.models] or ["model"]
    if route in config.models:
        return [f"models.{route}"]
    if config.model is None:
        msg = f"no model for this {config.route}: {route!r}"
        raise ValueError(msg)
    return ["model"]


def _heads(config: RespondConfig, seed: int, row_id: str) -> list[tuple[int | None, str | None]]:
    """The system prompts that a row is asked with, and their numbers."""
    if not isinstance(config.system, tuple):
        return [(None, config.system)]
    if config.each_system:
        return list(enumerate(config.system))
    place = derive_seed(seed, row_id, "system") % len(config.system)
    return [(place, config.system[place])]


def _stage(config: RespondConfig, about: _About) -> Iterator[str]:
    """What tells apart the requests of a row that are asked more than k times."""
    if config.route is None and about.name is not None:
        yield about.name
    if config.each_system and about.variant is not None:
        yield f"system{about.variant}"


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
