"""How `generate.self_instruct` asks: within its budget, counted, errors twice more."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from databuild.generate.answering import Ask, Wanted
    from databuild.models.protocol import Answer

_TRIES = 3
BUDGET = "the budget of requests is spent"


class Reply(NamedTuple):
    """What came of a request: an answer with a text, or why there is none."""

    wanted: Wanted
    answer: Answer | None
    error: str
    retry: bool
    """Whether another run may not meet the error."""


@dataclass
class Asking:
    """Asks, and keeps count.

    A request that the journal answers counts as any other, so that a run that is taken up again
    ends where it would have ended.
    """

    generator: Ask
    most: int | None
    requests: Counter[str] = field(default_factory=Counter)
    prompt_tokens: Counter[str] = field(default_factory=Counter)
    completion_tokens: Counter[str] = field(default_factory=Counter)

    @property
    def has_choice(self) -> bool:
        """Whether the engine can hold an answer to one of several texts."""
        return bool(getattr(self.generator, "has_choice", False))

    @property
    def left(self) -> int | None:
        """How many requests may still be made; None is any number."""
        return None if self.most is None else self.most - self.requests.total()

    def ask(self, wanted: Sequence[Wanted], stage: str) -> Iterator[Reply]:
        """Yield what came of each, in their order.

        What goes over the budget is not asked. An error that may pass is asked again twice.
        """
        room = self.left
        asked = wanted if room is None else wanted[: max(0, room)]
        self.requests[stage] += len(asked)
        answers: dict[str, Answer] = {}
        again = list(asked)
        for _ in range(_TRIES):
            answers |= self.generator([one.request for one in again]) if again else {}
            again = [one for one in again if _may_pass(answers.get(one.request.id))]
        for place, one in enumerate(wanted):
            answer = answers.get(one.request.id)
            if place >= len(asked):
                yield Reply(one, None, BUDGET, retry=False)
            elif answer is None:
                yield Reply(one, None, "the model gave no answer", retry=True)
            else:
                self.prompt_tokens[stage] += answer.prompt_tokens
                self.completion_tokens[stage] += answer.completion_tokens
                is_text = answer.text is not None
                error = "" if is_text else answer.error or answer.finish_reason
                yield Reply(one, answer if is_text else None, error, retry=_may_pass(answer))


def _may_pass(answer: Answer | None) -> bool:
    return answer is None or answer.finish_reason == "error"
