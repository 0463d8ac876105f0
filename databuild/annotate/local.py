"""The local Argilla server as `databuild annotate` starts, shows, stops and saves it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.annotate.connection import DEFAULT_WORKSPACE, is_running, read_state, server_folder
from databuild.annotate.installation import install, package_folder
from databuild.annotate.secrecy import ensure_secrets, make_folder, write_private
from databuild.annotate.supervisor import RESTART_WINDOW_S
from databuild.errors import ServiceError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_PORT = 6900
PROCESSES = ("supervisor", "server", "worker", "queue")
_LONGEST_SOCKET_PATH = 100  # Linux allows 107 bytes
NEEDED_MIB = 200
"""Room that a disk of answers is to have."""
_supervisors: set[int] = set()
"""Those started by this process: they outlive it, and are waited for where it outlives them."""


@dataclass(frozen=True)
class State:
    """How the local server is doing."""

    state: str
    """`stopped`, `starting`, `running` or `restarting`."""
    url: str | None
    pids: dict[str, int]
    """By process: supervisor, server, worker, queue."""
    restarts: int
    """Processes started again within the last two minutes."""
    free_mib: int
    """Of the disk that holds the answers."""


def state() -> State:
    """Say how the local server is doing; a file left over from a kill counts for nothing."""
    folder = server_folder()
    place = folder if folder.is_dir() else Path.home()
    free_mib = shutil.disk_usage(place).free >> 20
    if not is_running(folder):
        return State("stopped", None, {}, 0, free_mib)
    told = read_state(folder)
    pids = {"supervisor": told.get("supervisor_pid", 0), **told.get("pids", {})}
    known = told.get("state", "starting")
    return State(known, told.get("url"), pids, _recent_restarts(told), free_mib)


def _recent_restarts(told: dict[str, Any]) -> int:
    """The restarts that the supervisor told of last, unless that was long ago."""
    try:
        age_s = (datetime.now(UTC) - datetime.fromisoformat(told["at"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return 0
    return int(told.get("restarts", 0)) if age_s <= RESTART_WINDOW_S else 0


def start(host: str, port: int | None, tell: Callable[[str], None]) -> State:
    """Start the local server, installing it the first time.

    Args:
        host: What it listens on: 127.0.0.1 for this machine only.
        port: Its port; None for the one used last, 6900 the first time.
        tell: Told each step, for a person.

    Returns:
        The state of the server, which answers.

    Raises:
        ServiceError: The port is taken; it runs already on another port or host; it ended while
            starting.
        StoreError: The disk is full, or the folder cannot be written.
    """
    folder = server_folder()
    try:
        for place in (folder, folder / "logs", folder / "tmp", folder / "backups"):
            make_folder(place)
    except OSError as error:
        fix = "set DATABUILD_HOME to a folder that can be written"
        raise StoreError("annotate up", str(error), fix=fix) from error
    if is_running(folder):
        return _already(folder, host, port)
    _check_disk(folder)
    chosen = port or read_state(folder, "settings.json").get("port") or DEFAULT_PORT
    _check_port(host, chosen)
    python = install(tell)
    _prepare(folder, host, chosen, python)
    tell("Starting Argilla …")
    return _launch(folder)


def stop(wait_s: float = 45.0) -> bool:
    """Stop the server, the worker and the queue in this order; False where nothing ran."""
    folder = server_folder()
    if not is_running(folder):
        return False
    pid = read_state(folder).get("supervisor_pid")
    if isinstance(pid, int):
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + wait_s
    while is_running(folder):
        if time.monotonic() > end:
            what = f"the local Argilla (supervisor {pid}) did not stop within {wait_s:.0f} s"
            raise ServiceError("annotate down", what, fix=f"run `kill -9 {pid}`: the rest follows")
        time.sleep(0.1)
    if pid in _supervisors:  # ended: take it out of the process table
        _supervisors.discard(pid)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return True


def last_lines(process: str, n: int) -> list[str]:
    """The last lines of a process's log."""
    path = server_folder() / "logs" / f"{process}.log"
    if not path.exists():
        what = f"the {process} has no log in {path.parent}"
        raise ServiceError("annotate logs", what, fix="start it with `databuild annotate up`")
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 400 * n))
        return file.read().decode("utf-8", "replace").splitlines()[-n:]


