"""A deterministic model for tests, previews and broken-model drills; it ships in the package."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from databuild.errors import ServiceError
from databuild.models.fake_structure import formed
from databuild.models.fake_text import NONSENSE, compose
from databuild.models.protocol import Answer, Request, each_once
from databuild.models.structure import broken_form

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np

_LATER = ("top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
_TOKEN = re.compile(r"\w+|[^\w\s]")


class FakeOptions(BaseModel):
    """How the fake model behaves. A `_ratio` is the share of requests that meet that fate."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: int = 0
    """Stands for the weights: another seed is another model."""
    skill_ratio: float = Field(default=0.5, ge=0.0, le=1.0)
    """The chance that the answer obeys an order of the prompt (bullets, lower case, JSON ...)."""
    refuse_ratio: float = Field(default=0.0, ge=0.0, le=1.0)
    """Answers with an error and the finish reason `refused`."""
    truncate_ratio: float = Field(default=0.0, ge=0.0, le=1.0)
    """Answers cut in the middle, finish reason `length`."""
    time_out_ratio: float = Field(default=0.0, ge=0.0, le=1.0)
    """Answers with an error that says `timed out`."""
    nonsense_ratio: float = Field(default=0.0, ge=0.0, le=1.0)
    """Empty text, odd Unicode, broken JSON, or one word again and again."""
    die_after: int | None = Field(default=None, ge=0)
    """Die once this many answers were given, counted over the generator's life; None is never."""
    die: Literal["raise", "kill"] = "raise"
    """`raise` a ServiceError, or `kill`: SIGKILL this very process."""
    latency_s: float = Field(default=0.0, ge=0.0)
    """Time that every answer takes."""
    max_model_len: int = Field(default=8192, ge=1)
    """Context in tokens; a token is a word or a punctuation mark. A longer prompt is an error."""
    window: int = Field(default=16, ge=1)
    """Requests in flight: answers come out of order within this many."""


class FakeGenerator:
    """Answer by hashing instead of thinking.

    An answer is a pure function of the options' `seed`, the messages, the sampling and the
    request's seed; at temperature 0, or with a
    `top_k` of 1, the request's seed counts for nothing. Requests are taken up
    `window` at a time, and each window's answers come in an order drawn from its request ids.

    Args:
        options: See `FakeOptions`.
        where: The step that the errors name.
    """

    def __init__(self, options: FakeOptions | None = None, *, where: str = "fake model") -> None:
        self.options = options or FakeOptions()
        self.where = where
        self._given = 0

    def stream(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yield one answer per request, out of order.

        Raises:
            ServiceError: `die_after` answers were given.
            StepError: A request id came twice.
        """
        source = each_once(requests)
        while batch := list(islice(source, self.options.window)):
            order = _draw("order", *sorted(request.id for request in batch))
            batch.sort(key=lambda request: request.id)
            for index in order.permutation(len(batch)):
                self._die_when_due()
                time.sleep(self.options.latency_s)
                self._given += 1
                yield self.answer(batch[int(index)])

    def close(self) -> None:
        """Nothing to let go of."""

    def answer(self, request: Request) -> Answer:
        """Return the answer to one request, whatever was answered before."""
        options, sampling = self.options, request.sampling
        prompt_tokens = sum(len(_TOKEN.findall(message.content)) for message in request.messages)
        if prompt_tokens >= options.max_model_len:
            error = f"the prompt has {prompt_tokens} tokens, the context {options.max_model_len}"
            return Answer(request.id, None, "refused", prompt_tokens, error=error)
        chance = "greedy" if sampling.temperature == 0 or sampling.top_k == 1 else request.seed
        later = [f"{name}={value}" for name, value in sampling.decides().items() if name in _LATER]
        decides = (sampling.temperature, sampling.top_p, chance, *later)
        draw = _draw(options.seed, request.rendered(), *decides)
        fate = draw.random()
        for ratio, finish, error in (
            (options.refuse_ratio, "refused", "the model refused"),
            (options.time_out_ratio, "error", "timed out"),
        ):
            if fate < ratio:
                reason: Literal["refused", "error"] = "refused" if finish == "refused" else "error"
                return Answer(request.id, None, reason, prompt_tokens, error=error)
            fate -= ratio
        prompt = request.messages[-1].content if request.messages else ""
        text = compose(prompt, draw, options.skill_ratio)
        if sampling.has_form and broken_form(sampling, Answer(request.id, text, "stop")):
            text = formed(sampling, text, draw)
        if fate < options.nonsense_ratio:
            text = NONSENSE[int(draw.integers(len(NONSENSE)))]
        room = min(sampling.max_tokens, options.max_model_len - prompt_tokens)
        if 0 <= fate - options.nonsense_ratio < options.truncate_ratio:
            room = min(room, max(1, len(_TOKEN.findall(text)) // 2))
        answer = _finish(request, text, prompt_tokens, room)
        if not sampling.logprobs:
            return answer
        return replace(
            answer, logprob=-float(draw.exponential(size=answer.completion_tokens).sum())
        )

    def _die_when_due(self) -> None:
        if self.options.die_after is None or self._given < self.options.die_after:
            return
        if self.options.die == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        what = f"the fake model died after {self._given} answers, as `die_after` asked"
        raise ServiceError(self.where, what, fix="leave out `die_after`")


def _finish(request: Request, text: str, prompt_tokens: int, room: int) -> Answer:
    """Cut the text at `room` tokens, then at the first stop text, as a real engine would."""
    tokens = list(_TOKEN.finditer(text))
    is_cut = len(tokens) > room
    if is_cut:
        text, tokens = text[: tokens[room - 1].end()], tokens[:room]
    stops = [at for stop in request.sampling.stop if (at := text.find(stop)) >= 0]
    if stops:
        text, is_cut = text[: min(stops)], False
    reason: Literal["length", "stop"] = "length" if is_cut else "stop"
    return Answer(request.id, text, reason, prompt_tokens, len(_TOKEN.findall(text)))


def _draw(*parts: object) -> np.random.Generator:
    """Return a random stream that is a function of `parts` alone."""
    import numpy as np
    import xxhash

    digest = xxhash.xxh3_128_intdigest(json.dumps(parts, default=str).encode())
    return np.random.default_rng(digest)
