"""Which Argilla to talk to: the local one that `databuild annotate up` starts, or a team's.

The local server's address lies in `$DATABUILD_HOME/argilla/server.json`, its owner's API key beside
it in `secrets.json` (mode 0600). A team's key is read from the environment. A key is never shown:
not in a representation, a message, a log, a manifest or an argument of a process.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from databuild.errors import ServiceError

API_KEY_VARIABLE = "ARGILLA_API_KEY"
WORKSPACE_VARIABLE = "ARGILLA_WORKSPACE"
HOME_VARIABLE = "DATABUILD_HOME"
DEFAULT_WORKSPACE = "databuild"


@dataclass(frozen=True)
class Connection:
    """An Argilla server and how to enter it.

    Example:
        >>> Connection("http://127.0.0.1:6900", "not-shown")
        Connection(url='http://127.0.0.1:6900', workspace='databuild')
    """

    url: str
    """Without a slash at the end."""
    api_key: str = field(repr=False)
    """Never shown."""
    workspace: str = DEFAULT_WORKSPACE
    """Where datasets are made and annotators are members."""


def databuild_home() -> Path:
    """The folder of what databuild keeps for a user: `$DATABUILD_HOME`, else `~/.databuild`."""
    named = os.environ.get(HOME_VARIABLE)
    return Path(named).expanduser().absolute() if named else Path.home() / ".databuild"


def server_folder() -> Path:
    """The folder of the local Argilla server, which need not exist yet."""
    return databuild_home() / "argilla"


def is_running(folder: Path) -> bool:
    """Whether a supervisor holds the folder's lock: what counts, also after a kill -9."""
    try:
        with (folder / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def read_state(folder: Path, name: str = "server.json") -> dict[str, Any]:
    """Read a JSON object from a file of the server's folder; empty where there is none."""
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def connect(server: str | None = None) -> Connection:
    """Find out how to enter a server; nothing is sent to it yet.

    Args:
        server: The address of a team's server, as `https://argilla.example.org`; None for the local
            one of `databuild annotate up`.

    Returns:
        The connection. A team's key comes from the environment variable ARGILLA_API_KEY, its
        workspace from ARGILLA_WORKSPACE ("databuild" without it).

    Raises:
        ServiceError: No local server is running; `server` is no http address; no key is given.

    Warns:
        UserWarning: The key would travel unencrypted: http to another machine.
    """
    return _local() if server is None else _remote(server)


def _local() -> Connection:
    folder = server_folder()
    url = read_state(folder).get("url")
    key = read_state(folder, "secrets.json").get("owner_api_key")
    if not (url and key and is_running(folder)):
        fix = "run `databuild annotate up`, or name a team's server with `--server URL`"
        raise ServiceError("annotate", "no local Argilla is running", fix=fix)
    return Connection(str(url), str(key), DEFAULT_WORKSPACE)


def _remote(server: str) -> Connection:
    parts = urlsplit(server)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        what = (
            "the address of an Argilla server begins with http:// or https:// and holds no password"
        )
        raise ServiceError("annotate", what, fix="write it as https://argilla.example.org")
    key = os.environ.get(API_KEY_VARIABLE, "").strip()
    if not key:
        what = f"no API key is given for {server}"
        fix = f"set the environment variable {API_KEY_VARIABLE} to the one under My settings there"
        raise ServiceError("annotate", what, fix=fix)
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        message = f"{server} is not encrypted: the API key can be read on the way. Use https."
        warnings.warn(message, UserWarning, stacklevel=3)
    workspace = os.environ.get(WORKSPACE_VARIABLE, "").strip() or DEFAULT_WORKSPACE
    return Connection(server.rstrip("/"), key, workspace)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
