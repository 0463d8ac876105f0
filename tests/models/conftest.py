"""A real HTTP server with the fake model behind it, which can be told to misbehave."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from databuild.models.fake import FakeGenerator
from databuild.models.protocol import Message, Request, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Server:
    """What the server got, and how it is to misbehave: `trouble` may reply in the model's place."""

    url: str
    model: FakeGenerator
    trouble: Callable[[int, dict[str, Any]], Reply | None] = lambda _n, _payload: None
    delay_s: float = 0.0
    payloads: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    open_now: int = 0
    open_most: int = 0


def beyond(payload: dict[str, Any]) -> dict[str, Any]:
    """The sampling that is sent only where it is asked, as vLLM's server reads it."""
    names = (
        "top_k",
        "min_p",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logprobs",
    )
    found = {name: payload[name] for name in names if name in payload}
    if "response_format" in payload:
        found["json_schema"] = json.dumps(payload["response_format"]["json_schema"]["schema"])
    return found | payload.get("structured_outputs", {})


def complete(server: Server, payload: dict[str, Any]) -> Reply:
    """Answer as vLLM's server does, with the fake model."""
    request = Request(
        id="r",
        messages=tuple(Message(m["role"], m["content"]) for m in payload["messages"]),
        sampling=Sampling(
            temperature=payload["temperature"],
            top_p=payload["top_p"],
            max_tokens=payload["max_tokens"],
            stop=tuple(payload.get("stop", ())),
            **beyond(payload),
        ),
        seed=payload.get("seed", 0),
    )
    answer = server.model.answer(request)
    if answer.finish_reason == "error":
        return 400, {}, json.dumps({"error": {"message": answer.error}}).encode()
    message = {"role": "assistant", "content": answer.text}
    finish = answer.finish_reason
    if finish == "refused":
        message, finish = {"role": "assistant", "content": None, "refusal": answer.error}, "stop"
    usage = {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
    }
    logprobs = {"content": [{"token": "all", "logprob": answer.logprob}]}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    choice |= {"logprobs": logprobs} if answer.logprob is not None else {}
    return 200, {}, json.dumps({"choices": [choice], "usage": usage}).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of its own for every test."""
    state = Server(url="", model=FakeGenerator())
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                n = len(state.payloads)
                state.payloads.append(payload)
                state.headers.append(dict(self.headers))
                state.times.append(time.monotonic())
                state.open_now += 1
                state.open_most = max(state.open_most, state.open_now)
            time.sleep(state.delay_s)
            status, headers, body = state.trouble(n, payload) or complete(state, payload)
            with lock:
                state.open_now -= 1
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            """Keep quiet."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_args: Any) -> None:
            """A client that hangs up is part of the tests."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield state
        http.shutdown()
