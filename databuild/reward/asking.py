"""How a judge is asked: several questions about each row, each until its reply can be read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, Self, TypeVar

import numpy as np
from pydantic import Field, model_validator

from databuild.models.prompting import PromptedConfig, trouble, want
from databuild.models.protocol import Sampling
from databuild.models.structure import as_schema_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from databuild.models.prompting import Ask, Wanted
    from databuild.models.protocol import Answer, Message

T = TypeVar("T")


class Fault(NamedTuple):
    """Why there is no judgement, and whether another try may end better."""

    error: str
    retry: bool


UNREADABLE = Fault("the judgement cannot be read", retry=False)
CUT = Fault("the judgement was cut at max_tokens", retry=False)


class JudgingConfig(PromptedConfig):
    """The options of a step in which a model judges."""

    temperature: float = 0.0
    """0 takes the likeliest token every time (greedy), so that a judge is of one mind."""
    criteria: tuple[str, ...] = ()
    """What counts, one sentence each, as "The answer cites its source." Without any: correct,
    helpful, relevant and clear."""
    reasons: bool = False
    """Let the judge give its reasons first, then its judgement (a generative reward). They are kept
    in `<name>_reason`. Needs a larger `max_tokens` the more it has to say: a reply that is cut
    before the judgement fails."""
    expectation: bool = False
    """Weigh every possible judgement with the probability that the model gives it, instead of
    taking the one that it writes (G-Eval, section 3.3): finer, with far fewer ties. One short
    request for each possible judgement; the engine must hold an answer
    to a choice and give the log-probabilities from before it does. vLLM 0.32 on a CPU gives those
    from after it (measured), as 0 each: there every row fails and says so. Without `reasons`."""
    structured: bool = True
    """Let the engine hold the reply to its form: a choice, or with `reasons` JSON. False for
    endpoints that cannot; the reply is then read as text ("SCORE: 7")."""
    tries: int = Field(default=2, ge=1)
    """How often a judgement is asked for until it can be read; at temperature 0 once."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one; null (`~`) leaves it out. The judge
    sees the turns before the answer."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.expectation and (self.reasons or not self.structured):
            other = "reasons: true" if self.reasons else "structured: false"
            msg = f"expectation weighs replies of one word, which {other} does not ask for"
            raise ValueError(msg)
        return self

    def held_to(self, key: str, values: Sequence[str | int]) -> Sampling:
        """The sampling of a question whose reply is one of `values`, under `key` after reasons."""
        given = self.sampling().model_dump()
        if not self.structured:
            return Sampling.model_validate(given)
        if not self.reasons:
            return Sampling.model_validate(given | {"choice": tuple(map(str, values))})
        said = {"reasons": {"type": "string"}, key: {"enum": list(values)}}
        schema = {
            "type": "object",
            "properties": said,
            "required": list(said),
            "additionalProperties": False,
        }
        return Sampling.model_validate(given | {"json_schema": as_schema_text(schema)})


@dataclass(frozen=True)
class Question:
    """One thing that is asked of the judge about a row."""

    row_id: str
    stage: str
    """Which question about the row."""
    messages: tuple[Message, ...]
    sampling: Sampling


@dataclass(frozen=True)
class Panel(Generic[T]):
    """Asks questions until their replies can be read."""

    generator: Ask
    seed: int
    tries: int
    read: Callable[[Question, Answer], T | None]
    """What a reply says; None where it cannot be read."""

    def replies(self, questions: Sequence[Question]) -> dict[tuple[str, str], T | Fault]:
        """What was replied to each question, by (row_id, stage)."""
        found: dict[tuple[str, str], T | Fault] = {}
        pending = list(questions)
        for attempt in range(self.tries):
            again: list[Question] = []
            wanted = [self._wanted(one, attempt) for one in pending]
            answers = self.generator([one.request for one in wanted]) if wanted else {}
            for question, one in zip(pending, wanted, strict=True):
                said = self._said(question, answers.get(one.request.id))
                found[question.row_id, question.stage] = said
                if said in (UNREADABLE, CUT):
                    again.append(question)
            pending = again if questions and questions[0].sampling.temperature else []
        return found

    def _wanted(self, question: Question, attempt: int) -> Wanted:
        stage = question.stage + (f"-try{attempt}" if attempt else "")
        return want(
            question.row_id, 0, question.messages, question.sampling, self.seed, stage=stage
        )

    def _said(self, question: Question, answer: Answer | None) -> T | Fault:
        none = trouble(answer)
        if none is not None or answer is None:
            return Fault(*(none or ("the model gave no answer", True)))
        said = self.read(question, answer)
        if said is not None:
            return said
        return CUT if answer.finish_reason == "length" else UNREADABLE


@dataclass(frozen=True)
class Weighing:
    """Asks how likely the model finds each of the replies that a question may have."""

    generator: Ask
    seed: int

    def shares(
        self, questions: Sequence[Question], values: Sequence[str]
    ) -> dict[tuple[str, str], dict[str, float] | Fault]:
        """The probability of each value, by (row_id, stage) of the question; they sum to 1.

        Every value is asked for as the only choice, so that the engine must write it and tells how
        likely the model itself found it (Liu et al. 2023, G-Eval, section 3.3, where they are read
        from the likeliest tokens; here none is missing among those).
        """
        forced = [
            Question(one.row_id, f"{one.stage}-{value}", one.messages, _forced(one, value))
            for one in questions
            for value in values
        ]
        told = Panel(self.generator, self.seed, 1, _logprob).replies(forced)
        found: dict[tuple[str, str], dict[str, float] | Fault] = {}
        for one in questions:
            said = [told[one.row_id, f"{one.stage}-{value}"] for value in values]
            faults = [each for each in said if isinstance(each, Fault)]
            numbers = [each for each in said if not isinstance(each, Fault)]
            found[one.row_id, one.stage] = faults[0] if faults else shares_of(values, numbers)
        return found


def _forced(question: Question, value: str) -> Sampling:
    given = question.sampling.model_dump()
    form = {"choice": (value,), "json_schema": None, "regex": None, "temperature": 0.0}
    return Sampling.model_validate(given | form | {"logprobs": True})


def _logprob(question: Question, answer: Answer) -> float | None:
    if answer.text is None or answer.text.strip() != question.sampling.choice[0]:
        return None  # the engine does not hold its answers to a choice
    return math.nan if answer.logprob is None else answer.logprob


def shares_of(values: Sequence[str], logprobs: Sequence[float]) -> dict[str, float] | Fault:
    """Probabilities that sum to 1, from log-probabilities (natural) that need not.

    Example:
        >>> shares_of(["A", "B"], [-1.0, -1.0])
        {'A': 0.5, 'B': 0.5}
        >>> shares_of(["A", "B"], [-1.0, float("nan")]).error
        'the engine gives no log-probability, which `expectation` needs'
    """
    numbers = np.array(logprobs, dtype=np.float64)
    if not np.isfinite(numbers).all():
        error = "the engine gives no log-probability, which `expectation` needs"
        return Fault(error, retry=False)
    if len(numbers) > 1 and not numbers.any():
        error = "the engine's log-probabilities are those after the choice, which say nothing"
        return Fault(error, retry=False)
    weights = np.exp(numbers - numbers.max())
    return dict(zip(values, (weights / weights.sum()).tolist(), strict=True))