def back_up(target: Path | None) -> Path:
    """Copy the database, also while the server runs, and check the copy.

    Args:
        target: A file that does not exist; None for a dated one in the server's folder `backups`.

    Raises:
        StoreError: There is no database, the target exists or its folder does not, or the disk
            is full.
    """
    source = server_folder() / "argilla.db"
    if not source.exists():
        fix = "start it once with `databuild annotate up`"
        raise StoreError("annotate backup", "the local Argilla has no database yet", fix=fix)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    path = target or make_folder(source.parent / "backups") / f"argilla-{stamp}.db"
    if path.exists():
        raise StoreError("annotate backup", f"{path} exists", fix="name another file")
    if not path.parent.is_dir():
        what = f"there is no folder {path.parent}"
        raise StoreError("annotate backup", what, fix="make it, or name a file elsewhere")
    part = path.with_name(path.name + ".part")
    try:
        write_private(part, "")
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(part)) as copy:
            live.backup(copy, pages=4096)
            copy.execute("PRAGMA journal_mode = DELETE")
            (checked,) = copy.execute("PRAGMA quick_check").fetchone()
    except (OSError, sqlite3.Error) as error:
        part.unlink(missing_ok=True)
        fix = "make room, or name a file on another disk"
        raise StoreError("annotate backup", f"{path}: {error}", fix=fix) from error
    if checked != "ok":
        part.unlink(missing_ok=True)
        what = f"the database is damaged: {checked}"
        raise StoreError("annotate backup", what, fix="take an earlier backup")
    part.replace(path)
    return path


def _already(folder: Path, host: str, port: int | None) -> State:
    told = read_state(folder)
    if (port is not None and told.get("port") != port) or told.get("host", host) != host:
        what = f"the local Argilla runs already, at {told.get('url')}"
        raise ServiceError("annotate up", what, fix="stop it first: `databuild annotate down`")
    return _await(folder, None)


def _check_disk(folder: Path) -> None:
    free_mib = shutil.disk_usage(folder).free >> 20
    if free_mib < NEEDED_MIB:
        what = f"the disk of {folder} has {free_mib} MiB free, and votes need room"
        fix = f"free at least {NEEDED_MIB} MiB, or set DATABUILD_HOME to another disk"
        raise StoreError("annotate up", what, fix=fix)


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                what = f"port {port} of {host} is taken by another program"
                fix = f"name another port: `databuild annotate up --port {port + 1}`"
            else:
                what = f"{host}:{port} cannot be listened on: {error.strerror or error}"
                fix = "name an address of this machine (`--host`) and a port above 1023 (`--port`)"
            raise ServiceError("annotate up", what, fix=fix) from error


def _prepare(folder: Path, host: str, port: int, python: Path) -> None:
    ensure_secrets(folder)
    (folder / "server.json").unlink(missing_ok=True)  # of a supervisor that was killed
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    make_folder(folder / "tmp")
    path = str(folder / "queue.sock")
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        path = str(Path(tempfile.mkdtemp(prefix="databuild-")) / "queue.sock")
    settings = {
        "host": host,
        "port": port,
        "workspace": DEFAULT_WORKSPACE,
        "queue_socket": path,
        "python": str(python),
        "package": str(package_folder()),
    }
    write_private(folder / "settings.json", json.dumps(settings, indent=1))


def _launch(folder: Path) -> State:
    log = folder / "logs" / "supervisor.log"
    log.touch(mode=0o600)
    with log.open("ab") as out:
        supervisor = subprocess.Popen(
            [sys.executable, "-P", "-m", "databuild.annotate.supervisor", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder,
        )
    try:
        made = _await(folder, supervisor)
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
        raise
    _supervisors.add(supervisor.pid)
    supervisor.returncode = 0  # it goes on without us, and Popen shall not warn of that
    return made


def _await(folder: Path, supervisor: subprocess.Popen[bytes] | None) -> State:
    """Wait until the server runs; its supervisor says so, or ends."""
    while True:
        told = read_state(folder)
        ended = not is_running(folder) if supervisor is None else supervisor.poll() is not None
        if not ended and told.get("state") == "running":
            return state()
        if ended:
            raise _failure(folder)
        time.sleep(0.1)


def _failure(folder: Path) -> ServiceError:
    said: list[str] = []
    for process in ("supervisor", "server", "queue"):
        path = folder / "logs" / f"{process}.log"
        lines: list[Any] = path.read_text("utf-8", "replace").split("\n") if path.exists() else []
        said += [f"{process}: {line.strip()[:200]}" for line in lines if line.strip()][-2:]
    what = "Argilla ended while starting; it said last: " + " | ".join(said)
    return ServiceError("annotate up", what, fix="read `databuild annotate logs server -n 50`")
