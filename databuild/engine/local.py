"""Run jobs over worker processes of this machine, results in order, a bounded number in flight.

loky's executor and not the standard library's: a worker must not import the user's `__main__`
again, or a run started from a script without a guard would start itself in every worker.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 2
_WATCH_S = 0.5


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
    from loky.process_executor import (
        ProcessPoolExecutor,
        TerminatedWorkerError,
    )

    pool = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(os.getpid(),))
    remaining = iter(jobs)
    try:
        flying: deque[Future[Result]] = deque(
            pool.submit(function, job) for job in islice(remaining, workers + _AHEAD)
        )
        while flying:
            yield flying.popleft().result()
            flying.extend(pool.submit(function, job) for job in islice(remaining, 1))
    except TerminatedWorkerError as error:
        what = "a worker process died: killed, or the machine ran out of memory"
        fix = "run again, it goes on where it stopped; with less `--workers` if memory was short"
        raise StepError(where, what, fix=fix) from error
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and die with the parent, however it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
