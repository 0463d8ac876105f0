"""One child process on a leash: vLLM, a trainer, a converter; anything that loads torch.

The child runs in a session of its own, writes its output to a log file, speaks JSON lines with its
parent over a socket pair, and never outlives it: a watchdog thread in the child kills the child's
whole process group (grandchildren too) with SIGKILL as soon as the pipe ends or the parent is gone,
even after the parent's own `kill -9`. The other way round, the parent kills the group when the
child is closed or found dead, because vLLM's core process survives its own parent otherwise.

A job with one result, in the parent:

    result = run_job("databuild.train.sft_child", {"rows": "train.parquet"}, where="sft",
                     log=folder / "train.log", on_message=lambda m: print(m["step"], m["loss"]))

and in `databuild/train/sft_child.py`:

    def main(job: Json, parent: Channel) -> Json:
        import torch                                  # heavy imports belong here
        parent.send({"step": 1, "loss": 2.5})         # progress, as often as wanted
        return {"model": "best/"}

    if __name__ == "__main__":
        serve_job(main)

A conversation is the same without `run_job`: `Child(...)`, `.send(...)`, `.receive()`, `.close()`
in the parent, `connect()` in the child. Whatever kills the child (an exception, a signal, the
kernel's out-of-memory killer) is one `ServiceError` here, with the last lines of its log.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import re
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CHANNEL_VARIABLE = "DATABUILD_CHILD_CHANNEL"
"""Environment variable: the pipe's descriptor and the parent's process id, `fd:pid`."""

Json = dict[str, Any]

POLL_S = 0.5
"""How often either side looks whether the other one still lives, besides the end of the pipe."""


class Child:
    """A running child process, seen from its parent. Not for use by several threads at once.

    Args:
        module: Run as `python -m module` by this interpreter; calls `connect` or `serve_job`.
        where: The step that the child works for; the place that its errors name.
        log: Receives the child's stdout and stderr; appended to, folders are made.
        env: Environment variables set on top of this process's own.

    Raises:
        ServiceError: The log cannot be written or the process cannot be started.
    """

    def __init__(
        self,
        module: str,
        *,
        where: str,
        log: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.module, self.where, self.log = module, where, Path(log)
        self._buffer = bytearray()
        self._closed = False
        ours, theirs = socket.socketpair()
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as sink:
                self._log_start = sink.tell()
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", module],
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env=_environment(env or {}, theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except OSError as error:
            ours.close()
            what = f"cannot start {module} with the log {self.log}: {error}"
            raise ServiceError(where, what, fix="free space, memory or processes") from error
        finally:
            theirs.close()
        self._socket = ours

    @property
    def pid(self) -> int:
        """Process id and, the child leading its own session, process group id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs and has not been closed."""
        return not self._closed and not self._exited_by_itself()

    def fileno(self) -> int:
        """The pipe's descriptor: `select` says when a message, or the end, may be received."""
        return self._socket.fileno()

    def send(self, message: Json) -> None:
        """Hand the child one message.

        Raises:
            ServiceError: The child is dead.
        """
        if self._closed:
            raise self.death("has been closed")
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise self.death() from error

    def receive(self, timeout_s: float | None = None) -> Json | None:
        """Wait for the child's next message; None when `timeout_s` passes without one.

        Raises:
            ServiceError: The child died or reported that it cannot go on.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        is_late = False
        while (message := self._take_line()) is None:
            if is_late:
                return None
            # With no time to wait, what has come already is taken all the same.
            self._fill(min(POLL_S, deadline - time.monotonic()))
            is_late = time.monotonic() >= deadline
        if "fatal" in message:
            raise self.death(str(message["fatal"]))
        return message

    def close(self, grace_s: float = 0.0) -> None:
        """End the child and all it started: wait `grace_s`, then SIGKILL. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(subprocess.TimeoutExpired):
            if grace_s > 0:
                self._wait_without_reaping(grace_s)
        # Before the reaping wait(): a zombie still owns its group id, so no stranger can be hit.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._socket.close()

    def death(self, reason: str | None = None) -> ServiceError:
        """End what is left of the child; return the error to raise, with its log's last lines."""
        if not self._closed and reason is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._wait_without_reaping(2.0)  # the pipe ends a moment before the process
        gone = self._exited_by_itself()
        self.close()
        why = reason or (f"died ({_ending(self._process.returncode)})" if gone else "hung up")
        lines = last_lines(self.log, start=self._log_start)
        quoted = f"; its last lines: {' | '.join(lines)}" if lines else ""
        what = f"{self.module} {'failed: ' if reason else ''}{why}{quoted}"
        return ServiceError(self.where, what, fix=f"read the whole log, {self.log}")

    def _take_line(self) -> Json | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        message: Json = json.loads(line)
        return message

    def _fill(self, wait_s: float) -> None:
        if self._closed:
            raise self.death("has been closed")
        readable, _, _ = select.select([self._socket], [], [], max(wait_s, 0.0))
        if readable:
            try:
                chunk = self._socket.recv(1 << 16)
            except OSError:
                chunk = b""
            if not chunk:
                raise self.death()
            self._buffer += chunk
        elif self._exited_by_itself():
            raise self.death()  # a grandchild may hold the pipe open: its end alone is no proof

    def _exited_by_itself(self) -> bool:
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _wait_without_reaping(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while not self._exited_by_itself():
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.module, limit_s)
            time.sleep(0.01)


