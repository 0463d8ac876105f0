"""generate.reason: rationales that reach the right answer, or one that most of them agree on."""

from __future__ import annotations

from collections import defaultdict
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
    Wanted,
    answers_to,
    asked_in,
    drawn,
    want,
)
from databuild.generate.reason_reading import Reasoned, answer_of, leak, read_reasoning
from databuild.models.templates import Prompts
from databuild.recipe.options import Column
from databuild.schema.rows import MESSAGES
from databuild.text.conversations import has_conversations
from databuild.text.final_answers import Value, agree, majority, read_value
from databuild.text.formats.turns import with_reasoning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from databuild.models.protocol import Answer, Sampling
    from databuild.models.templates import Template

_PROMPTS = Prompts(
    Path(__file__).parent / "prompts" / "reason",
    {"solve": ("question",), "hinted": ("question", "answer")},
)
_ABOUT: Mapping[str, Any] = {
    "reached": pl.Boolean,
    "hinted": pl.Boolean,
    "agreement": pl.Float64,
    "answer_found": pl.String,
    "prompt_name": pl.String,
    "prompt_digest": pl.String,
}
_OWN: Mapping[str, Any] = {"response": pl.String, "reasoning": pl.String, "messages": MESSAGES}
_ROWS: dict[str, Any] = {"parent_ids": pl.List(pl.String), **_OWN, **ATTRIBUTES, **_ABOUT}
_UNTOLD = {"tool_calls": None, "tool_call_id": None, "name": None}
_Table = dict[tuple[str, str], "Template"]


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

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.temperature == 0 and self.k > 1:
            msg = f"temperature 0 gives the same answer {self.k} times: raise it, or set k to 1"
            raise ValueError(msg)
        if self.answer is None and self.k < 3:
            msg = f"a majority of {self.k} says nothing: set k to 3 or more, or name the `answer`"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class _Question:
    """One row: what is asked, in which language, and the right answer where it is known."""

    row_id: str
    text: str
    language: str
    gold: str
    value: Value | None


@dataclass(frozen=True)
class _Try:
    """One answer that could be read."""

    wanted: Wanted
    answer: Answer
    said: Reasoned
    value: Value | None
    prompt: str
    """Which prompt it answers: `solve` or `hinted`."""


@dataclass(frozen=True)
class _Verdict:
    """The answer that counts as right, and what to say of every other one."""

    right: Value | None
    wrong: str
    """With `{said}` for what was answered."""

    def is_met_by(self, one: _Try) -> bool:
        return self.right is not None and agree(one.value, self.right)


def _asked(config: ReasonConfig) -> tuple[str, ...]:
    """A question of another column becomes the prompt of its rows, as in their messages."""
    return () if config.question == "prompt" else ("prompt",)


