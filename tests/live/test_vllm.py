"""Real vLLM keeps the contract that the fake model keeps, and leaves no process behind."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from databuild.errors import ServiceError
from databuild.models.vllm import VllmGenerator, VllmOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from databuild.models.protocol import Request

pytestmark = pytest.mark.live
TESTS = Path(__file__).resolve().parents[1]


def _load_contract() -> Any:
    spec = importlib.util.spec_from_file_location("contract", TESTS / "models/test_contract.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


contract = _load_contract()
PARENT = """
import sys
from pathlib import Path
from databuild.models.protocol import Message, Request, Sampling
from databuild.models.vllm import VllmGenerator, VllmOptions
options = VllmOptions(model=Path(sys.argv[1]), max_model_len=256, kv_cache_gib=1)
generator = VllmGenerator(options, log=Path(sys.argv[2]))
long = Sampling(max_tokens=200)
asks = [Request(str(i), (Message("user", "Tell me about tea."),), long, i) for i in range(64)]
asks.append(Request("short", asks[0].messages, Sampling(max_tokens=1), 99))
for answer in generator.stream(asks):
    print(generator._child.pid, flush=True)
"""


def group_of(pid: int) -> list[psutil.Process]:
    """Return the living members of a process group."""
    members = []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and os.getpgid(process.pid) == pid:
                members.append(process)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return members


def wait_until_none(pid: int, limit_s: float = 10.0) -> list[psutil.Process]:
    deadline = time.monotonic() + limit_s
    while (left := group_of(pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


@pytest.fixture(scope="module")
def shared(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmGenerator]:
    """One vLLM process for this module; a token budget that would cut prefills into chunks."""
    options = VllmOptions(
        model=smollm2,
        max_model_len=512,
        max_num_seqs=16,
        max_num_batched_tokens=512,
        kv_cache_gib=1,
    )
    generator = VllmGenerator(options, log=tmp_path_factory.mktemp("vllm") / "vllm.log")
    yield generator
    generator.close()


class TestVllm(contract.GeneratorContract):  # type: ignore[name-defined]
    """vLLM keeps the contract."""

    @pytest.fixture
    def generator(self, shared: VllmGenerator) -> VllmGenerator:
        return shared

    @pytest.fixture
    def closing(self, shared: VllmGenerator) -> VllmGenerator:
        return VllmGenerator(shared.options, log=shared.log)


def ask(prompt: str, name: str, seed: int, **sampling: object) -> Request:
    request: Request = contract.ask(prompt, name=name, seed=seed, **sampling)
    return request


def test_a_stream_is_decided_by_the_requests_seed_and_by_nothing_else(shared: VllmGenerator):
    def sample(seed: int) -> str | None:
        (answer,) = shared.stream([ask("Tell me a story.", "s", seed, temperature=1.0)])
        return answer.text

    first, other, again, high = sample(1), sample(2), sample(1), sample(1 + 2**32)
    assert first == again
    assert len({first, other, high}) == 3


def test_seeded_prompts_that_fill_the_token_budget_do_not_kill_the_engine(shared: VllmGenerator):
    requests = [
        ask(f"{i} " + "river " * (120 + i), str(i), i, max_tokens=2, temperature=0.9)
        for i in range(10)
    ]
    answers = list(shared.stream(requests))
    assert {a.id: a.error for a in answers} == {str(i): None for i in range(10)}
    assert sum(a.prompt_tokens for a in answers) > 512


def test_answers_come_as_they_finish(shared: VllmGenerator):
    requests = [
        ask("Tell me a long story.", "long", 1, max_tokens=60, temperature=0),
        ask("Say hello.", "short", 2, max_tokens=1, temperature=0),
    ]
    assert [answer.id for answer in shared.stream(requests)] == ["short", "long"]


def test_other_weights_are_loaded_into_the_running_process(
    shared: VllmGenerator, smollm2: Path, tmp_path: Path
):
    import torch
    from safetensors.torch import load_file, save_file

    def greedy() -> str | None:
        (answer,) = shared.stream([ask("Tell me about tea.", "g", 1, temperature=0)])
        return answer.text

    other = shutil.copytree(smollm2, tmp_path / "other")
    weights = load_file(smollm2 / "model.safetensors")
    drawn = torch.Generator().manual_seed(0)
    for name, value in weights.items():
        if "mlp.down_proj" in name:
            noise = torch.randn(value.shape, generator=drawn) * value.float().std()
            weights[name] = (value.float() + noise).to(value.dtype)
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})

    before, pid = greedy(), shared._child and shared._child.pid
    shared.load(other)
    changed = greedy()
    shared.load(smollm2)
    assert greedy() == before
    assert changed != before
    assert shared._child
    assert shared._child.pid == pid


def test_an_open_stream_is_not_disturbed(shared: VllmGenerator):
    stream = shared.stream([ask("Tell me about tea.", str(i), i) for i in range(3)])
    next(stream)
    with pytest.raises(ServiceError, match="cannot load weights while a stream is open"):
        shared.load(shared.model)
    with pytest.raises(ServiceError, match="cannot answer while another stream is open"):
        next(shared.stream([ask("Tell me about tea.", "x", 1)]))
    assert len(list(stream)) == 2
    shared.sleep()


def test_an_engine_that_dies_is_one_error_and_leaves_nothing(shared: VllmGenerator):
    requests = [ask("Tell me a story.", str(i), i, max_tokens=200) for i in range(15)]
    stream = shared.stream([*requests, ask("Say hello.", "quick", 99, max_tokens=1)])
    next(stream)
    assert shared._child
    pid = shared._child.pid
    core = [p for p in group_of(pid) if p.pid != pid and p.memory_info().rss > 200 << 20]
    assert core
    core[0].kill()
    with pytest.raises(ServiceError, match=r"vllm_child .*log") as error:
        list(stream)
    assert str(shared.log) in str(error.value)
    assert wait_until_none(pid) == []
    assert shared.is_alive()


def test_a_killed_parent_takes_vllm_with_it(smollm2: Path, tmp_path: Path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(smollm2), str(tmp_path / "vllm.log")],
        stdout=subprocess.PIPE,
        cwd=TESTS.parent,
    )
    assert parent.stdout is not None
    line = parent.stdout.readline()
    assert line, (tmp_path / "vllm.log").read_text()[-2000:]
    pid = int(line)
    assert len(group_of(pid)) >= 3
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert wait_until_none(pid) == []
