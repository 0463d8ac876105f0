"""Several vLLM processes behind one generator: who gets which request, and what an end leaves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from databuild.errors import ServiceError
from databuild.models import vllm
from databuild.models.protocol import Message, Request, Sampling
from databuild.models.vllm import VllmOptions
from databuild.models.vllm_pool import VllmPool, shares_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Engine:
    """Stands for the child process: answers in order, and can die."""

    started: ClassVar[list[Engine]] = []
    dies_at: ClassVar[int | None] = None

    def __init__(self, _module: str, *, where: str, log: Path, env: dict[str, str]) -> None:
        self.where, self.log, self.env = where, log, env
        self.sent: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.is_alive = True
        self._out, self._in = os.pipe()
        self.started.append(self)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [message["ask"] for message in self.sent if "ask" in message]

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if "ask" in message:
            one = message["ask"]
            fields = {"id": one["id"], "text": f"seed {one['seed']}", "finish_reason": "stop"}
            self._say({"answer": fields})
        elif "abort" in message:
            self._say({"aborted": True})
        elif "model" in message:
            self._say({"ready": {}})
        elif "load" in message:
            self._say({"loaded": message["load"]})

    def _say(self, message: dict[str, Any]) -> None:
        self.told.append(message)
        os.write(self._in, b".")

    def receive(self, _timeout_s: float | None = None) -> dict[str, Any] | None:
        if self is self.started[-1] and self.dies_at == len(self.asked):
            self.is_alive = False
            raise ServiceError(self.where, "it died", fix="read the log")
        if not self.told:
            return None
        os.read(self._out, 1)
        return self.told.pop(0)

    def fileno(self) -> int:
        return self._out

    def close(self, grace_s: float = 0.0) -> None:
        assert grace_s >= 0
        if self.is_alive:
            self.is_alive = False
        if self._out >= 0:
            os.close(self._out)
            os.close(self._in)
            self._out = -1


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, smollm2_like: Path) -> Iterator[VllmPool]:
    monkeypatch.setattr(vllm, "Child", Engine)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    monkeypatch.setattr(Engine, "started", [])
    monkeypatch.setattr(Engine, "dies_at", None)
    options = VllmOptions(
        model=smollm2_like, device="cpu", data_parallel_size=2, kv_cache_gib=1, max_num_seqs=2
    )
    made = VllmPool(options, log=smollm2_like / "vllm.log", where="answers")
    yield made
    made.close()


@pytest.fixture
def smollm2_like(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    return tmp_path


def asks(n: int) -> list[Request]:
    said = (Message("user", "Hi"),)
    return [Request(f"r{i}", said, Sampling(), 1000 + i) for i in range(n)]


def test_every_request_is_answered_once_and_the_work_is_shared(pool):
    answers = list(pool.stream(asks(21)))
    assert {one.id: one.text for one in answers} == {f"r{i}": f"seed {1000 + i}" for i in range(21)}
    assert len(answers) == 21
    shared = [len(one.asked) for one in Engine.started]
    assert sum(shared) == 21
    assert min(shared) >= 10


def test_no_two_workers_are_given_the_same_seed(pool):
    list(pool.stream(asks(16)))
    first, second = ({one["seed"] for one in engine.asked} for engine in Engine.started)
    assert first
    assert second
    assert not first & second


def test_workers_have_cores_and_logs_of_their_own_and_start_together(pool, tmp_path):
    list(pool.stream(asks(1)))
    bound = [one.env["VLLM_CPU_OMP_THREADS_BIND"] for one in Engine.started]
    assert bound == ["0,1", "2,3"]
    assert [one.log.name for one in Engine.started] == ["vllm.log", "vllm-1.log"]


def test_nothing_asked_starts_nothing(pool):
    assert list(pool.stream([])) == []
    assert Engine.started == []


def test_a_closed_stream_drops_what_is_in_flight_and_the_next_is_whole(pool):
    stream = pool.stream(asks(8))
    next(stream)
    stream.close()
    assert any({"abort": True} in one.sent for one in Engine.started)
    assert sorted(one.id for one in pool.stream(asks(4))) == ["r0", "r1", "r2", "r3"]
    assert len(Engine.started) == 2


def test_two_streams_at_once_are_refused(pool):
    stream = pool.stream(asks(3))
    next(stream)
    with pytest.raises(ServiceError, match="while another stream is open"):
        next(pool.stream(asks(1)))


def test_a_worker_that_dies_ends_the_others(pool):
    Engine.dies_at = 4
    with pytest.raises(ServiceError, match="it died"):
        list(pool.stream(asks(8)))
    assert [one.is_alive for one in Engine.started] == [False, False]


def test_other_weights_go_to_every_worker(pool, smollm2_like):
    list(pool.stream(asks(2)))
    assert pool.can_load(smollm2_like)
    pool.load(smollm2_like)
    assert all({"load": str(smollm2_like)} in one.sent for one in Engine.started)


@pytest.mark.parametrize(
    ("visible", "per_model", "shares"),
    [("0,1,2,3", 1, ["0", "1"]), ("4,5,6,7", 2, ["4,5", "6,7"])],
)
def test_each_worker_has_gpus_of_its_own(monkeypatch, tmp_path, visible, per_model, shares):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    options = VllmOptions(
        model=tmp_path, device="cuda", data_parallel_size=2, tensor_parallel_size=per_model
    )
    assert [one["CUDA_VISIBLE_DEVICES"] for one in shares_of(options)] == shares


def test_too_few_devices_are_said_before_anything_starts(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    options = VllmOptions(
        model=tmp_path, device="cuda", data_parallel_size=2, pipeline_parallel_size=2
    )
    with pytest.raises(ServiceError, match="2 workers need 4 GPUs, and there are 3"):
        VllmPool(options, log=tmp_path / "log", where="answers")
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0})
    options = VllmOptions(model=tmp_path, device="cpu", data_parallel_size=2)
    with pytest.raises(ServiceError, match="2 workers need 2 cores, and there are 1"):
        VllmPool(options, log=tmp_path / "log", where="answers")
