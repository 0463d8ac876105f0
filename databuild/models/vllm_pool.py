"""Several vLLM processes behind one generator: each has a copy of the model and its own devices.

vLLM's offline engine refuses `data_parallel_size` in one process. Here each worker is a
`VllmGenerator` of its own, and a request goes to the worker that has the fewest in flight.

**Distinct samples.** What an answer is drawn from is the seed that its request carries
(`databuild.models.vllm`, rule 1), never a worker's own stream. So two workers share a stream only
where two requests share a seed, and which worker takes a request does not matter to it.
"""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from databuild.engine.child import POLL_S
from databuild.errors import ServiceError
from databuild.models.protocol import Answer, Request, each_once
from databuild.models.vllm import VllmGenerator, VllmOptions
from databuild.models.vllm_arguments import find_device

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class VllmPool:
    """Answer requests with `options.data_parallel_size` vLLM processes.

    Args:
        options: See `VllmOptions`.
        log: The first worker's output; that of the next goes to `<stem>-1<suffix>`, and so on.
        where: The step that the errors name.

    Raises:
        ServiceError: There are fewer GPUs, or cores, than the workers need.
    """

    def __init__(self, options: VllmOptions, *, log: Path, where: str = "vllm") -> None:
        self.options, self.log = options, Path(log)
        shares = shares_of(options, where)
        self.workers = [
            VllmGenerator(options, log=_log(self.log, n), where=where, env=env)
            for n, env in enumerate(shares)
        ]
        self._is_open = False

    def can_load(self, model: Path) -> bool:
        """Whether `load` can take a folder: see `VllmGenerator.can_load`."""
        return all(worker.can_load(model) for worker in self.workers)

    def is_alive(self) -> bool:
        """Whether every process runs, or is yet to be started."""
        return all(worker.is_alive() for worker in self.workers)

    def stream(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yield one answer per request, as each finishes at any worker.

        Raises:
            ServiceError: A worker cannot be started or died (then all are closed), or another
                stream is still open.
            StepError: A request id came twice.
        """
        if self._is_open:
            fix = "exhaust or close the first stream"
            where = self.workers[0].where
            raise ServiceError(where, "vLLM cannot answer while another stream is open", fix=fix)
        self._is_open = True
        try:
            yield from self._answers(each_once(requests))
        except ServiceError:
            self.close()
            raise
        finally:
            self._is_open = False

    def _answers(self, source: Iterator[Request]) -> Iterator[Answer]:
        limit = 2 * (self.options.max_num_seqs or 256)
        loads = [0] * len(self.workers)
        try:
            while True:
                while min(loads) < limit and (request := next(source, None)) is not None:
                    self._start()
                    least = loads.index(min(loads))
                    self.workers[least].ask(request)
                    loads[least] += 1
                if not any(loads):
                    return
                for n, answer in self._ready(loads):
                    loads[n] -= 1
                    yield answer
        finally:
            for worker, n_left in zip(self.workers, loads, strict=True):
                if n_left:
                    worker.abort()

    def _start(self) -> None:
        """Start all processes at once, then wait for each: loading overlaps."""
        for worker in self.workers:
            worker.begin()
        for worker in self.workers:
            worker.start()

    def _ready(self, loads: Sequence[int]) -> Iterator[tuple[int, Answer]]:
        """Wait for one or more answers; each with the number of its worker."""
        busy = [(n, worker) for n, worker in enumerate(self.workers) if loads[n]]
        found = False
        while not found:
            for n, worker in busy:
                answer = worker.answer(0.0)
                if answer is not None:
                    found = True
                    yield n, answer
            if not found:
                select.select([worker for _, worker in busy], [], [], POLL_S)

    def load(self, model: Path) -> None:
        """Answer with the weights of another folder: see `VllmGenerator.load`.

        Raises:
            ServiceError: A worker died, or the weights do not fit.
        """
        for worker in self.workers:
            worker.load(model)

    def sleep(self) -> None:
        """Give the GPUs' memory back until the next request.

        Raises:
            ServiceError: A worker died.
        """
        for worker in self.workers:
            worker.sleep()

    def close(self) -> None:
        """Close every worker. Safe to call twice."""
        for worker in self.workers:
            worker.close()


def _log(log: Path, n: int) -> Path:
    return log if n == 0 else log.with_name(f"{log.stem}-{n}{log.suffix}")


def shares_of(options: VllmOptions, where: str = "vllm") -> list[dict[str, str]]:
    """The environment that gives each worker its own GPUs, or its own cores.

    Raises:
        ServiceError: There are too few of them.

    Example:
        >>> from unittest.mock import patch
        >>> options = VllmOptions(model=".", device="cuda", data_parallel_size=2)
        >>> with patch.dict(os.environ, CUDA_VISIBLE_DEVICES="4,6,7"):
        ...     shares_of(options)
        [{'CUDA_VISIBLE_DEVICES': '4'}, {'CUDA_VISIBLE_DEVICES': '6'}]
    """
    n = options.data_parallel_size
    if n == 1:
        return [{}]
    device = find_device(options.device)
    there, on_cpu = _devices(device), device == "cpu"
    ranks = options.tensor_parallel_size * options.pipeline_parallel_size
    each = len(there) // (n * ranks) if on_cpu else 1
    if not each or n * ranks * each > len(there):
        kind = "cores" if on_cpu else "GPUs"
        what = f"{n} workers need {n * ranks} {kind}, and there are {len(there)}"
        raise ServiceError(where, what, fix="lower the model's data_parallel_size")
    name, between = ("VLLM_CPU_OMP_THREADS_BIND", "|") if on_cpu else ("CUDA_VISIBLE_DEVICES", ",")
    held = [",".join(there[at * each : (at + 1) * each]) for at in range(n * ranks)]
    return [{name: between.join(held[at : at + ranks])} for at in range(0, n * ranks, ranks)]


def _devices(device: Literal["cpu", "cuda"]) -> list[str]:
    if device == "cpu":
        return [str(core) for core in sorted(os.sched_getaffinity(0))]
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [one.strip() for one in told.split(",") if one.strip()]
    found: list[Any] = sorted(Path("/dev").glob("nvidia[0-9]*"), key=lambda one: int(one.name[6:]))
    return [one.name[6:] for one in found]
