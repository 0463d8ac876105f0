"""What scores beginnings in `generate.reason`'s tree search: the model itself, or a reward model.

The model judges or votes as in Tree of Thoughts (Yao et al. 2023, arXiv:2305.10601, section 3); a
reward model is that of Snell et al. 2024 (arXiv:2408.03314, section 5.1), where its scores for the
steps (Lightman et al. 2023, arXiv:2305.20050) lead a beam search.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from databuild.generate.answering import Wanted, want
from databuild.models.scorer import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from databuild.generate.reason_search import Asking, Partial, SearchConfig
    from databuild.models.protocol import Message
    from databuild.models.scorer import Scoring

WORTH: Mapping[str, Mapping[str, float]] = {
    "en": {"sure": 1.0, "likely": 0.5, "impossible": 0.0},
    "zh": {"肯定": 1.0, "可能": 0.5, "不可能": 0.0},
}
"""What a judgement counts, by language and word."""
_SAID = {
    "en": re.compile(r"(?<!not )\b(?:sure|likely|impossible)\b", re.I),
    "zh": re.compile(r"不可能|(?<!不)肯定|可能"),
}
_CHOSEN = re.compile(r"\d+")
_OF_STEPS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "last": lambda steps: steps[-1],
    "product": math.prod,
    "mean": lambda steps: math.fsum(steps) / len(steps),
}


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


@dataclass(frozen=True)
class RewardScore:
    """Scores by a reward model, which reads each beginning as the answer to its question.

    Equal beginnings are read once, and those that the journal knows never again.
    """

    asking: Asking
    config: SearchConfig
    rewards: Scoring

    def __call__(self, found: Sequence[Partial], stage: str) -> Sequence[float | None]:  # noqa: ARG002
        """A score for each, to four decimals; None, and a fault of its row, where there is none."""
        self.rewards.total(len(found))
        talks = [as_talk(one) for one in found]
        scores = []
        for one, reward in zip(found, self.rewards(talks, self._reading()), strict=True):
            worth = reward.score
            if reward.steps and self.config.step_score is not None:
                worth = _OF_STEPS[self.config.step_score](reward.steps)
            if reward.error is not None or worth is None:
                error = f"no reward: {reward.error or 'the model gave none'}"
                self.asking.outcomes[one.row_id].faults.add(one.row_id, None, error, retry=False)
                worth = None
            # The last bits hang on what else is in a batch.
            scores.append(None if worth is None else round(worth, 4))
        return scores

    def _reading(self) -> Reading:
        steps = None if self.config.step_score is None else "\n"
        return Reading(self.config.max_length, None, steps, self.config.step_mark)


def as_talk(one: Partial) -> str:
    """A beginning as a reward model reads it: see `databuild.models.scorer`.

    Example:
        >>> from databuild.generate.reason_search import Partial
        >>> as_talk(Partial("r", "2 + 2?", "en", ("2 + 2 = 4",)))[:45]
        '{"turns": [{"role": "user", "content": "2 + 2'
    """
    turns = [{"role": "user", "content": one.question}, {"role": "assistant", "content": one.text}]
    return json.dumps({"turns": turns, "tools": None}, ensure_ascii=False)
