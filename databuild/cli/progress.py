"""Progress of a run on stderr: a live line in a terminal, plain lines without one."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from databuild.cli.telling import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType

_WINDOW_S = 30.0
"""The rate is measured over this long, so that it follows what happens now."""
_ALREADY_S = 0.5
_PLAIN_EVERY_S = 10.0
_BAR_CELLS = 24
_MARKS = {"done": "✓", "failed": "✗", "waiting": "…"}
_MARK_COLOURS = {"done": "green", "failed": "red", "waiting": "yellow"}


@dataclass
class Meter:
    """The progress of one step: a `Progress` that knows its rate and when it will end."""

    name: str
    use: str
    started: float = field(default_factory=time.monotonic)
    begun: float = -math.inf
    units: int = 0
    unit: str = ""
    done: int = 0
    note: str = ""
    recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=4096))

    def total(self, n: int, unit: str) -> None:
        """Say how many units there will be; counting starts again."""
        self.units, self.unit, self.done = n, unit, 0
        self.begun = time.monotonic()
        self.recent.clear()
        self.recent.append((self.begun, 0))

    def tick(self, n: int = 1, note: str = "") -> None:
        """Say that `n` more units are done."""
        self.done += n
        self.note = note
        now = time.monotonic()
        # What was there already is counted at once, or said to come from the journal: it was not
        # made now, and says nothing about the rate.
        if "journal" in note or now - self.begun < _ALREADY_S:
            self.recent.clear()
        self.recent.append((now, self.done))

    def rate(self) -> float | None:
        """Units per second over the last half minute; None before anything is known."""
        now = time.monotonic()
        while len(self.recent) > 2 and now - self.recent[0][0] > _WINDOW_S:
            self.recent.popleft()
        if len(self.recent) < 2:
            return None
        (begin, before), (_, after) = self.recent[0], self.recent[-1]
        return (after - before) / (now - begin) if after > before and now > begin else None

    def text(self) -> str:
        """The state in one line: `640/1600 answers  40%  12.3/s  ETA 1m18s`."""
        spent = time.monotonic() - self.started
        if not self.units:
            pieces = [f"{self.done:,} done"] if self.done else []
            return "  ".join([*pieces, self.note, seconds(spent)]).strip()
        pieces = [f"{self.done:,}/{self.units:,} {self.unit}", f"{100 * self.done // self.units}%"]
        rate = self.rate()
        if rate and self.done < self.units:
            shown = (
                f"{rate:,.{1 if rate < 100 else 0}f}/s" if rate >= 1 else f"{1 / rate:.1f}s each"
            )
            pieces += [shown, f"ETA {seconds((self.units - self.done) / rate)}"]
        else:
            pieces.append(seconds(spent))
        if self.note:
            pieces.append(self.note)
        return "  ".join(pieces)


def _shown(rate: float) -> str:
    if rate < 1:
        return f"{1 / rate:.1f}s each"
    return f"{rate:,.1f}/s" if rate < 100 else f"{rate:,.0f}/s"


@contextmanager
def bytes_shown(
    what: str, out: Console | None = None, *, every_s: float = _PLAIN_EVERY_S
) -> Iterator[Callable[[int, int], None]]:
    """Show bytes on their way on stderr, with rate and end, where it takes longer than a moment.

    Args:
        what: `sending`, `copying`, `verifying`.
        out: Where to write; stderr.
        every_s: Seconds between lines; in a terminal the line is rewritten once a second.
    """
    from databuild.cli.telling import console

    out = out or console(stderr=True)
    every_s = min(every_s, 1.0) if out.is_terminal else every_s
    meter = Meter(what, "")
    last = [time.monotonic()]

    def tick(n_bytes: int, total: int) -> None:
        if not meter.units:
            meter.total(max(total, 1), "MB")
        meter.tick(n_bytes)
        if time.monotonic() - last[0] >= every_s:
            last[0] = time.monotonic()
            out.print(f"{what}: {_megabytes(meter)}", markup=False, soft_wrap=True,
                      end="\r" if out.is_terminal else "\n")  # fmt: skip

    yield tick
    if out.is_terminal:
        out.print(" " * 60, end="\r")


def _megabytes(meter: Meter) -> str:
    rate, left = meter.rate(), meter.units - meter.done
    told = f"{meter.done / 1e6:,.1f} of {meter.units / 1e6:,.1f} MB"
    told += f"  {100 * meter.done // meter.units}%"
    return told + (f"  {rate / 1e6:,.1f} MB/s  ETA {seconds(left / rate)}" if rate and left else "")


class Board:
    """Watches a run and shows it: a `Watcher`.

    In a terminal the step that runs has a live line below the finished ones. Elsewhere a step has a
    line when it starts, one about every ten seconds, one when it ends. Cached steps are counted.

    Args:
        n_steps: How many steps the run has.
        out: Where to write.
        every_s: Seconds between plain lines.
    """

    def __init__(self, n_steps: int, out: Console, *, every_s: float = _PLAIN_EVERY_S) -> None:
        self.meter: Meter | None = None
        self.finished: list[str] = []
        self.begun: set[str] = set()
        self._n_steps, self._out, self._every_s = n_steps, out, every_s
        self._cached = 0

    def step_starts(self, name: str, use: str, detail: str) -> Meter:
        """A step begins; report to the returned meter."""
        self._tell_cached()
        self.begun.add(name)
        self.meter = Meter(name, use)
        if not self._out.is_terminal:
            again = f", {detail}" if detail else ""
            self._line(f"{self._number()} {name}  starts ({use}{again})")
        elif detail:
            self._line(f"{self._number()} {name}: {detail}")
        return self.meter

    def step_ends(self, name: str, status: str, summary: str) -> None:
        """A step is over: `cached`, `done` or `failed`."""
        meter, self.meter = self.meter, None
        if status == "cached":
            self._cached += 1
            self.finished.append(name)
            return
        spent = seconds(time.monotonic() - meter.started) if meter else ""
        if status == "done":
            self.finished.append(name)
        what = summary if status == "done" else f"not finished: {meter.text() if meter else ''}"
        if self._out.is_terminal:
            from rich.text import Text

            mark = Text(_MARKS[status], _MARK_COLOURS[status])
            self._out.print(Text(" ").join([mark, Text(name, "bold"), Text(f" {what}  {spent}")]))
        else:
            number, word = self._number(done=status == "done"), "done: " * (status == "done")
            self._line(f"{number} {name}  {word}{what}  {spent}")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the display up while a run runs."""
        if self._out.is_terminal:
            from rich.live import Live

            live = Live(
                console=self._out, get_renderable=self._live, refresh_per_second=5, transient=True
            )
            with live:
                yield
        else:
            over = threading.Event()
            teller = threading.Thread(target=self._tell_now_and_then, args=(over,), daemon=True)
            teller.start()
            try:
                yield
            finally:
                over.set()
                teller.join()
        self._tell_cached()

    def _tell_now_and_then(self, over: threading.Event) -> None:
        while not over.wait(self._every_s):
            meter = self.meter
            if meter is not None and time.monotonic() - meter.started > self._every_s / 2:
                self._line(f"{self._number()} {meter.name}  {meter.text()}")

    def _tell_cached(self) -> None:
        if self._cached:
            steps = "step is" if self._cached == 1 else "steps are"
            self._line(f"{self._cached} {steps} cached")
        self._cached = 0

    def _number(self, *, done: bool = False) -> str:
        return f"[{len(self.finished) + (not done)}/{self._n_steps}]"

    def _line(self, text: str) -> None:
        self._out.print(text, markup=False, soft_wrap=True)

    def _live(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        meter = self.meter
        if meter is None:
            return Text()
        head = Text.assemble((f"{self._number()} ", "dim"), (meter.name, "bold cyan"))
        grid = Table.grid(padding=(0, 1, 0, 0))
        bar = ProgressBar(total=meter.units, completed=meter.done, width=_BAR_CELLS)
        cells = [head, bar] if meter.units else [head]
        grid.add_row(*cells, Text(meter.text(), no_wrap=True, overflow="ellipsis"))
        return grid
