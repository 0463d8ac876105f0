"""Tree search on steps: several next steps are tried, scored, and the best beginnings gone on with.

Breadth-first search of Tree of Thoughts (Yao et al. 2023, arXiv:2305.10601, algorithm 1),
which with a score for steps is step-level beam search (Snell et al. 2024, arXiv:2408.03314, section
5.1; the score of a reward model there is that of Lightman et al. 2023, arXiv:2305.20050).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from databuild.generate.answering import Ask, Failures, Wanted, answers_to, want
from databuild.generate.reason_reading import read_reasoning
from databuild.text.final_answers import find_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from databuild.models.protocol import Answer, Message, Sampling
    from databuild.models.templates import Template

_LABEL = re.compile(
    r"^\s*(?:[-*•]\s+)?(?:\*\*)?(?:step\s*\d+|第\s*\d+\s*步|步骤\s*\d+)(?:\*\*)?\s*[:：.)、-]?(?:\*\*)?\s*",
    re.I,
)


class SearchConfig(BaseModel):
    """How the tree of steps is searched."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    width: int = Field(default=2, ge=1)
    """Beginnings that are gone on with after each step. Those that reached an answer count."""
    branch: int = Field(default=3, ge=1)
    """Next steps that are tried for each of them."""
    depth: int = Field(default=6, ge=1)
    """Most steps of a solution, the one that says the answer counted."""
    score: Literal["model", "votes", "reward"] = "model"
    """Who scores: `model` asks for each beginning whether its steps are sure, likely or impossible
    (1, 0.5, 0), `votes` which beginning is the best; the score is the mean, or the share. `reward`
    is what the reward model that the option `scorer` names says of the question answered with the
    steps so far, to four decimals: for one with a single score any number, the higher the better;
    for a process reward model, with `step_score`, 0 to 1."""
    judgements: int = Field(default=3, ge=1)
    """Judgements for a beginning, or votes between beginnings. A single one is greedy. A reward is
    the same every time, and read once."""
    step_score: Literal["min", "last", "product", "mean"] | None = None
    """With `reward`: how the scores that a process reward model gives to the steps become that of
    the beginning. Null is for a model with one score for a text, such as `train.reward` makes."""
    step_mark: str | None = Field(default=None, min_length=1)
    """With `step_score`: what the model was trained to judge a step at, such as `<extra_0>`, put
    behind every step; null is a line break."""
    max_length: int = Field(default=1024, ge=8)
    """With `reward`: longest question and steps in tokens; of longer ones the beginning is not
    read."""

    @model_validator(mode="after")
    def _of_rewards(self) -> Self:
        if self.score != "reward" and self.step_score is not None:
            msg = "step_score says how to read a reward model: set score to reward"
            raise ValueError(msg)
        if self.step_mark is not None and self.step_score is None:
            msg = "step_mark needs step_score, which says that each step has a score"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class Partial:
    """A question and the first steps of a solution, or all of them."""

    row_id: str
    question: str
    language: str
    steps: tuple[str, ...] = ()
    score: float = 0.0
    last: tuple[Wanted, Answer] | None = None
    """The request for its last step, and what was answered."""

    @property
    def text(self) -> str:
        """All steps, as a text."""
        return "\n".join(self.steps)

    @property
    def is_finished(self) -> bool:
        """Whether its last step says the answer."""
        found = find_answer(self.steps[-1]) if self.steps else None
        return found is not None and found[2] == "marker"


Score = Callable[[Sequence[Partial], str], Sequence[float | None]]
"""Scores beginnings, the higher the better, each by its question and its steps; one that is None
cannot be scored and is not gone on with. The text names the round, for the ids of requests."""


