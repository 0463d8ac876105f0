"""Any server that speaks OpenAI's chat completions: vLLM, SGLang, llama.cpp, a cloud, a gateway."""

from __future__ import annotations

import json
import math
import os
import queue
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

import xxhash
from pydantic import BaseModel, ConfigDict, Field, field_validator

from databuild.errors import ServiceError
from databuild.models.protocol import Answer, FinishReason, Request, each_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from concurrent.futures import Future

    import httpx

    from databuild.models.protocol import Sampling

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Statuses that may go away: time-outs, conflicts, rate limits, and servers in trouble."""
REFUSES_EVERYTHING = frozenset({401, 403, 404, 405})
"""Statuses about the key, the model or the path rather than about one request."""
GIVE_UP_AFTER = 8
"""So many requests in a row lost to the service itself, and the service counts as down."""


class EndpointOptions(BaseModel):
    """Where the server is and how hard to press it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    url: str
    """Up to and including the version, such as `http://127.0.0.1:8000/v1`."""
    model: str
    """The model's name on the server."""
    api_key_env: str | None = None
    """Environment variable that holds the key. The key itself never stands in a recipe."""
    max_concurrency: int = Field(default=16, ge=1)
    """Requests in flight at once."""
    timeout_s: float = Field(default=120.0, gt=0)
    """How long one try may take."""
    max_retries: int = Field(default=6, ge=0)
    """Tries after the first one, for time-outs, rate limits and servers in trouble."""
    backoff_s: float = Field(default=0.5, gt=0)
    """Wait before the first retry; doubles each time, times a random factor of 0.5 to 1."""
    max_backoff_s: float = Field(default=60.0, gt=0)
    """Longest wait between two tries, and the longest `Retry-After` that is heeded."""
    send_seed: bool = True
    """Whether to send the request's seed (some servers refuse the field)."""
    dialect: Literal["openai", "vllm"] = "openai"
    """How a form is asked for: `openai` knows JSON schemas (`response_format`) only, `vllm` also
    regular expressions and choices (`structured_outputs`)."""

    @field_validator("url")
    @classmethod
    def _plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = "url must look like http://host:port/v1"
            raise ValueError(msg)
        if parts.username or parts.password or parts.query:
            msg = "url must not carry a user, password or query; name the key in api_key_env"
            raise ValueError(msg)
        return url.rstrip("/")