@step(
    "generate.reason",
    kind="produce",
    sees="row",
    version=1,
    also=("messages",),
    adds=lambda config: (*_asked(config), *_OWN, *ATTRIBUTES, *_ABOUT),
    attributes=(*ATTRIBUTES, *_ABOUT),
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
) -> Produced:
    """Ask for k rationales of every question; keep those that reach the right answer.

    With `answer`, after STaR (Zelikman et al. 2022, arXiv:2203.14465, section 3): a rationale whose
    answer agrees with the right one (`text.final_answers.agree`) has `reached` true. Where none of
    a question's k does, and `hint` is set, k more are asked for with the right answer beside the
    question; they are `hinted`. A hinted one that tells of its hint, or whose only number is the
    answer, is a failure. Without `answer`, self-consistency (Wang et al. 2022, arXiv:2203.11171,
    section 2): the answer that more of the k give than any other, unreadable ones counted among the
    k, is taken for right where its share, `agreement`, is at least `min_agreement`.

    Args:
        rows: n rows with `row_id`, the question, and where it is named the answer. A row with a
            conversation (`messages`) is a failure: only plain questions are asked.
        config: See `ReasonConfig`.
        generator: Answers requests.
        seed: The step's seed.
        models: The identity of the model, under "model".
        files: The user's own prompts.

    Returns:
        Rows with `response` (the answer as it was said), `reasoning` (the rationale), and both in
        `messages`, the rationale in think tags; where another column than `prompt` is asked, with a
        `prompt` that says what was asked; with one parent, and attributes: how it was drawn
        (`origin` is "reasoned"), `reached`, `hinted`, `agreement` (the share of the unhinted k that
        agree with this answer), `answer_found` ("tags", "marker" or "last number": how the answer
        was known), `prompt_name`, `prompt_digest`. Every other request is in `failed` with the
        reason, and is not tried again unless the model's service failed. Wrong answers are failures
        as well, so a recipe that keeps only what is reached raises `max_failure_ratio`.

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
        >>> made.failed["error"].to_list()
        ['wrong answer: 8, expected 7']
    """
    failures = Failures()
    questions = list(_questions(rows, config, failures))
    prompts = dict(_PROMPTS.read(files))
    asking = _Asking(config, prompts, generator, seed, models["model"], failures)
    found = pl.DataFrame(_made(questions, asking), schema=_ROWS)
    if _asked(config):
        turn = pl.col("messages").list.first()
        found = found.with_columns(prompt=turn.struct.field("content"))
    return Produced(rows=found, failed=failures.frame())


def _made(questions: list[_Question], asking: _Asking) -> list[dict[str, Any]]:
    """The rows of all questions: asked plainly, then with a hint where none was reached."""
    tries = asking.tries(questions, "solve")
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


@dataclass(frozen=True)
class _Asking:
    """What is the same for all requests of a batch."""

    config: ReasonConfig
    prompts: _Table
    generator: Ask
    seed: int
    model: str
    failures: Failures

    def tries(self, questions: list[_Question], prompt: str) -> Mapping[str, list[_Try]]:
        """The answers that can be read, by row; the others are failures."""
        sampling = self.config.sampling()
        wanted = [
            self._want(question, k, prompt, sampling)
            for question in questions
            for k in range(self.config.k)
        ]
        found: defaultdict[str, list[_Try]] = defaultdict(list)
        for one, answer in answers_to(wanted, self.generator, self.failures):
            try:
                if answer.finish_reason == "length":
                    raise ValueError("cut at max_tokens")  # noqa: TRY301
                said = read_reasoning(answer.text or "")
            except ValueError as fault:
                self.failures.add(one.row_id, one.k, str(fault), retry=False)
                continue
            value = answer_of(said, one.about.value)
            found[one.row_id].append(_Try(one, answer, said, value, prompt))
        return found

    def _want(self, question: _Question, k: int, prompt: str, sampling: Sampling) -> Wanted:
        template = self.prompts[prompt, question.language]
        values = {"question": question.text}
        if prompt == "hinted":
            values["answer"] = question.gold
        messages = template.messages(**values)
        return want(question.row_id, k, messages, sampling, self.seed, stage=prompt, about=question)


def _questions(rows: pl.DataFrame, config: ReasonConfig, failures: Failures) -> Iterator[_Question]:
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
            yield _Question(row_id, text, language, right or "", value)


def _verdict(question: _Question, tries: list[_Try], config: ReasonConfig) -> _Verdict:
    if question.value is not None:
        return _Verdict(question.value, f"wrong answer: {{said}}, expected {question.value}")
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
    question: _Question, tries: list[_Try], verdict: _Verdict, asking: _Asking
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
        facts = {"reached": has_reached, "hinted": False, "agreement": same / asking.config.k}
        yield _row(one, question, asking) | facts


def _with_hint(question: _Question, tries: list[_Try], asking: _Asking) -> Iterator[dict[str, Any]]:
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


def _row(one: _Try, question: _Question, asking: _Asking) -> dict[str, Any]:
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
    }
