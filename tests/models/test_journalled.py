"""What was answered once is never asked again, whatever died in between."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from databuild.engine.journal import Journal
from databuild.errors import ServiceError, StepError
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.journalled import Journalled
from databuild.models.protocol import Message, Request, Sampling

if TYPE_CHECKING:
    from pathlib import Path

_OPEN: list[Journal] = []


def opened(folder: Path) -> Journal:
    """Open a journal as a process of its own would: the one before has ended."""
    while _OPEN:
        _OPEN.pop().close()
    _OPEN.append(Journal(folder))
    return _OPEN[-1]


def asks(n: int) -> list[Request]:
    return [
        Request(f"q{i}", (Message("user", f"Tell me about tea {i % 3}."),), Sampling(), i)
        for i in range(n)
    ]


class Counting(FakeGenerator):
    """A fake model that counts what it is asked."""

    n_asked = 0
    n_closed = 0

    def answer(self, request):
        self.n_asked += 1
        return super().answer(request)

    def close(self):
        self.n_closed += 1


def test_a_second_run_asks_nothing_and_starts_nothing(tmp_path):
    model = Counting()
    seen: list[tuple[str, bool]] = []
    first = list(Journalled(model, opened(tmp_path), "m@1").stream(asks(30)))
    assert model.n_asked == 30

    def start() -> Counting:
        raise AssertionError

    again = Journalled(
        start, opened(tmp_path), "m@1", lambda a, cached: seen.append((a.id, cached))
    )
    second = list(again.stream(asks(30)))
    again.close()
    assert sorted(first, key=lambda a: a.id) == sorted(second, key=lambda a: a.id)
    assert seen == [(f"q{i}", True) for i in range(30)]


def test_a_death_in_the_middle_loses_no_answer_that_was_seen(tmp_path):
    seen: list[object] = []
    dying = Journalled(FakeGenerator(FakeOptions(die_after=11)), opened(tmp_path), "m@1")
    with pytest.raises(ServiceError, match="died after 11"):
        seen.extend(dying.stream(asks(30)))
    model = Counting()
    marked = list(Journalled(model, opened(tmp_path), "m@1").marked(asks(30)))
    assert model.n_asked == 30 - 11
    assert sum(cached for _, cached in marked) == 11
    straight = {a.id: a for a in FakeGenerator().stream(asks(30))}
    assert {a.id: a for a, _ in marked} == straight


def test_an_answer_is_in_the_journal_before_it_is_seen(tmp_path):
    stream = Journalled(FakeGenerator(), opened(tmp_path), "m@1").stream(asks(30))
    answer = next(stream)
    written = (tmp_path / "requests.jsonl").read_text()
    lines = [json.loads(line) for line in written.splitlines()]
    assert [value["text"] for _, value in lines] == [answer.text]


def test_errors_are_tried_again(tmp_path):
    options = FakeOptions(time_out_ratio=0.5)
    first = list(Journalled(FakeGenerator(options), opened(tmp_path), "m@1").stream(asks(40)))
    n_errors = sum(a.error is not None for a in first)
    assert n_errors > 5
    model = Counting()
    second = list(Journalled(model, opened(tmp_path), "m@1").stream(asks(40)))
    assert model.n_asked == n_errors
    assert all(a.error is None for a in second)


def test_the_key_covers_all_that_decides_an_answer(tmp_path):
    (one,) = asks(1)
    others = [
        replace(one, id="other"),
        replace(one, seed=99),
        replace(one, messages=(Message("system", "Be brief."), *one.messages)),
        replace(one, messages=(Message("user", "Tell me about tea 0. "),)),
        replace(one, sampling=Sampling(temperature=0.5)),
        replace(one, sampling=Sampling(stop=("x",))),
    ]
    keyed = Journalled(FakeGenerator(), opened(tmp_path), "m@1")
    keys = {keyed.key(request) for request in [one, *others]}
    keys.add(Journalled(FakeGenerator(), opened(tmp_path), "m@2").key(one))
    assert len(keys) == 2 + len(others)
    assert keyed.key(one) == "a03d05203d1e978e395a19f4c6a76f37"


def test_new_ways_to_sample_have_keys_of_their_own_and_leave_the_old_ones(tmp_path):
    (one,) = asks(1)
    keyed = Journalled(FakeGenerator(), opened(tmp_path), "m@1")
    ways = {
        "top_k": 5, "min_p": 0.1, "presence_penalty": 0.1, "frequency_penalty": 0.1,
        "repetition_penalty": 1.1, "logprobs": True, "json_schema": '{"type":"object"}',
        "regex": "a", "choice": ("a", "b"),
    }  # fmt: skip
    assert set(ways) == Sampling.model_fields.keys() - {
        "temperature",
        "top_p",
        "max_tokens",
        "stop",
    }
    keys = {keyed.key(replace(one, sampling=Sampling(**{n: v}))) for n, v in ways.items()}
    assert len(keys) == len(ways)
    assert keyed.key(replace(one, sampling=Sampling(top_k=0, min_p=0.0))) == keyed.key(one)
    assert keyed.key(replace(one, sampling=Sampling(temperature=0.7, stop=("x",)))) == (
        "bc179fa8f55ce59590f347ee178128de"
    )


def test_the_same_id_twice_is_refused(tmp_path):
    journalled = Journalled(FakeGenerator(), opened(tmp_path), "m@1")
    with pytest.raises(StepError, match="'q0' came twice"):
        list(journalled.stream([*asks(1), *asks(1)]))


def test_close_reaches_the_generator(tmp_path):
    model = Counting()
    journalled = Journalled(model, opened(tmp_path), "m@1")
    journalled.close()
    journalled.close()
    assert model.n_closed == 2