class EndpointGenerator:
    """Answer requests through POST `url`/chat/completions.

    Up to `max_concurrency` requests are in flight; each is tried `1 + max_retries` times. A request
    that the server refuses (400, 413, 422 ...) or that stays unanswered becomes an answer with an
    error. The service as a whole counts as down, which raises, when the first thing heard from it
    is a status about the key, the model or the path, when 8 requests in a row were lost, or when
    all were (no connection, rate limit, server error or unreadable reply to the last try).

    Args:
        options: See `EndpointOptions`.
        where: The step that the errors name.

    Raises:
        ServiceError: `api_key_env` names a variable that is not set.
    """

    def __init__(self, options: EndpointOptions, *, where: str = "endpoint") -> None:
        self.options, self.where = options, where
        self._is_proven = False
        if options.api_key_env and not os.environ.get(options.api_key_env):
            what = f"the environment variable {options.api_key_env!r} is not set"
            raise ServiceError(where, what, fix=f"export {options.api_key_env}=... and run again")

    def stream(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yield one answer per request, as each comes back.

        Raises:
            ServiceError: The service cannot be reached or refuses every request.
            StepError: A request id came twice.
        """
        source = each_once(requests)
        done: queue.SimpleQueue[Future[_Outcome]] = queue.SimpleQueue()
        in_flight = n_answers = n_lost = in_a_row = 0
        with _Client(self.options, self.where) as client:
            while True:
                while in_flight < self.options.max_concurrency:
                    request = next(source, None)
                    if request is None:
                        break
                    self._check_form(request)
                    client.submit(request).add_done_callback(done.put)
                    in_flight += 1
                if not in_flight:
                    break
                outcome = done.get().result()
                in_flight -= 1
                n_answers += 1
                n_lost += outcome.fate == "lost"
                in_a_row = in_a_row + 1 if outcome.fate in {"lost", "late"} else 0
                is_last = n_lost == n_answers and not in_flight
                self._raise_when_down(outcome, in_a_row=in_a_row)
                yield outcome.answer
        if n_answers and is_last:
            raise self._down(outcome)

    def close(self) -> None:
        """Nothing outlives a stream."""

    def _check_form(self, request: Request) -> None:
        sampling = request.sampling
        form = "regex" if sampling.regex is not None else "choice" if sampling.choice else None
        if form and self.options.dialect == "openai":
            what = f"the step asks for answers by {form}, which OpenAI's protocol does not know"
            fix = "use json_schema, or set the model's option `dialect: vllm` if the server is vLLM"
            raise ServiceError(self.where, what, fix=fix)

    def _raise_when_down(self, outcome: _Outcome, *, in_a_row: int) -> None:
        if outcome.fate == "answered":
            self._is_proven = True
        if in_a_row >= GIVE_UP_AFTER or (outcome.fate == "denied" and not self._is_proven):
            raise self._down(outcome)

    def _down(self, outcome: _Outcome) -> ServiceError:
        what = f"{self.options.url} does not answer: {outcome.answer.error}"
        fix = "check the address, the model's name, the key and the server, and run again"
        return ServiceError(self.where, what, fix=fix)


Fate = Literal["answered", "refused", "denied", "lost", "late"]
"""`refused`: this request; `denied`: by a status about key, model or path; `late`: timed out."""


@dataclass(frozen=True)
class _Outcome:
    answer: Answer
    fate: Fate


class _Client:
    """An HTTP client in a thread with an event loop of its own; leaving it cancels what is open."""

    def __init__(self, options: EndpointOptions, where: str) -> None:
        try:
            import httpx
        except ModuleNotFoundError as error:
            fix = "uv add 'databuild[endpoint]'"
            raise ServiceError(where, "httpx is not installed", fix=fix) from error
        self.options = options
        self._key = os.environ.get(options.api_key_env or "", "")
        self._open: set[Future[_Outcome]] = set()
        self._entered = ExitStack()
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=options.timeout_s,
            limits=httpx.Limits(max_connections=options.max_concurrency),
        )

    def __enter__(self) -> Self:
        from anyio.from_thread import start_blocking_portal

        self._portal = self._entered.enter_context(start_blocking_portal())
        self._entered.enter_context(self._portal.wrap_async_context_manager(self._http))
        return self

    def __exit__(self, *_: object) -> None:
        # By anyio's own cancellation: httpx connects in an anyio task group, and asyncio's would
        # leave a task of it that has not begun with a coroutine that nobody ever awaits.
        for future in list(self._open):
            future.cancel()
        self._entered.close()

    def submit(self, request: Request) -> Future[_Outcome]:
        future = self._portal.start_task_soon(self._answer, request)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        return future

    async def _answer(self, request: Request) -> _Outcome:
        import anyio

        tries = 1 + self.options.max_retries
        outcome, wait_s = await self._try(request)
        for attempt in range(self.options.max_retries):
            if outcome.fate not in {"lost", "late"}:
                break
            await anyio.sleep(self._backoff_s(request, attempt) if wait_s is None else wait_s)
            outcome, wait_s = await self._try(request)
        if outcome.fate in {"lost", "late"} and tries > 1:
            error = f"{outcome.answer.error}, {tries} times"
            outcome = _failed(request, outcome.fate, error)
        return outcome

    async def _try(self, request: Request) -> tuple[_Outcome, float | None]:
        import anyio
        import httpx

        try:
            with anyio.fail_after(self.options.timeout_s):
                url = f"{self.options.url}/chat/completions"
                response = await self._http.post(url, json=self._payload(request))
        except (TimeoutError, httpx.TimeoutException):
            error = f"timed out after {self.options.timeout_s:g} s"
            return _failed(request, "late", error), None
        except (httpx.TransportError, httpx.DecodingError) as trouble:
            return _failed(request, "lost", f"{type(trouble).__name__}: {trouble}"), None
        if response.status_code == 200:
            return _read(request, response), None
        body = " ".join(response.text.split())[:300]
        if self._key:
            body = body.replace(self._key, "***")
        error = f"status {response.status_code}: {body}"
        if response.status_code in RETRIED:
            return _failed(request, "lost", error), self._retry_after_s(response)
        denied = response.status_code in REFUSES_EVERYTHING
        return _failed(request, "denied" if denied else "refused", error), None

    def _payload(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        payload: dict[str, Any] = {
            "model": self.options.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.stop:
            payload["stop"] = list(sampling.stop)
        payload |= _beyond(sampling)
        if self.options.send_seed and sampling.temperature > 0:
            payload["seed"] = request.seed & (2**63 - 1)
        return payload

    def _backoff_s(self, request: Request, attempt: int) -> float:
        # Drawn from the request, not from a clock: requests spread out, runs repeat.
        factor = 0.5 + xxhash.xxh3_64_intdigest(f"{request.id}/{attempt}".encode()) / 2**65
        return min(self.options.backoff_s * 2.0**attempt, self.options.max_backoff_s) * factor

    def _retry_after_s(self, response: httpx.Response) -> float | None:
        """Read `Retry-After` (RFC 9110, 10.2.3): seconds or a date; None if there is none."""
        value = response.headers.get("retry-after", "").strip()
        try:
            wait_s = float(value)
        except ValueError:
            try:
                wait_s = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
            except (TypeError, ValueError):
                return None
        return None if math.isnan(wait_s) else min(max(wait_s, 0.0), self.options.max_backoff_s)


def _beyond(sampling: Sampling) -> dict[str, Any]:
    """The fields of sampling that are sent only where they are not the defaults.

    `top_k`, `min_p` and `repetition_penalty` are not OpenAI's; vLLM, SGLang and llama.cpp know
    them, and a server that does not says so with status 400.
    """
    sent = {name: value for name, value in sampling.decides().items() if name in _NOT_ALWAYS_SENT}
    if sampling.json_schema is not None:
        schema = {"name": "answer", "schema": json.loads(sampling.json_schema), "strict": True}
        sent["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif sampling.regex is not None:
        sent["structured_outputs"] = {"regex": sampling.regex}
    elif sampling.choice:
        sent["structured_outputs"] = {"choice": list(sampling.choice)}
    return sent


_NOT_ALWAYS_SENT = (
    "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty", "logprobs",
)  # fmt: skip


def _failed(request: Request, fate: Fate, error: str) -> _Outcome:
    finish: FinishReason = "refused" if fate == "refused" else "error"
    return _Outcome(Answer(request.id, None, finish, error=error), fate)


def _read(request: Request, response: httpx.Response) -> _Outcome:
    """Read a completion; any other reply counts as lost, as when a proxy answers in between."""
    try:
        body = response.json()
        choice = body["choices"][0]
        message = choice["message"]
        text, finish = message.get("content"), choice.get("finish_reason")
        refusal = message.get("refusal")
        logprob = _logprob(choice) if request.sampling.logprobs else None
        usage = body.get("usage") or {}
        counts = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        start = " ".join(response.text.split())[:120]
        return _failed(request, "lost", f"the reply is no chat completion but {start!r}")
    if refusal or (finish == "content_filter" and not text):
        error = f"the model refused: {refusal or 'content filter'}"
        return _Outcome(Answer(request.id, None, "refused", *counts, error=error), "answered")
    if not isinstance(text, str):
        return _Outcome(Answer(request.id, None, "error", *counts, error="no text"), "answered")
    # JSON can carry half a surrogate pair, which neither UTF-8 nor Parquet can.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    reason: FinishReason = "length" if finish == "length" else "stop"
    return _Outcome(Answer(request.id, text, reason, *counts, logprob=logprob), "answered")


def _logprob(choice: Mapping[str, Any]) -> float | None:
    """The sum over an answer's tokens; None where the server does not say."""
    tokens = (choice.get("logprobs") or {}).get("content")
    return None if tokens is None else math.fsum(float(token["logprob"]) for token in tokens)
