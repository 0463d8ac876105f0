"""reward.model: the reward of a trained reward model for every answer, or for every step of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Streamed, step
from databuild.models.scorer import Reading, Reward
from databuild.recipe.options import Column, ModelRef, StepConfig
from databuild.text.conversations import has_conversations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databuild.engine.parts import Parts
    from databuild.models.scorer import Scoring

NAMED = 20
"""Rows that were cut, or have no score, that the facts name."""


class RewardModelConfig(StepConfig):
    """Options of `reward.model`."""

    model: ModelRef
    """A sequence-classification model (a folder, or a `train.reward` step), or a process reward
    model (token classification)."""
    name: str = Field(default="model", pattern=r"^[A-Za-z]\w*$")
    """The new columns begin with it; two reward models in one recipe need two names."""
    prompt: Column = "prompt"
    """What was asked."""
    response: Column = "response"
    """The answer to score."""
    messages: str | None = "messages"
    """The column of whole conversations, where the rows have one: where it is not null it is
    scored, and its last turn is the answer. Null (`~`) leaves it out."""
    max_length: int = Field(default=1024, ge=8)
    """Longest conversation in tokens; of a longer one the beginning is not read."""
    batch_tokens: int = Field(default=8192, ge=8)
    """Tokens that are read at once, padding included; changes no score."""
    label: int | None = Field(default=None, ge=0)
    """Of a model with several labels the one whose log odds, log(p / (1 - p)), are the score."""
    steps: str | None = Field(default=None, min_length=1)
    r"""What separates the steps of an answer, such as `"\n"`: every step gets a score of its own.
    Null scores the answer as a whole."""
    step_mark: str | None = Field(default=None, min_length=1)
    """What the model was trained to judge a step at, such as `<extra_0>`, put behind every step;
    null is the separator itself."""
    step_score: Literal["min", "last", "product", "mean"] = "min"
    """How the scores of the steps become the score of the answer."""

    @model_validator(mode="after")
    def _steps_alone(self) -> Self:
        if self.step_mark is not None and self.steps is None:
            msg = "step_mark needs steps, which says what separates them"
            raise ValueError(msg)
        return self

    @property
    def reading(self) -> Reading:
        """How the model is to read."""
        return Reading(
            self.max_length, self.label, self.steps, self.step_mark, self.batch_tokens
        )  # fmt: skip


def _added(config: RewardModelConfig) -> tuple[str, ...]:
    facts = ("score", "n_tokens", "is_cut", *(() if config.steps is None else ("steps",)))
    return tuple(f"{config.name}_{fact}" for fact in facts)


@step(
    "reward.model",
    kind="measure",
    sees="parts",
    version=1,
    also=lambda config: () if config.messages is None else (config.messages, "tools"),
    adds=_added,
)
def measure_reward(rows: Parts, config: RewardModelConfig, *, scorer: Scoring) -> Streamed:
    """Score every answer with a trained reward model; equal answers to equal prompts once.

    A conversation is rendered by the tokenizer's chat template as in training; without one an
    encoder reads prompt and answer as a pair, a decoder in a row. With one label the score is the
    logit: any number, higher is better, comparable among answers to one prompt (Ouyang et al. 2022,
    section 3.5). With `steps` each step's score is the probability 0 to 1 that it is good (Lightman
    et al. 2023), and the answer's their minimum, last, product or mean.

    Args:
        rows: n rows with `row_id` and the columns that `config` names.
        config: See `RewardModelConfig`.
        scorer: Reads conversations with the model that `model` names.

    Returns:
        n rows with `row_id` and, with `<n>` for `name`: `<n>_score`; `<n>_n_tokens`, what was read;
        `<n>_is_cut`, whether the conversation was longer; with `steps` `<n>_steps: list[f64]`. All
        are null, with an error, where there is no prompt or answer, where the conversation ends in
        another answer, and where the reward is not a finite number. Facts: `scored`, `unscored`,
        `cut` and the ids of the first 20 of the last two, and the scores' mean and deviation.

    Raises:
        ServiceError: The model has no reward head, several labels, another model's tokenizer, or
            cannot be loaded.
    """
    facts: dict[str, Any] = {"scored": 0, "unscored": 0, "cut": 0}
    return Streamed(_frames(rows, config, scorer, facts), facts)


def _frames(
    rows: Parts, config: RewardModelConfig, scorer: Scoring, facts: dict[str, Any]
) -> Iterator[pl.DataFrame]:
    scorer.total(rows.n_rows)
    also = () if config.messages is None else (config.messages, "tools")
    wanted = (config.prompt, config.response, *(name for name in also if name in rows.columns))
    sums = [0.0, 0.0]
    for index in range(rows.n_parts):
        asked = _talks(rows.part(index, *dict.fromkeys(wanted)), config)
        able = asked.filter(pl.col("error").is_null())
        rewards = scorer(able["talk"].to_list(), config.reading)
        measured = asked.select("row_id", fault="error").join(
            _table(able["row_id"], rewards), on="row_id", how="left", maintain_order="left"
        )
        frame = measured.with_columns(
            score=_score(config), error=pl.coalesce("fault", "error")
        ).drop("fault")
        _count(frame, facts, sums)
        columns = {fact: f"{config.name}_{fact}" for fact in ("score", "n_tokens", "is_cut")}
        named = frame.rename({**columns, "steps": f"{config.name}_steps"})
        yield named.select("row_id", *_added(config), "error")


def _talks(rows: pl.DataFrame, config: RewardModelConfig) -> pl.DataFrame:
    """`row_id` and `talk`, what is scored as JSON, or the `error` why nothing can be."""
    prompt, response = pl.col(config.prompt), pl.col(config.response)
    tools = pl.col("tools") if "tools" in rows.columns else pl.lit(None, dtype=pl.String)
    turns = [
        pl.struct(role=pl.lit(role), content=text)
        for role, text in (("user", prompt), ("assistant", response))
    ]
    plain = pl.struct(turns=pl.concat_list(turns), tools=tools).struct.json_encode()
    blank = ~response.fill_null("").str.contains(r"\S")
    error = (
        pl.when(~prompt.fill_null("").str.contains(r"\S"))
        .then(pl.lit("there is no prompt"))
        .when(blank)
        .then(pl.lit("there is no answer"))
    )
    if not has_conversations(rows, config.messages):
        return rows.select("row_id", talk=plain, error=error)
    messages = pl.col(str(config.messages))
    last = messages.list.last()
    said = last.struct.field("content").fill_null("").str.strip_chars()
    is_talk = messages.list.len().fill_null(0) > 0
    told = (
        pl.when(last.struct.field("role") != "assistant")
        .then(pl.format("the conversation ends with a turn of {}", last.struct.field("role")))
        .when((said != "") & ~said.str.ends_with(response.fill_null("").str.strip_chars()))
        .then(pl.lit(f"{config.response} is not what the conversation ends with"))
        .when((said == "") & blank)
        .then(pl.lit("there is no answer"))
    )
    whole = pl.struct(turns=messages, tools=tools).struct.json_encode()
    return rows.select(
        "row_id",
        talk=pl.when(is_talk).then(whole).otherwise(plain),
        error=pl.when(is_talk).then(told).otherwise(error),
    )


def _table(ids: pl.Series, rewards: list[Reward]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row_id": ids,
            "whole": pl.Series([one.score for one in rewards], dtype=pl.Float64),
            "n_tokens": pl.Series([one.n_tokens for one in rewards], dtype=pl.Int64),
            "is_cut": pl.Series([one.is_cut for one in rewards], dtype=pl.Boolean),
            "steps": pl.Series([one.steps for one in rewards], dtype=pl.List(pl.Float64)),
            "error": pl.Series([one.error for one in rewards], dtype=pl.String),
        }
    ).with_columns(
        pl.when(pl.col("error").is_null()).then(pl.col(name)).alias(name)
        for name in ("n_tokens", "is_cut")
    )


def _score(config: RewardModelConfig) -> pl.Expr:
    if config.steps is None:
        return pl.col("whole")
    steps = pl.col("steps").list
    ways = {
        "min": steps.min(),
        "last": steps.last(),
        "mean": steps.mean(),
        "product": steps.eval(pl.element().product()).list.first(),
    }
    return ways[config.step_score]


def _count(frame: pl.DataFrame, facts: dict[str, Any], sums: list[float]) -> None:
    """Add one part to the facts."""
    scores = frame["score"].drop_nulls()
    lost = frame.filter(pl.col("error").is_not_null())
    cut = frame.filter("is_cut")
    facts["scored"] += len(scores)
    facts["unscored"] += lost.height
    facts["cut"] += cut.height
    for name, held in (("unscored_rows", lost), ("cut_rows", cut)):
        named = [*facts.get(name, ()), *held["row_id"].sort().to_list()]
        if named:
            facts[name] = sorted(named)[:NAMED]
    sums[0] += float(scores.sum())
    sums[1] += float((scores**2).sum())
    n = facts["scored"]
    if n:
        mean = sums[0] / n
        facts["score_mean"] = round(mean, 6)
        facts["score_sd"] = round(max(sums[1] / n - mean**2, 0.0) ** 0.5, 6)
