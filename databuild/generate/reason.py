"""generate.reason: rationales that reach the right answer, or one that most of them agree on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Produced, step
from databuild.generate.answering import (
    ATTRIBUTES,
    Ask,
    Failures,
    PromptedConfig,
    asked_in,
    drawn,
)
from databuild.generate.reason_asking import Asking, Question, Try
from databuild.generate.reason_reading import leak
from databuild.generate.reason_search import SearchConfig
from databuild.models.templates import Prompts
from databuild.recipe.options import Column, ModelRef
from databuild.schema.rows import MESSAGES
from databuild.text.conversations import has_conversations
from databuild.text.final_answers import Value, agree, majority, read_value
from databuild.text.formats.turns import with_reasoning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from databuild.models.scorer import Scoring

_PROMPTS = Prompts(
    Path(__file__).parent / "prompts" / "reason",
    {
        "solve": ("question",),
        "hinted": ("question", "answer"),
        "step": ("question", "steps"),
        "value": ("question", "steps"),
        "vote": ("question", "choices"),
    },
)
_ABOUT: Mapping[str, Any] = {
    "reached": pl.Boolean,
    "hinted": pl.Boolean,
    "agreement": pl.Float64,
    "answer_found": pl.String,
    "prompt_name": pl.String,
    "prompt_digest": pl.String,
}
_SEARCHED: Mapping[str, Any] = {"search_score": pl.Float64, "n_steps": pl.Int64}
_OWN: Mapping[str, Any] = {"response": pl.String, "reasoning": pl.String, "messages": MESSAGES}
_UNTOLD = {"tool_calls": None, "tool_call_id": None, "name": None}


class ReasonConfig(PromptedConfig):
    """Options of `generate.reason`."""

    temperature: float = 0.7
    """0 takes the likeliest token every time (greedy), and only then may k be 1."""
    max_tokens: int = 512
    """Longest answer, reasons and all, in tokens. One that is cut is a failure."""
    question: Column = "prompt"
    """What is asked: a text."""
    answer: Column | None = None
    """The right answer: a number (with or without a unit), a choice (A to H), or a short text. With
    it, rationales count that reach it; without it, those of the answer that most agree on."""
    k: int = Field(default=4, ge=1)
    """Rationales per question."""
    hint: bool = True
    """Whether a question for which none of the k reached the right answer is asked once more, k
    times, with the answer beside it (STaR's rationalisation). Only with `answer`."""
    keep: Literal["reached", "all"] = "reached"
    """`reached`: an answer that is wrong, or not that of the majority, is a failure. `all`: it is a
    row whose `reached` is false, as preference pairs and process rewards need. What cannot be read
    is a failure in any case."""
    min_agreement: float = Field(default=0.5, gt=0, le=1)
    """Without `answer`: the smallest share of the k answers that must agree."""
    search: SearchConfig | None = None
    """Search for one solution step by step, with these options, in place of drawing k whole ones:
    `{width: 2, branch: 3, depth: 6, score: model}`. `max_tokens` is then that of a step. Of the
    solutions that reach an answer the one with the best score counts, with `keep: all` each of
    them; without `answer` what the best one says is taken for right. A row's tokens are those of
    its question's whole search, and it has `search_score` and `n_steps`; a question for which no
    solution is found fails once."""
    scorer: ModelRef | None = None
    """The reward model that leads the search where its `score` is `reward`: a model of the recipe
    with a reward head (see `reward.model`), such as that of a `train.reward` step. On a CPU it
    stays beside the model that answers, and both need memory. On a GPU one of them is there at a
    time: each level of the search starts the one and then the other once for up to `shard_rows`
    questions, so a search of `depth` 6 has up to 12 starts."""

    @model_validator(mode="after")
    def _led(self) -> Self:
        by_reward = self.search is not None and self.search.score == "reward"
        if by_reward and self.scorer is None:
            msg = "a search with score reward needs a reward model: name it with `scorer`"
            raise ValueError(msg)
        if self.scorer is not None and not by_reward:
            msg = "a `scorer` is used in a search only: set `search: {score: reward}`"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        drawn, one = self.k, "k"
        if self.search is not None:
            by_reward = self.search.score == "reward"
            drawn, one = self.search.branch, "branch" if by_reward else "branch and judgements"
            drawn = drawn if by_reward else max(drawn, self.search.judgements)
        if self.temperature == 0 and drawn > 1:
            msg = f"temperature 0 gives the same answer {drawn} times: raise it, or set {one} to 1"
            raise ValueError(msg)
        if self.answer is None and self.k < 3 and self.search is None:
            msg = f"a majority of {self.k} says nothing: set k to 3 or more, or name the `answer`"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class _Verdict:
    """The answer that counts as right, and what to say of every other one."""

    right: Value | None
    wrong: str
    """With `{said}` for what was answered."""

    def is_met_by(self, one: Try) -> bool:
        return self.right is not None and agree(one.value, self.right)


def _about(config: ReasonConfig) -> Mapping[str, Any]:
    return {**_ABOUT, **(_SEARCHED if config.search else {})}


def _asked(config: ReasonConfig) -> tuple[str, ...]:
    """A question of another column becomes the prompt of its rows, as in their messages."""
    return () if config.question == "prompt" else ("prompt",)


@step(
    "generate.reason",
    kind="produce",
    sees="row",
    version=2,
    also=("messages",),
    adds=lambda config: (*_asked(config), *_OWN, *ATTRIBUTES, *_about(config)),
    attributes=(*ATTRIBUTES, *_ABOUT, *_SEARCHED),
    carries=True,
    brings=lambda config: _PROMPTS.shipped(config.prompts),
    checks=lambda config, files: _PROMPTS.check(files),  # noqa: ARG005
)
def reason_out(
    rows: pl.DataFrame,
    config: ReasonConfig,
    *,
    generator: Ask,
    seed: int,
    models: Mapping[str, str],
    files: tuple[Path, ...] = (),
    rewards: Scoring | None = None,
) -> Produced:
    """Ask for k rationales of every question; keep those that reach the right answer.

    With `answer`, after STaR (Zelikman et al. 2022, arXiv:2203.14465, section 3): a rationale whose
    answer agrees with the right one (`text.final_answers.agree`) has `reached` true. Where none of
    a question's k does, and `hint` is set, k more are asked for with the right answer beside the
    question; they are `hinted`. A hinted one that tells of its hint, or whose only number is the
    answer, is a failure. Without `answer`, self-consistency (Wang et al. 2022, arXiv:2203.11171,
    section 2): the answer that more of the k give than any other, unreadable ones counted among the
    k, is taken for right where its share, `agreement`, is at least `min_agreement`. With `search`,
    one solution is built step by step instead: see `ReasonConfig.search`.

    Args:
        rows: n rows with `row_id`, the question and any named answer. Conversations are failures.
        config: See `ReasonConfig`.
        generator: Answers requests.
        seed: The step's seed.
        models: The identity of the model, under "model".
        files: The user's own prompts.
        rewards: Scores steps with the model that `scorer` names.

    Returns:
        Rows with `response` (as it was said), `reasoning` (the rationale), both in `messages`, the
        rationale in think tags, and, where another column than `prompt` is asked, a `prompt` that
        says what was asked; one parent; and attributes: how it was drawn (`origin` is
        "reasoned"), `reached`, `hinted`, `agreement` (share of the unhinted k that agree with it),
        `answer_found` ("tags", "marker" or "last number"), `prompt_name`, `prompt_digest`. Every
        other request is in `failed` with the reason, and is tried again only where the service
        failed. Wrong answers fail too: raise `max_failure_ratio`.

    Example:
        >>> from databuild.models.protocol import Answer
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["3 + 4?"], "gold": ["7"]})
        >>> def ask(requests):
        ...     said = {0: "<think>3 + 4 = 7</think>7", 1: "<think>3 + 4 = 8</think>8"}
        ...     return {r.id: Answer(r.id, said[i], "stop") for i, r in enumerate(requests)}
        >>> config = ReasonConfig(model="start", answer="gold", k=2)
        >>> made = reason_out(rows, config, generator=ask, seed=7, models={"model": "tiny@1"})
        >>> made.rows.select("reasoning", "response", "reached", "agreement").rows()
        [('3 + 4 = 7', '7', True, 0.5)]
        >>> made.failed["error"].item()
        'wrong answer: 8, expected 7'
    """
    failures = Failures()
    questions, prompts = list(_questions(rows, config, failures)), dict(_PROMPTS.read(files))
    asking = Asking(config, prompts, generator, seed, models["model"], failures, rewards)
    schema = {"parent_ids": pl.List(pl.String), **_OWN, **ATTRIBUTES, **_about(config)}
    found = pl.DataFrame(_made(questions, asking), schema=schema)
    if _asked(config):
        found = found.with_columns(prompt=pl.col("messages").list.first().struct.field("content"))
    return Produced(rows=found, failed=failures.frame())


def _made(questions: list[Question], asking: Asking) -> list[dict[str, Any]]:
    """The rows of all questions: asked plainly, then with a hint where none was reached."""
    plain = asking.config.search is None
    tries = asking.tries(questions, "solve") if plain else asking.searched(questions)
    made: list[dict[str, Any]] = []
    unreached = []
    for question in questions:
        mine = tries[question.row_id]
        verdict = _verdict(question, mine, asking.config)
        made += _sorted_out(question, mine, verdict, asking)
        if question.value is not None and not any(map(verdict.is_met_by, mine)):
            unreached.append(question)
    if asking.config.hint and unreached:
        hinted = asking.tries(unreached, "hinted")
        for question in unreached:
            made += _with_hint(question, hinted[question.row_id], asking)
    return made


def _questions(rows: pl.DataFrame, config: ReasonConfig, failures: Failures) -> Iterator[Question]:
    """The rows that can be asked; the others are failures."""
    gold = pl.lit(None, pl.String) if config.answer is None else pl.col(config.answer)
    talks = pl.lit(value=False)
    if has_conversations(rows, "messages"):
        talks = pl.col("messages").list.len().fill_null(0) > 0
    asked = rows.select(
        "row_id", pl.col(config.question).cast(pl.String), gold.cast(pl.String).alias("gold"),
        asked_in(config.language, [config.question]), talks.alias("talks"),
    )  # fmt: skip
    for row_id, text, right, language, is_talk in asked.iter_rows():
        fault = None
        value = None if right is None else read_value(right)
        if not (text or "").strip():
            fault = "the question is empty"
        elif is_talk:
            fault = "the row is a conversation, and only plain questions are asked"
        elif config.answer is not None and value is None:
            fault = "there is no right answer"
        if fault:
            failures.add(row_id, None, fault, retry=False)
        else:
            yield Question(row_id, text, language, right or "", value)


def _verdict(question: Question, tries: list[Try], config: ReasonConfig) -> _Verdict:
    if question.value is not None:
        return _Verdict(question.value, f"wrong answer: {{said}}, expected {question.value}")
    if config.search is not None:
        best = tries[0].value if tries else None
        return _Verdict(best, f"not what the best solution says: {{said}}, it says {best}")
    unread: list[Value | None] = [None] * (config.k - len(tries))
    found = majority([*(one.value for one in tries), *unread])
    if found is None:
        return _Verdict(None, "no majority: {said} and others are equally frequent")
    value, share = found
    if share < config.min_agreement:
        few = f"agreement below {config.min_agreement:g}: {share:g} say {value}, this one {{said}}"
        return _Verdict(None, few)
    return _Verdict(value, f"not the majority: {{said}}, most say {value}")


def _sorted_out(
    question: Question, tries: list[Try], verdict: _Verdict, asking: Asking
) -> Iterator[dict[str, Any]]:
    """The rows of the unhinted answers; those that are not kept are failures."""
    for one in tries:
        has_reached = verdict.is_met_by(one)
        if one.value is None:
            fault: str | None = "no answer found"
        elif not has_reached and asking.config.keep == "reached":
            fault = verdict.wrong.replace("{said}", _short(one.value))
        else:
            fault = None
        if fault:
            asking.failures.add(question.row_id, one.wanted.k, fault, retry=False)
            continue
        same = sum(agree(one.value, other.value) for other in tries)
        share = None if one.search else same / asking.config.k
        facts = {"reached": has_reached, "hinted": False, "agreement": share}
        yield _row(one, question, asking) | facts


def _with_hint(question: Question, tries: list[Try], asking: Asking) -> Iterator[dict[str, Any]]:
    """The rows of the answers that were given with the hint."""
    assert question.value is not None
    for one in tries:
        fault = leak(one.said, question.value)
        if one.value is None:
            fault = "no answer found"
        elif not agree(one.value, question.value):
            wrong, right = _short(one.value), question.value
            fault = f"wrong answer in spite of the hint: {wrong}, expected {right}"
        if fault:
            asking.failures.add(question.row_id, one.wanted.k, fault, retry=False)
            continue
        yield _row(one, question, asking) | {"reached": True, "hinted": True, "agreement": None}


def _short(value: Value) -> str:
    return str(value)[:80]


def _row(one: Try, question: Question, asking: Asking) -> dict[str, Any]:
    template = asking.prompts[one.prompt, question.language]
    said = with_reasoning(one.said.rationale, one.said.answer)
    turns = (("user", question.text), ("assistant", said))
    return {
        "parent_ids": [question.row_id],
        "response": one.said.answer,
        "reasoning": one.said.rationale,
        "messages": [{"role": role, "content": text, **_UNTOLD} for role, text in turns],
        **drawn(one.wanted, one.answer, asking.model, "reasoned"),
        "answer_found": one.said.found,
        "prompt_name": template.name,
        "prompt_digest": template.digest,
        **(dict(zip(_SEARCHED, one.search, strict=True)) if one.search else {}),
    }
