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
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from databuild.generate.answering import Ask, Failures, Wanted, answers_to, want
from databuild.generate.reason_reading import read_reasoning
from databuild.text.final_answers import find_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from databuild.models.protocol import Answer, Message, Sampling
    from databuild.models.templates import Template

WORTH: Mapping[str, Mapping[str, float]] = {
    "en": {"sure": 1.0, "likely": 0.5, "impossible": 0.0},
    "zh": {"肯定": 1.0, "可能": 0.5, "不可能": 0.0},
}
"""What a judgement counts, by language and word."""
_SAID = {
    "en": re.compile(r"(?<!not )\b(?:sure|likely|impossible)\b", re.I),
    "zh": re.compile(r"不可能|(?<!不)肯定|可能"),
}
_LABEL = re.compile(
    r"^\s*(?:[-*•]\s+)?(?:\*\*)?(?:step\s*\d+|第\s*\d+\s*步|步骤\s*\d+)(?:\*\*)?\s*[:：.)、-]?(?:\*\*)?\s*",
    re.I,
)
_CHOSEN = re.compile(r"\d+")


class SearchConfig(BaseModel):
    """How the tree of steps is searched."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    width: int = Field(default=2, ge=1)
    """Beginnings that are gone on with after each step. Those that reached an answer count."""
    branch: int = Field(default=3, ge=1)
    """Next steps that are tried for each of them."""
    depth: int = Field(default=6, ge=1)
    """Most steps of a solution, the one that says the answer counted."""
    score: Literal["model", "votes"] = "model"
    """Who scores: `model` asks for each beginning whether its steps are sure, likely or impossible
    (1, 0.5, 0), `votes` which beginning is the best; the score is the mean, or the share."""
    judgements: int = Field(default=3, ge=1)
    """Judgements for a beginning, or votes between beginnings. A single one is greedy."""


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


Score = Callable[[Sequence[Partial], str], Sequence[float]]
"""Scores beginnings, the higher the better, each by its question and its steps. The text names the
round, for the ids of requests. Whatever scores steps fits in here: a process reward model too."""


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
    scores = score(found, stage) if found else []
    return [replace(one, score=each) for one, each in zip(found, scores, strict=True)]


def _by_row(found: Iterable[Partial]) -> dict[str, list[Partial]]:
    """Beginnings by row, the best first; of equal ones the one that came first."""
    rows: defaultdict[str, list[Partial]] = defaultdict(list)
    for one in found:
        rows[one.row_id].append(one)
    return {row_id: sorted(level, key=lambda one: -one.score) for row_id, level in rows.items()}


def _folded(steps: Iterable[str]) -> tuple[str, ...]:
    return tuple(" ".join(step.casefold().split()).rstrip(".。") for step in steps)


@dataclass(frozen=True)
class ModelScore:
    """Scores by asking the model itself: see `SearchConfig.score`."""

    asking: Asking
    config: SearchConfig
    has_choice: bool = False
    """Whether the engine can be held to the words that are asked for."""

    def __call__(self, found: Sequence[Partial], stage: str) -> Sequence[float]:
        """A score from 0 to 1 for each; 0 where no judgement can be read."""
        return (
            self._voted(found, stage)
            if self.config.score == "votes"
            else self._valued(found, stage)
        )

    def _valued(self, found: Sequence[Partial], stage: str) -> list[float]:
        places: Counter[str] = Counter()
        wanted = []
        for i, one in enumerate(found):
            place = places[one.row_id]
            places[one.row_id] += 1
            messages = self.asking.messages("value", one, steps=one.steps)
            words = tuple(WORTH[one.language])
            wanted += self._wanted(one, messages, f"value{stage}.{place}", words, i)
        judged: defaultdict[int, list[float]] = defaultdict(list)
        for asked, answer in self.asking.answers(wanted):
            worth = read_worth(answer.text or "", found[asked.about].language)
            if worth is not None:
                judged[asked.about].append(worth)
        return [sum(judged[i]) / len(judged[i]) if i in judged else 0.0 for i in range(len(found))]

    def _voted(self, found: Sequence[Partial], stage: str) -> list[float]:
        choices: defaultdict[str, list[int]] = defaultdict(list)
        for i, one in enumerate(found):
            choices[one.row_id].append(i)
        wanted = []
        for places in choices.values():
            if len(places) > 1:
                first = found[places[0]]
                steps = [found[i].steps for i in places]
                messages = self.asking.messages("vote", first, choices=steps)
                numbers = tuple(str(n + 1) for n in range(len(places)))
                wanted += self._wanted(first, messages, f"vote{stage}", numbers, places)
        shares = [1.0 if len(choices[one.row_id]) == 1 else 0.0 for one in found]
        for asked, answer in self.asking.answers(wanted):
            said = _CHOSEN.search(answer.text or "")
            number = int(said[0][:9]) if said else 0
            if 1 <= number <= len(asked.about):
                shares[asked.about[number - 1]] += 1 / self.config.judgements
        return shares

    def _wanted(
        self, one: Partial, messages: tuple[Message, ...], stage: str, words: tuple[str, ...],
        about: object,
    ) -> list[Wanted]:  # fmt: skip
        n = self.config.judgements
        temperature = self.asking.sampling.temperature if n > 1 else 0.0
        update = {"temperature": temperature, "max_tokens": 16, "stop": ()}
        update |= {"choice": words} if self.has_choice else {}
        sampling = self.asking.sampling.model_copy(update=update)
        return [
            want(one.row_id, k, messages, sampling, self.asking.seed, stage=stage, about=about)
            for k in range(n)
        ]


def read_worth(text: str, language: str) -> float | None:
    """What a judgement is worth, from 0 to 1; None where it says none of the words.

    Example:
        >>> read_worth("Likely.", "en"), read_worth("不可能", "zh"), read_worth("not sure", "en")
        (0.5, 0.0, None)
    """
    said = _SAID[language].search(text)
    return WORTH[language][said[0].lower()] if said else None