def run_job(
    module: str,
    job: Json,
    *,
    where: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    on_message: Callable[[Json], None] | None = None,
) -> Json:
    """Run `module` in a child of its own, give it `job`, return what its `main` returned.

    Every message that it sends on the way goes to `on_message`. The child is gone afterwards,
    whatever happened, a Ctrl-C included.

    Raises:
        ServiceError: The child raised or died; the message quotes its log and gives its path.
    """
    child = Child(module, where=where, log=log, env=env)
    try:
        child.send(job)
        while True:
            message = child.receive()
            if message is not None and "result" in message:
                result: Json = message["result"]
                return result
            if message is not None and on_message is not None:
                on_message(message)
    finally:
        child.close()


class Channel:
    """The child's end: JSON messages from and to the parent, and the watchdog on its life."""

    def __init__(self, end: socket.socket, parent_pid: int) -> None:
        self._socket, self._parent_pid = end, parent_pid
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Json] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def send(self, message: Json) -> None:
        """Hand the parent one message; any thread may."""
        with self._lock:
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout_s: float | None = None) -> Json | None:
        """Wait for the parent's next message; None when `timeout_s` passes without one."""
        try:
            return self._inbox.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _watch(self) -> None:
        buffer = bytearray()
        while os.getppid() == self._parent_pid:
            readable, _, _ = select.select([self._socket], [], [], POLL_S)
            if not readable:
                continue
            try:
                chunk = self._socket.recv(1 << 16)
            except OSError:
                break
            if not chunk:
                break
            buffer += chunk
            *lines, rest = buffer.split(b"\n")
            buffer = bytearray(rest)
            for line in lines:
                self._inbox.put(json.loads(line))
        kill_own_group()


def connect() -> Channel:
    """Take up the parent's pipe and start the watchdog; the first thing that a child does.

    Raises:
        ServiceError: This process was not started by `Child`.
    """
    value = os.environ.pop(CHANNEL_VARIABLE, "")
    descriptor, _, parent_pid = value.partition(":")
    if not parent_pid:
        what = "this module is started by databuild itself and does nothing alone"
        raise ServiceError(sys.argv[0], what, fix="use the `databuild` command")
    os.set_inheritable(int(descriptor), False)  # noqa: FBT003 -- the only form it has
    return Channel(socket.socket(fileno=int(descriptor)), int(parent_pid))


def serve_job(main: Callable[[Json, Channel], Json]) -> None:
    """Receive one job, run `main` on it, send its result; an exception is the parent's error."""
    parent = connect()
    job = parent.receive()
    try:
        result = main(job or {}, parent)
    except Exception as error:  # noqa: BLE001 -- the boundary of a process
        traceback.print_exc()
        sys.stderr.flush()
        parent.send({"fatal": f"{type(error).__name__}: {error}"})
        sys.exit(1)
    parent.send({"result": result})


def kill_own_group() -> None:
    """Kill this process and all that it started, at once and with no clean-up."""
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def last_lines(log: Path, *, start: int = 0, n: int = 4, max_chars: int = 240) -> list[str]:
    """Return a log's last n meaningful lines, in order.

    A line is what stands after its last carriage return (progress bars rewrite theirs). Lines that
    name an error, an exception or a kill count as meaningful; where there is none, every line does
    that is not empty and no progress bar.
    """
    try:
        with log.open("rb") as source:
            size = source.seek(0, os.SEEK_END)
            source.seek(max(start, size - 65536))
            text = source.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = [line.rpartition("\r")[2].strip() for line in text.rstrip("\r").split("\n")]
    lines = [line for line in lines if line and not _PROGRESS.search(line)]
    telling = [line for line in lines if _TELLING.search(line)]
    return [line[:max_chars] for line in (telling or lines)[-n:]]


_TELLING = re.compile(r"\w*(Error|Exception)\b.*:|\b(ERROR|CRITICAL|FATAL|Killed|Segmentation)\b")
_PROGRESS = re.compile(r"\d+%\|.*\||\bit/s\b")


def _environment(extra: Mapping[str, str], descriptor: int) -> dict[str, str]:
    env = {**os.environ, **extra, CHANNEL_VARIABLE: f"{descriptor}:{os.getpid()}"}
    root = Path(__file__).resolve().parents[2]
    if root != Path(sysconfig.get_path("purelib")).resolve():
        # A checkout: `-P` keeps the working folder off the path, so name the checkout's own.
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), env.get("PYTHONPATH", "")]))
    return env


def _ending(returncode: int | None) -> str:
    if returncode is None or returncode >= 0:
        return f"exit status {returncode}"
    hint = ", often the kernel for want of memory" if returncode == -signal.SIGKILL else ""
    return f"killed by {signal.Signals(-returncode).name}{hint}"
