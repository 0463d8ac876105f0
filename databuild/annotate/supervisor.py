"""Keeps the local server's three processes alive, and stops them in order.

`python -m databuild.annotate.supervisor FOLDER`, started by `databuild annotate up`. It holds a
lock on FOLDER/lock for its life, so the lock says whether a server runs, whatever a file may say.
Its children end with it, also when it is killed with -9 (they ask Linux for that).
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from databuild.annotate.secrecy import write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

COMMANDS = {"queue": "queue", "server": "serve", "worker": "work"}
"""The processes in the order in which they start, and what each is told to become."""
_STOP_ORDER = ("server", "worker", "queue")
_PATIENCE_S = {"server": 15.0, "worker": 10.0, "queue": 10.0}
_START_S = 300.0  # making the index of 60,000 records took 18 s on a busy machine
RESTART_WINDOW_S = 120.0
_MOST_RESTARTS = 5
_HEALTH_EVERY_S, _MOST_MISSES = 15.0, 4
_LOG_BYTES = 5 << 20


class FailedError(Exception):
    """The server cannot be kept running; its text says why."""


class StopRequestedError(Exception):
    """SIGTERM came."""


class Supervisor:
    """The processes of one folder.

    Args:
        folder: Holds settings.json, secrets.json and the database.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = json.loads((folder / "settings.json").read_text("utf-8"))
        self.url = f"http://{_reachable(self.settings['host'])}:{self.settings['port']}"
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.restarts: list[float] = []

    def run(self) -> None:
        """Start all, keep them running, stop them when told to.

        Raises:
            FailedError: A process ends again and again, or never becomes ready.
        """
        self._write("starting")
        try:
            for name in COMMANDS:
                self._start(name)
                self._await(name)
            self._write("running")
            self._watch()
        except StopRequestedError:
            pass
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._stop()

    def _start(self, name: str) -> None:
        words = [self.settings["python"], "-P", "-m", "databuild_argilla_server"]
        log = _open_log(self.folder / "logs" / f"{name}.log")
        with log:
            self.children[name] = subprocess.Popen(
                [*words, COMMANDS[name], str(self.folder)],
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a terminal is not for them
            )

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "PATH", "LANG") if name in os.environ}
        return {
            **kept,
            "PYTHONPATH": self.settings["package"],
            "PYTHONNOUSERSITE": "1",
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.folder / "tmp"),  # Argilla copies its page there at every start
            "DATABUILD_SUPERVISOR": str(os.getpid()),
        }

    def _await(self, name: str) -> None:
        """Wait until a process does its work, or fail with what it said last."""
        ready: dict[str, Callable[[], bool]] = {
            "queue": self._queue_answers,
            "server": self.is_healthy,
            "worker": lambda: True,  # it waits for the queue by itself
        }
        end = time.monotonic() + _START_S
        while not ready[name]():
            if self.children[name].poll() is not None:
                raise FailedError(f"the {name} ended while starting")
            if time.monotonic() > end:
                raise FailedError(f"the {name} was not ready after {_START_S:.0f} s")
            time.sleep(0.1)

    def _queue_answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(2)
                client.connect(self.settings["queue_socket"])
                client.sendall(b"PING\r\n")
                return client.recv(5) == b"+PONG"
        except OSError:
            return False

    def is_healthy(self) -> bool:
        """Whether the server answers: its database, its search engine and the queue do too."""
        return answers(self.url)

    def _watch(self) -> None:
        misses, next_look = 0, time.monotonic() + _HEALTH_EVERY_S
        while True:
            time.sleep(0.3)
            for name in COMMANDS:
                if self.children[name].poll() is not None:
                    self._restart(name)
            if time.monotonic() >= next_look:
                misses = 0 if self.is_healthy() else misses + 1
                next_look = time.monotonic() + _HEALTH_EVERY_S
                if misses >= _MOST_MISSES:
                    self.children["server"].kill()
                    self.children["server"].wait()
                    misses = 0

    def _restart(self, name: str) -> None:
        now = time.monotonic()
        self.restarts = [at for at in self.restarts if at > now - RESTART_WINDOW_S] + [now]
        if len(self.restarts) > _MOST_RESTARTS:
            raise FailedError(f"the {name} ended {_MOST_RESTARTS} times within two minutes")
        _say(f"the {name} ended with {self.children[name].returncode}; it is started again")
        self._start(name)
        self._write("restarting")
        self._await(name)
        self._write("running")

    def _stop(self) -> None:
        for name in _STOP_ORDER:
            child = self.children.get(name)
            if child is None:
                continue
            child.terminate()
            try:
                child.wait(_PATIENCE_S[name])
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _write(self, state: str) -> None:
        """Say how it goes. On a full disk nothing can be said, and the server goes on."""
        with suppress(OSError):
            self._write_state(state)

    def _write_state(self, state: str) -> None:
        pids = {name: child.pid for name, child in self.children.items()}
        content = {
            "state": state,
            "url": self.url,
            "host": self.settings["host"],
            "port": self.settings["port"],
            "supervisor_pid": os.getpid(),
            "pids": pids,
            "restarts": len(self.restarts),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_private(self.folder / "server.json", json.dumps(content, indent=1))


def answers(url: str, timeout_s: float = 10.0) -> bool:
    """Whether an Argilla server answers at an address."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/status", timeout=timeout_s) as answer:  # noqa: S310  # http to our own
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def take_lock(folder: Path, wait_s: float = 0.0) -> IO[str] | None:
    """Take the lock of a folder; None where a supervisor holds it."""
    file = (folder / "lock").open("a", encoding="utf-8")
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= end:
                file.close()
                return None
            time.sleep(0.05)
        else:
            return file


def main(folder: Path) -> int:
    """Supervise a folder until SIGTERM; its exit code."""
    os.umask(0o077)
    lock = take_lock(folder, wait_s=3)
    if lock is None:
        _say("another supervisor runs here")
        return 1
    signal.signal(signal.SIGTERM, _stop_requested)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    state = folder / "server.json"
    with lock:
        try:
            Supervisor(folder).run()
        except (FailedError, OSError) as error:
            _say(f"gave up: {error}")
            return 1
        finally:
            with suppress(OSError):
                state.unlink()
    _say("stopped")
    return 0


def _stop_requested(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise StopRequestedError


def _open_log(path: Path) -> IO[bytes]:
    """Open a log at its end; one that has grown large is put aside first."""
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _reachable(host: str) -> str:
    """The part of an address that leads to what listens on `host`.

    Example:
        >>> _reachable("0.0.0.0"), _reachable("::"), _reachable("fd00::7"), _reachable("10.0.0.7")
        ('127.0.0.1', '[::1]', '[fd00::7]', '10.0.0.7')
    """
    if host in {"0.0.0.0", ""}:  # noqa: S104  # compared only
        return "127.0.0.1"
    host = "::1" if host == "::" else host
    return f"[{host}]" if ":" in host else host


def _say(text: str) -> None:
    with suppress(OSError):  # a full disk takes no log
        sys.stdout.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
