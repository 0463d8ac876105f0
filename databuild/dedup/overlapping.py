"""Reading and writing while other work goes on: what the cores do besides comparing."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")


def read_ahead(items: Iterable[Item], workers: int) -> Iterator[Item]:
    """The items in order; with several workers the next is made while the last is worked on.

    An error in making one is raised where it would have been handed out.

    Example:
        >>> list(read_ahead(iter("abc"), workers=2))
        ['a', 'b', 'c']
    """
    source, end = iter(items), object()
    if workers == 1:
        yield from source
        return
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[object] = pool.submit(next, source, end)
        while (item := waiting.result()) is not end:
            waiting = pool.submit(next, source, end)
            yield item  # type: ignore[misc]


@contextmanager
def write_behind(workers: int) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Lend a function that is handed what is to be done next, in order, on a thread.

    It returns when all that was handed over before is done, so one piece at most is waiting; with
    one worker all is done at once. An error is raised by the next call, or at the end.
    """
    if workers == 1:
        yield lambda work: work()
        return
    waiting: list[Future[None]] = []

    def hand_over(work: Callable[[], None]) -> None:
        for done in waiting:
            done.result()
        waiting[:] = [pool.submit(work)]

    with ThreadPoolExecutor(1) as pool:
        yield hand_over
        for done in waiting:
            done.result()
