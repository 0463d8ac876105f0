"""Whether two mathematical expressions say the same, asked of a process that may be killed."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_START_S = 120.0
_CHILD = Path(__file__).with_name("maths_child.py")


class Comparer:
    r"""Asks math-verify, in a process that is started when it is first needed.

    Args:
        timeout_s: How long one comparison may take, in seconds.

    Raises:
        StepError: On the first question, where math-verify is not installed or does not start.

    Example:
        >>> with Comparer(10) as comparer:
        ...     comparer.same(r"\boxed{\frac{1}{2}}", [r"\boxed{2^{-1}}"])
        True
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Comparer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stop()

    def same(self, reference: str, candidates: Sequence[str]) -> bool | str:
        """Whether one of the candidates equals the reference, or why that cannot be said."""
        child = self._child or self._start()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps([reference, list(candidates)]) + "\n")
            child.stdin.flush()
        except BrokenPipeError:
            line = ""
        else:
            line = self._line(child, self._timeout_s)
        if line:
            verdict: bool | str = json.loads(line)
            return verdict
        late = child.poll() is None
        self._stop()
        return f"took over {self._timeout_s:g} s" if late else "broke the process"

    def _start(self) -> subprocess.Popen[str]:
        if find_spec("math_verify") is None:
            what = "an answer is an expression, and math-verify, which compares such, is missing"
            raise StepError("reward.maths", what, fix="uv add 'databuild[maths]'")
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(_CHILD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, encoding="utf-8", bufsize=1,
        )  # fmt: skip
        if self._line(self._child, _START_S) != "\n":
            self._stop()
            what = "the process of math-verify does not start"
            fix = "make `python -c 'import math_verify'` run"
            raise StepError("reward.maths", what, fix=fix)
        return self._child

    @staticmethod
    def _line(child: subprocess.Popen[str], timeout_s: float) -> str:
        """The next line; empty when the process ended, or took too long."""
        assert child.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(child.stdout, selectors.EVENT_READ)
            return child.stdout.readline() if ready.select(timeout_s) else ""

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None
