"""What every generator answers to: requests in, answers out in the order in which they finish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FinishReason = Literal["stop", "length", "refused", "error"]


class Sampling(BaseModel):
    """How an answer is drawn. Names, ranges and defaults are vLLM's, except where said."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    temperature: float = Field(default=1.0, ge=0.0, le=5.0)
    """0 takes the likeliest token every time (greedy)."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus mass. Anything below 1 costs about half of vLLM's speed on a CPU."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest answer, in tokens (vLLM's own default is 16)."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer and are not part of it."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Request:
    """One answer that is wanted.

    `id` joins the answer to it. `seed` is derived from the data seed, the step, the row and k, so that
    no two requests of a recipe share a stream; a generator uses it where its engine can.
    """

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int


@dataclass(frozen=True)
class Answer:
    """What became of one request: a text, or an error and no text."""

    id: str
    text: str | None
    finish_reason: FinishReason
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None


class Generator(Protocol):
    """Something that answers requests."""

    def stream(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yield exactly one answer per request, as each finishes, in any order.

        A request that cannot be answered (too long for the context, refused, timed out) yields an
        answer with `error`; only trouble with the service as a whole raises.

        Raises:
            ServiceError: The engine died, cannot be reached, or refuses every request.
        """
        ...

    def close(self) -> None:
        """Let go of the process, the memory and the connections. Safe to call twice."""
        ...
