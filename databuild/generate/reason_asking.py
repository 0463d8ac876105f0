"""How `generate.reason` asks: for whole solutions, or for one that is searched for step by step."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from databuild.generate.answering import Ask, Failures, Wanted, answers_to, want
from databuild.generate.reason_reading import Reasoned, answer_of, read_reasoning
from databuild.generate.reason_scores import ModelScore, RewardScore
from databuild.generate.reason_search import Asking as Searching
from databuild.generate.reason_search import Partial, search
from databuild.models.protocol import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from databuild.generate.reason import ReasonConfig
    from databuild.generate.reason_search import Score
    from databuild.models.protocol import Sampling
    from databuild.models.scorer import Scoring
    from databuild.models.templates import Template
    from databuild.text.final_answers import Value

Prompts = dict[tuple[str, str], "Template"]
"""By name and language."""


@dataclass(frozen=True)
class Question:
    """One row: what is asked, in which language, and the right answer where it is known."""

    row_id: str
    text: str
    language: str
    gold: str
    value: Value | None


@dataclass(frozen=True)
class Try:
    """One answer that could be read."""

    wanted: Wanted
    answer: Answer
    said: Reasoned
    value: Value | None
    prompt: str
    """Which prompt it answers: `solve`, `hinted`, or that of its last step."""
    search: tuple[float, int] | None = None
    """Of a solution that was searched for: its score, and its steps."""


@dataclass(frozen=True)
class Asking:
    """What is the same for all requests of a batch."""

    config: ReasonConfig
    prompts: Prompts
    generator: Ask
    seed: int
    model: str
    failures: Failures
    rewards: Scoring | None = None
    """Scores steps, where a reward model is to lead the search."""

    def tries(self, questions: list[Question], prompt: str) -> Mapping[str, list[Try]]:
        """The answers that can be read, by row; the others are failures."""
        sampling = self.config.sampling()
        wanted = [
            self._want(question, k, prompt, sampling)
            for question in questions
            for k in range(self.config.k)
        ]
        found: defaultdict[str, list[Try]] = defaultdict(list)
        for one, answer in answers_to(wanted, self.generator, self.failures):
            try:
                if answer.finish_reason == "length":
                    raise ValueError("cut at max_tokens")  # noqa: TRY301
                said = read_reasoning(answer.text or "")
            except ValueError as fault:
                self.failures.add(one.row_id, one.k, str(fault), retry=False)
                continue
            value = answer_of(said, one.about.value)
            found[one.row_id].append(Try(one, answer, said, value, prompt))
        return found

    def searched(self, questions: list[Question]) -> Mapping[str, list[Try]]:
        """The solutions that a search found, by row, the best first; only that is `reached`."""
        options = self.config.search
        assert options is not None
        about = {one.row_id: one for one in questions}
        asked = Searching(self.prompts, self.generator, self.seed, self.config.sampling())
        score: Score
        if options.score == "reward":
            assert self.rewards is not None
            score = RewardScore(asked, options, self.rewards)
        else:
            can_choose = getattr(self.generator, "has_choice", False)
            score = ModelScore(asked, options, has_choice=can_choose)
        roots = [Partial(one.row_id, one.text, one.language) for one in questions]
        outcomes = search(roots, options, asked, score)
        found: defaultdict[str, list[Try]] = defaultdict(list)
        for row_id, outcome in outcomes.items():
            if not outcome.paths:
                error, retry = outcome.failure(options.depth)
                self.failures.add(row_id, None, error, retry=retry)
            tokens = (outcome.prompt_tokens, outcome.completion_tokens)
            for k, path in enumerate(outcome.paths[: 1 if self.config.keep == "reached" else None]):
                assert path.last is not None
                request = path.last[0].request
                answer = Answer(request.id, path.text, "stop", *tokens)
                said = read_reasoning(path.text)
                value, shape = answer_of(said, about[row_id].value), (path.score, len(path.steps))
                one = Wanted(row_id, k, request, about[row_id])
                found[row_id].append(Try(one, answer, said, value, "step", shape))
        return found

    def _want(self, question: Question, k: int, prompt: str, sampling: Sampling) -> Wanted:
        template = self.prompts[prompt, question.language]
        values = {"question": question.text}
        if prompt == "hinted":
            values["answer"] = question.gold
        messages = template.messages(**values)
        return want(question.row_id, k, messages, sampling, self.seed, stage=prompt, about=question)
