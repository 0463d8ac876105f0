"""Real vLLM keeps the contract that the fake model keeps, and leaves no process behind."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from databuild import api
from databuild.errors import ServiceError
from databuild.models.vllm import VllmGenerator, VllmOptions
from databuild.models.vllm_pool import VllmPool

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


def test_an_adapter_is_served_on_its_base_and_swapped_without_a_restart(
    smollm2: Path, tmp_path: Path
):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(smollm2)
        lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        get_peft_model(model, lora).save_pretrained(tmp_path / name)
    options = VllmOptions(model=tmp_path / "one", max_model_len=256, max_num_seqs=4, kv_cache_gib=1)
    generator = VllmGenerator(options, log=tmp_path / "vllm.log")

    def greedy() -> str | None:
        (answer,) = generator.stream([ask("Tell me about tea.", "g", 1, temperature=0)])
        return answer.text

    try:
        first, pid = greedy(), generator._child and generator._child.pid
        generator.load(tmp_path / "two")
        second = greedy()
        generator.load(smollm2)
        base = greedy()
        generator.load(tmp_path / "one")
        assert greedy() == first
        assert len({first, second, base}) == 3
        assert generator._child
        assert generator._child.pid == pid
    finally:
        generator.close()


def test_two_processes_share_the_work_and_a_sample_is_its_requests_own(
    smollm2: Path, tmp_path: Path
):
    options = VllmOptions(
        model=smollm2, max_model_len=256, max_num_seqs=8, kv_cache_gib=1, data_parallel_size=2
    )
    pool = VllmPool(options, log=tmp_path / "vllm.log")

    def sample(*seeds: int) -> dict[str, str | None]:
        asks = [
            ask("Tell me a story.", f"{n}", seed, max_tokens=24, temperature=1.0)
            for n, seed in enumerate(seeds)
        ]
        return {answer.id: answer.text for answer in pool.stream(asks)}

    try:
        pair = sample(5, 5)  # one to each process
        drawn = sample(*range(12))
        pids = [worker._child.pid for worker in pool.workers if worker._child]
        assert len(set(pids)) == 2
        assert pair["0"] == pair["1"]
        assert len(drawn) == len(set(drawn.values())) == 12
    finally:
        pool.close()
    assert [wait_until_none(pid) for pid in pids] == [[], []]


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


RECIPE = """
name: killed
models: {start: {packaged: smollm2-135m-instruct, options: {max_model_len: 256, max_num_seqs: 8, kv_cache_gib: 1}}}
steps:
  raw:     {use: ingest.files, path: p.jsonl}
  answers: {use: generate.respond, from: raw, model: start, k: 6, max_tokens: 24}
"""


def test_kills_of_vllm_and_of_databuild_lose_double_and_pay_twice_nothing(tmp_path: Path):
    prompts = [{"prompt": f"Tell me about tea and the number {i}."} for i in range(8)]
    (tmp_path / "p.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in prompts))
    (tmp_path / "r.yaml").write_text(RECIPE)

    def started() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "databuild", "run", "r.yaml", "--device", "cpu"]
        env = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
        return subprocess.Popen(command, cwd=tmp_path, env=env)

    def journalled() -> list[bytes]:
        found = list((tmp_path / "runs/journals").glob("*/requests.jsonl"))
        return found[0].read_bytes().splitlines() if found else []

    def wait_for(n: int, process: subprocess.Popen[bytes]) -> None:
        while len(journalled()) < n:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.02)

    run = started()
    wait_for(6, run)
    large = [
        p
        for p in psutil.Process(run.pid).children(recursive=True)
        if p.memory_info().rss > 300 << 20
    ]
    large[-1].kill()  # vLLM's own process
    assert run.wait(60) == 5
    after_vllm = journalled()
    assert 6 <= len(after_vllm) < 48

    run = started()
    wait_for(len(after_vllm) + 6, run)
    family = [run.pid, *(p.pid for p in psutil.Process(run.pid).children())]
    run.kill()
    run.wait()
    for pid in family[1:]:
        assert wait_until_none(pid) == []
    after_databuild = journalled()
    assert after_databuild[: len(after_vllm)] == after_vllm
    assert len(after_databuild) < 48

    assert started().wait(240) == 0
    lines = [json.loads(line) for line in journalled()]
    assert len({key for key, *_ in lines}) == len(lines) == 48
    rows = api.show("answers", "killed", runs=tmp_path / "runs")
    assert sorted(rows["response"]) == sorted(value["text"] for _, value, _ in lines)
    usage = api.ledger("killed", runs=tmp_path / "runs").total.usage
    assert (usage.paid, usage.reused, usage.failed) == (48, 0, 0)
    assert usage.tokens_out == sum(value["completion_tokens"] for _, value, _ in lines)
