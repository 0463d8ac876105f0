"""An endpoint's troubles: what goes away is tried again, what does not is told apart."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import ValidationError

from databuild.errors import ServiceError
from databuild.models.endpoint import EndpointGenerator, EndpointOptions
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.protocol import Message, Request, Sampling


def asks(n: int) -> list[Request]:
    return [Request(str(i), (Message("user", f"About tea {i}."),), Sampling(), i) for i in range(n)]


def endpoint(server, **options: object) -> EndpointGenerator:
    given = {"url": server.url, "model": "fake", "backoff_s": 0.01, **options}
    return EndpointGenerator(EndpointOptions.model_validate(given))


def failing(times: int, status: int, headers: dict[str, str] | None = None, body: bytes = b"busy"):
    """Return a trouble that meets each request so many times."""
    met: Counter[str] = Counter()

    def trouble(_n, payload):
        key = payload["messages"][-1]["content"]
        met[key] += 1
        return (status, headers or {}, body) if met[key] <= times else None

    return trouble


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_what_goes_away_is_tried_again(server, status):
    server.trouble = failing(2, status)
    answers = list(endpoint(server).stream(asks(5)))
    assert [a.error for a in answers] == [None] * 5
    assert len(server.payloads) == 15


def test_the_answers_are_the_models_own(server):
    answers = {a.id: a.text for a in endpoint(server).stream(asks(20))}
    assert answers == {a.id: a.text for a in FakeGenerator().stream(asks(20))}


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_retry_after_is_heeded(server, kind):
    later = datetime.now(UTC) + timedelta(seconds=6)  # a busy machine asks seconds later
    value = "1" if kind == "seconds" else format_datetime(later, usegmt=True)
    server.trouble = failing(1, 429, {"Retry-After": value})
    assert [a.error for a in endpoint(server).stream(asks(1))] == [None]
    waited_s = server.times[1] - server.times[0]
    assert 0.9 < waited_s < 8


@pytest.mark.parametrize("value", ["soon", "-5", "nan", ""])
def test_an_odd_retry_after_is_survived(server, value):
    server.trouble = failing(1, 503, {"Retry-After": value})
    assert [a.error for a in endpoint(server).stream(asks(1))] == [None]


def test_retry_after_is_bounded(server):
    server.trouble = failing(1, 429, {"Retry-After": "86400"})
    started = time.monotonic()
    assert [a.error for a in endpoint(server, max_backoff_s=0.2).stream(asks(1))] == [None]
    assert time.monotonic() - started < 5


def test_waits_grow(server):
    server.trouble = failing(4, 500)
    list(endpoint(server, backoff_s=0.1).stream(asks(1)))
    waits = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
    assert waits[0] >= 0.05
    assert waits[3] >= 0.4


def test_a_refused_request_is_an_answer_with_the_servers_words(server):
    def trouble(_n, payload):
        is_third = payload["messages"][-1]["content"] == "About tea 3."
        return (400, {}, b'{"message": "context too long"}') if is_third else None

    server.trouble = trouble
    answers = {a.id: a for a in endpoint(server).stream(asks(6))}
    assert answers["3"].error == 'status 400: {"message": "context too long"}'
    assert sum(a.error is None for a in answers.values()) == 5
    assert len(server.payloads) == 6


def test_one_request_lost_among_many_is_an_answer(server):
    def trouble(_n, payload):
        is_third = payload["messages"][-1]["content"] == "About tea 3."
        return (500, {}, b"crash") if is_third else None

    server.trouble = trouble
    answers = {a.id: a for a in endpoint(server, max_retries=2).stream(asks(6))}
    assert answers["3"].error == "status 500: crash, 3 times"
    assert sum(a.error is None for a in answers.values()) == 5


def test_a_slow_request_times_out_and_is_an_answer(server):
    server.delay_s = 0.5
    (answer,) = endpoint(server, timeout_s=0.1, max_retries=1).stream(asks(1))
    assert answer.finish_reason == "error"
    assert answer.error == "timed out after 0.1 s, 2 times"


@pytest.mark.parametrize(
    "body",
    [b"<html>login</html>", b"{}", b'{"choices": []}', b"[1]", b'{"choices": [{}]}', b"\xff"],
)
def test_garbage_is_tried_again(server, body):
    server.trouble = failing(1, 200, body=body)
    assert [a.error for a in endpoint(server).stream(asks(2))] == [None, None]


def test_a_reply_that_ends_half_way_is_tried_again_and_named(server):
    server.trouble = failing(1, 200, {"Content-Length": "5000"}, body=b'{"choices": [{"mess')
    assert [a.error for a in endpoint(server).stream(asks(2))] == [None, None]
    server.trouble = failing(99, 200, {"Content-Length": "5000"}, body=b'{"choices": [{"mess')
    with pytest.raises(ServiceError, match="RemoteProtocolError: peer closed connection"):
        list(endpoint(server, max_retries=1).stream(asks(2)))


def test_nothing_but_garbage_is_an_error(server):
    server.trouble = failing(99, 200, body=b"<html>login</html>")
    with pytest.raises(ServiceError, match="the reply is no chat completion but '<html>login"):
        list(endpoint(server, max_retries=1).stream(asks(3)))


def test_half_a_surrogate_pair_is_replaced(server):
    body = {"choices": [{"message": {"content": "a\ud83d b\U0001f600"}, "finish_reason": "stop"}]}
    server.trouble = failing(1, 200, body=json.dumps(body).encode())
    (answer,) = endpoint(server).stream(asks(1))
    assert answer.text == "a\ufffd b\U0001f600"


def test_a_refusal_and_a_filter_are_refused(server):
    server.model = FakeGenerator(FakeOptions(refuse_ratio=1.0))
    (answer,) = endpoint(server).stream(asks(1))
    assert (answer.finish_reason, answer.text) == ("refused", None)
    body = {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}
    server.trouble = failing(1, 200, body=json.dumps(body).encode())
    (answer,) = endpoint(server).stream(asks(1))
    assert answer.error == "the model refused: content filter"


def test_an_answer_without_text_is_an_error_of_the_request(server):
    body = {"choices": [{"message": {"content": None}, "finish_reason": "tool_calls"}]}
    server.trouble = failing(1, 200, body=json.dumps(body).encode())
    (answer,) = endpoint(server).stream(asks(1))
    assert (answer.finish_reason, answer.error) == ("error", "no text")


def test_a_dead_server_is_an_error(server):
    options = EndpointOptions(url="http://127.0.0.1:9/v1", model="m", max_retries=1, backoff_s=0.01)
    with pytest.raises(ServiceError, match=r"http://127.0.0.1:9/v1 does not answer: ConnectError"):
        list(EndpointGenerator(options).stream(asks(3)))


def test_a_server_that_dies_on_the_way_stops_the_stream_early(server):
    server.trouble = lambda n, _payload: (503, {}, b"gone") if n >= 10 else None
    answers = []
    with pytest.raises(ServiceError, match="status 503: gone"):
        answers.extend(endpoint(server, max_retries=1, max_concurrency=4).stream(asks(1000)))
    assert len(server.payloads) < 60


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_model_or_path_is_an_error_at_once(server, status):
    server.trouble = failing(99, status, body=b"no such thing")
    with pytest.raises(ServiceError, match=f"status {status}: no such thing"):
        list(endpoint(server, max_concurrency=1).stream(asks(50)))
    assert len(server.payloads) == 1


def test_a_forbidden_request_among_good_ones_is_an_answer(server):
    server.trouble = lambda n, _payload: (403, {}, b"moderated") if n == 2 else None
    answers = list(endpoint(server, max_concurrency=1).stream(asks(5)))
    assert [a.error for a in answers] == [None, None, "status 403: moderated", None, None]


def test_concurrency_is_bounded_and_used(server):
    server.delay_s = 0.05
    list(endpoint(server, max_concurrency=5).stream(asks(25)))
    assert server.open_most == 5


def test_requests_are_taken_as_there_is_room(server):
    taken = []

    def source():
        for request in asks(100):
            taken.append(request.id)
            yield request

    stream = endpoint(server, max_concurrency=3).stream(source())
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert len(taken) == 3


def test_the_key_is_sent_and_never_shown(server, monkeypatch, caplog):
    monkeypatch.setenv("A_TEST_KEY", "sk-very-secret")
    caplog.set_level(logging.DEBUG)
    server.trouble = failing(99, 401, body=b"Incorrect API key provided: sk-very-secret")
    generator = endpoint(server, api_key_env="A_TEST_KEY")
    with pytest.raises(ServiceError, match=r"key provided: \*\*\*") as error:
        list(generator.stream(asks(2)))
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    shown = f"{error.value!r} {generator.options!r} {generator!r} {vars(generator)} {caplog.text}"
    assert "very-secret" not in shown


def test_a_key_that_is_not_set_is_an_error(server):
    with pytest.raises(ServiceError, match="variable 'NO_SUCH_KEY' is not set"):
        endpoint(server, api_key_env="NO_SUCH_KEY")


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000/v1", "ftp://x/v1", "http://user:pass@x/v1", "http://x/v1?key=1"]
)
def test_an_odd_address_is_refused(url):
    with pytest.raises(ValidationError, match="url must"):
        EndpointOptions(url=url, model="m")


def test_seeds_are_sent_for_samples_only_and_can_be_left_out(server):
    (one,) = asks(1)
    greedy = Request("g", one.messages, Sampling(temperature=0), 5)
    list(endpoint(server, max_concurrency=1).stream([one, greedy]))
    list(endpoint(server, send_seed=False).stream([one]))
    assert ["seed" in payload for payload in server.payloads] == [True, False, False]


@pytest.mark.slow
def test_leaving_while_requests_are_being_sent_is_clean(server):
    for n_read in range(40):
        answers = endpoint(server, max_concurrency=8).stream(asks(1000))
        for _ in range(n_read % 10 + 1):
            next(answers)
        del answers  # as when a loop over them is left
    gc.collect()  # a coroutine that was never awaited says so now, which fails this test
    assert len(server.payloads) < 40 * (10 + 8)


def test_a_form_that_the_servers_protocol_does_not_know_is_refused_at_once(server):
    request = Request("r", (Message("user", "Hi"),), Sampling(regex="a+"), 1)
    with pytest.raises(ServiceError, match=r"by regex, which OpenAI.*Fix: use json_schema, or set"):
        list(endpoint(server).stream([request]))
    assert server.payloads == []


def test_only_sampling_that_was_asked_is_sent_and_a_schema_as_openai_has_it(server):
    schema = '{"properties":{"a":{"type":"string"}},"type":"object"}'
    for sampling in (Sampling(), Sampling(top_k=3, json_schema=schema, logprobs=True)):
        list(endpoint(server).stream([Request("r", (Message("user", "Hi"),), sampling, 1)]))
    plain, full = server.payloads
    assert set(plain) == {"model", "messages", "temperature", "top_p", "max_tokens", "seed"}
    assert set(full) - set(plain) == {"top_k", "response_format", "logprobs"}
    form = full["response_format"]
    assert (form["type"], form["json_schema"]["schema"]) == ("json_schema", json.loads(schema))
