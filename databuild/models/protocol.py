"""What every generator answers to: requests in, answers out in the order in which they finish."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FinishReason = Literal["stop", "length", "refused", "error"]
"""`refused` would come back the same (too long, filtered); `error` may pass another time."""


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

    `id` joins the answer to it. `seed` is derived from the data seed, the step, the row and k, so
    that no two requests of a recipe share a stream; a generator uses it where its engine can.
    """

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int

    def rendered(self) -> str:
        """Return the conversation as one canonical JSON text, for hashing."""
        return json.dumps([asdict(message) for message in self.messages], sort_keys=True)


@dataclass(frozen=True)
class Answer:
    """What became of one request: a text, or an error and no text; never both, never neither."""

    id: str
    text: str | None
    finish_reason: FinishReason
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None

    def __post_init__(self) -> None:
        """Hold the class to its first line."""
        if (self.text is None) == (self.error is None):
            what = f"an answer has a text or an error, not {self.text!r} and {self.error!r}"
            raise StepError(f"request {self.id}", what, fix="give exactly one of them")


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


def each_once(requests: Iterable[Request]) -> Iterator[Request]:
    """Pass requests on as they come, and refuse an id that came before.

    Raises:
        StepError: Two requests have the same id, so their answers could not be told apart.
    """
    seen: set[str] = set()
    for request in requests:
        if request.id in seen:
            what = f"the request id {request.id!r} came twice"
            raise StepError("generate", what, fix="give every request an id of its own")
        seen.add(request.id)
        yield request
