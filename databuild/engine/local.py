"""Run jobs over worker processes of this machine, results in order, a bounded number in flight."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from databuild.errors import StepError

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 2


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run_jobs(
    function: Callable[[Job], Result], jobs: Iterable[Job], workers: int, where: str
) -> Iterator[Result]:
    """Yield `function(job)` for each job, in order. One worker means this process.

    At most `workers + 2` jobs are in flight, so that memory does not grow with their number.

    Raises:
        StepError: A worker died (killed, or out of memory).
    """
    if workers <= 1:
        yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    remaining = iter(jobs)
    try:
        flying: deque[Future[Result]] = deque(
            pool.submit(function, job) for job in islice(remaining, workers + _AHEAD)
        )
        while flying:
            yield flying.popleft().result()
            flying.extend(pool.submit(function, job) for job in islice(remaining, 1))
    except BrokenProcessPool as error:
        what = "a worker process died: killed, or the machine ran out of memory"
        fix = "run again, it goes on where it stopped; with less `--workers` if memory was short"
        raise StepError(where, what, fix=fix) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, share the cores, and die with the parent, however it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
