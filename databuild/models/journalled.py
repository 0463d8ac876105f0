"""A generator that never asks twice: finished answers come from a journal, new ones go into it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import xxhash

from databuild.models.protocol import Answer, Generator, Request, each_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

KEY_VERSION = 1
"""Raised when the meaning of a key changes, so that no old answer is taken for a new one."""


class AnswerJournal(Protocol):
    """An append-only store: what `put` has returned from survives the death of this process."""

    def get(self, key: str) -> dict[str, Any] | None:
        """Return what was put under the key, or None."""
        ...

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Keep the value before returning."""
        ...


class Journalled:
    """Answer what the journal has from there, the rest from a generator, journalling as it goes.

    An answer is in the journal before anybody sees it, so a kill at any point loses none that was
    seen and a second run samples none again. Answers with an error are not kept: their requests
    are made again by the next run.

    Args:
        generator: A generator, or a function that starts one; called at the first request that the
            journal does not have, so a run that is all cache starts no model.
        journal: See `AnswerJournal`.
        identity: Names the weights and what else decides the answers (dtype, quantisation).
        on_answer: Told of every answer and whether it came from the journal.
    """

    def __init__(
        self,
        generator: Generator | Callable[[], Generator],
        journal: AnswerJournal,
        identity: str,
        on_answer: Callable[[Answer, bool], None] | None = None,
    ) -> None:
        self._given, self.journal, self.identity = generator, journal, identity
        self._on_answer = on_answer
        self._generator: Generator | None = None

    def stream(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yield one answer per request: known ones at once, new ones as they finish.

        Raises:
            ServiceError: The generator raised it; every answer until then is in the journal.
            StepError: A request id came twice.
        """
        for answer, _ in self.marked(requests):
            yield answer

    def marked(self, requests: Iterable[Request]) -> Iterator[tuple[Answer, bool]]:
        """Yield as `stream` does, each answer with whether it came from the journal."""
        missing: list[Request] = []
        keys: dict[str, str] = {}
        for request in each_once(requests):
            key = self.key(request)
            known = self.journal.get(key)
            if known is None:
                missing.append(request)
                keys[request.id] = key
            else:
                yield self._tell(Answer(**known), cached=True)
        if not missing:
            return
        for answer in self._started().stream(missing):
            if answer.error is None:
                self.journal.put(keys[answer.id], _kept(answer))
            yield self._tell(answer, cached=False)

    def key(self, request: Request) -> str:
        """Return the xxh3-128 (hex) of all that decides an answer, as canonical JSON.

        That is: key version, model identity, messages, sampling, seed and id of the request.
        """
        decides = [
            KEY_VERSION,
            self.identity,
            [[message.role, message.content] for message in request.messages],
            request.sampling.decides(),
            request.seed,
            request.id,
        ]
        text = json.dumps(decides, sort_keys=True, separators=(",", ":"))
        return xxhash.xxh3_128_hexdigest(text.encode())

    def close(self) -> None:
        """Close the generator if it was started. Safe to call twice."""
        if self._generator is not None:
            self._generator.close()
        elif not callable(self._given):
            self._given.close()

    def _started(self) -> Generator:
        if self._generator is None:
            self._generator = self._given() if callable(self._given) else self._given
        return self._generator

    def _tell(self, answer: Answer, *, cached: bool) -> tuple[Answer, bool]:
        if self._on_answer is not None:
            self._on_answer(answer, cached)
        return answer, cached


def _kept(answer: Answer) -> dict[str, Any]:
    fields = asdict(answer)
    if answer.logprob is None:
        del fields["logprob"]
    return fields
