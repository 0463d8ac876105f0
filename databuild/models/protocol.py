"""What every generator answers to: requests in, answers out in the order in which they finish."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from databuild.errors import StepError
from databuild.models.structure import check_form

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
    top_k: int = Field(default=0, ge=0)
    """Only the so many likeliest tokens may be drawn; 0 is all of them."""
    min_p: float = Field(default=0.0, ge=0.0, le=1.0)
    """Only tokens with at least this share of the likeliest one's probability may be drawn."""
    presence_penalty: float = Field(default=0.0, ge=-2.0, le=2.0)
    """Taken off the score of every token that the answer has already."""
    frequency_penalty: float = Field(default=0.0, ge=-2.0, le=2.0)
    """Taken off a token's score as often as the answer has it already."""
    repetition_penalty: float = Field(default=1.0, gt=0.0, le=2.0)
    """Divides the score of tokens that the prompt or the answer has; above 1 repeats less."""
    logprobs: bool = False
    """Whether the answer comes with its log-probability."""
    json_schema: str | None = None
    """The answer is JSON of this schema, itself given as canonical JSON text."""
    regex: str | None = None
    """The whole answer matches this."""
    choice: tuple[str, ...] = ()
    """The answer is one of these."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_form(self.json_schema, self.regex, self.choice)
        return self

    @property
    def has_form(self) -> bool:
        """Whether the answer is held to a form: a schema, a regex or choices."""
        return self.json_schema is not None or self.regex is not None or bool(self.choice)

    def decides(self) -> dict[str, Any]:
        """What of it decides an answer, as plain JSON, for hashing.

        Fields that came after the first version are left out where they have their defaults, so
        that the keys of answers that were given before them still find these.

        Example:
            >>> Sampling(min_p=0.1).decides()
            {'temperature': 1.0, 'top_p': 1.0, 'max_tokens': 256, 'stop': [], 'min_p': 0.1}
        """
        given = self.model_dump(mode="json")
        later = (name for name in given if name not in _ALWAYS)
        for name in [name for name in later if getattr(self, name) == _DEFAULTS[name]]:
            del given[name]
        return given


_ALWAYS = ("temperature", "top_p", "max_tokens", "stop")
_DEFAULTS = {name: field.default for name, field in Sampling.model_fields.items()}


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


@dataclass(frozen=True, slots=True)
class Draws:
    """Several answers that are wanted to the same messages, drawn in the same way.

    The k-th of them is the request with the id `<name>-<k>` and the k-th seed.
    """

    name: str
    messages: tuple[Message, ...]
    sampling: Sampling
    seeds: Sequence[int]

    def request(self, k: int) -> Request:
        """The k-th of them."""
        return Request(f"{self.name}-{k}", self.messages, self.sampling, self.seeds[k])


@dataclass(frozen=True)
class Answer:
    """What became of one request: a text, or an error and no text; never both, never neither."""

    id: str
    text: str | None
    finish_reason: FinishReason
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None
    logprob: float | None = None
    """Sum of the log-probabilities (natural) of its tokens, where the request asked for it: the
    model's own, before temperature and penalties. vLLM gives those from after the form, so that
    the one choice that there is has 0."""

    @classmethod
    def kept(cls, fields: dict[str, Any]) -> Answer:
        """An answer from fields that were those of one, as a journal has them; quick, unchecked."""
        answer = object.__new__(cls)
        answer.__dict__.update(fields)
        return answer

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