@dataclass
class Outcome:
    """What became of one question."""

    paths: list[Partial] = field(default_factory=list)
    """The solutions that reached an answer, the best first."""
    faults: Failures = field(default_factory=Failures)
    """Steps that could not be used, by row and why."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def failure(self, depth: int) -> tuple[str, bool]:
        """Why there is no solution, and whether another try may find one."""
        retry = any(again for *_, again in self.faults.rows)
        what = f"no solution reached an answer within {depth} steps"
        common = Counter(error for _, _, error, _ in self.faults.rows).most_common(1)
        return (f"{what}: {common[0][0]}" if common else what), retry


@dataclass
class Asking:
    """Asks for steps and for judgements, and counts what that took, by row."""

    prompts: Mapping[tuple[str, str], Template]
    generator: Ask
    seed: int
    sampling: Sampling
    """How steps are drawn."""
    outcomes: defaultdict[str, Outcome] = field(default_factory=lambda: defaultdict(Outcome))

    def messages(self, prompt: str, one: Partial, **values: object) -> tuple[Message, ...]:
        """A prompt about a question, in its language."""
        return self.prompts[prompt, one.language].messages(question=one.question, **values)

    def answers(self, wanted: Sequence[Wanted]) -> list[tuple[Wanted, Answer]]:
        """What is answered; the rest is noted as faults of its row."""
        lost = Failures()
        found = answers_to(wanted, self.generator, lost)
        for one in lost.rows:
            self.outcomes[one[0][0]].faults.rows.append(one)
        for asked, answer in found:
            outcome = self.outcomes[asked.row_id]
            outcome.prompt_tokens += answer.prompt_tokens
            outcome.completion_tokens += answer.completion_tokens
        return found

    def grown(self, beams: Mapping[str, list[Partial]], branch: int, depth: int) -> list[Partial]:
        """Every beginning with each of its next steps; steps that are equal count once."""
        sampling = self.sampling.model_copy(update={"stop": (*self.sampling.stop, "\n")})
        wanted = [
            want(row_id, k, self.messages("step", one, steps=one.steps), sampling, self.seed,
                 stage=f"step{depth}.{place}", about=one)
            for row_id, beam in beams.items()
            for place, one in enumerate(beam)
            for k in range(branch)
        ]  # fmt: skip
        found: dict[tuple[str, tuple[str, ...]], Partial] = {}
        for asked, answer in self.answers(wanted):
            before: Partial = asked.about
            try:
                steps = (*before.steps, read_step(answer, before.steps))
                after = replace(before, steps=steps, last=(asked, answer))
                if after.is_finished:
                    read_reasoning(after.text)
            except ValueError as fault:
                faults = self.outcomes[asked.row_id].faults
                faults.add(asked.row_id, asked.k, str(fault), retry=False)
                continue
            found.setdefault((asked.row_id, _folded(steps)), after)
        return list(found.values())


def read_step(answer: Answer, before: Sequence[str]) -> str:
    """The step that an answer says: its first line, without a label such as "Step 2:".

    Raises:
        ValueError: With what is wrong: "empty step", "cut at max_tokens", "repeats a step".

    Example:
        >>> from databuild.models.protocol import Answer
        >>> read_step(Answer("a", "Step 2: 48 - 5 = 43", "stop"), ["6 * 8 = 48"])
        '48 - 5 = 43'
    """
    lines = (answer.text or "").strip().splitlines()
    step = _LABEL.sub("", lines[0]).strip() if lines else ""
    if not step:
        raise ValueError("empty step")
    if answer.finish_reason == "length":
        raise ValueError("cut at max_tokens")
    if _folded([step]) in {_folded([one]) for one in before}:
        raise ValueError("repeats a step")
    return step


def search(
    questions: Iterable[Partial], config: SearchConfig, asking: Asking, score: Score
) -> Mapping[str, Outcome]:
    """Search for solutions of every question, all questions level by level.

    At each level `branch` next steps are asked for each beginning, and all beginnings of a question
    are scored. Of these the best `width` are gone on with (equal scores: those that were asked for
    first), less those that ended before; one that says an answer has ended. Solutions are ranked by
    their last score; with `votes`, whose shares mean something within one vote only, by another
    vote between them.

    Returns:
        By row: the solutions, the best first, what went wrong, and the tokens that all of it took.
    """
    outcomes = asking.outcomes
    beams = {one.row_id: [one] for one in questions}
    room = dict.fromkeys(beams, config.width)
    for row_id in beams:
        outcomes[row_id].paths = []
    for depth in range(1, config.depth + 1):
        grown = _by_row(_scored(asking.grown(beams, config.branch, depth), score, f"{depth}"))
        beams = {}
        for row_id, level in grown.items():
            outcomes[row_id].paths += [one for one in level if one.is_finished]
            best = level[: room[row_id]]
            room[row_id] -= sum(one.is_finished for one in best)
            if alive := [one for one in best if not one.is_finished]:
                beams[row_id] = alive
        if not beams:
            break
    found = [one for outcome in outcomes.values() for one in outcome.paths]
    if config.score == "votes":
        found = _scored(found, score, "end")
    ranked = _by_row(found)
    for row_id, outcome in outcomes.items():
        outcome.paths = ranked.get(row_id, [])
    return outcomes


def _scored(found: Sequence[Partial], score: Score, stage: str) -> list[Partial]:
    scores = zip(found, score(found, stage) if found else (), strict=True)
    return [replace(one, score=each) for one, each in scores if each is not None]


def _by_row(found: Iterable[Partial]) -> dict[str, list[Partial]]:
    """Beginnings by row, the best first; of equal ones the one that came first."""
    rows: defaultdict[str, list[Partial]] = defaultdict(list)
    for one in found:
        rows[one.row_id].append(one)
    return {row_id: sorted(level, key=lambda one: -one.score) for row_id, level in rows.items()}


def _folded(steps: Iterable[str]) -> tuple[str, ...]:
    return tuple(" ".join(step.casefold().split()).rstrip(".。") for step in steps)
