"""Accounts of annotators on an Argilla server, made over its API."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from databuild.annotate.desk import UnreachableError
from databuild.errors import ServiceError

if TYPE_CHECKING:
    from databuild.annotate.connection import Connection

SHORTEST_PASSWORD = 8  # Argilla's rule
_CONFLICT, _FORBIDDEN = 409, (401, 403)
_NAME = re.compile(r"\w[\w.@+-]{0,99}")
"""A name stands in addresses, in lists of annotators and in file names."""


def check_name(name: str) -> None:
    """Refuse a login name that could not be written elsewhere.

    Raises:
        ServiceError: It is empty or long, or has other characters than letters and digits of any
            script, and `_ . @ + -` after the first.

    Example:
        >>> check_name("ann-2"), check_name("li@example.org"), check_name("李雷")
        (None, None, None)
    """
    if not _NAME.fullmatch(name):
        what = f"{name!r} is no login name"
        fix = "write letters, digits and `_ . @ + -`, at most 100, without spaces; --name is shown"
        raise ServiceError("annotate add-user", what, fix=fix)


def add_user(
    connection: Connection, name: str, password: str, *, role: str = "annotator", title: str = ""
) -> bool:
    """Make an account and let it into the connection's workspace.

    One that is there but not in the workspace (made for another team, or by a call that was
    interrupted) is let in as it is, with its own password and role.

    Args:
        connection: As its owner.
        name: What the user logs in with; see `check_name`.
        password: At least 8 characters.
        role: `annotator` sees only what is in its workspaces; `admin` manages them too.
        title: The name shown; the login name without it.

    Returns:
        Whether an account was made.

    Raises:
        ServiceError: The name is taken or not allowed, the password is short, the server refuses.
    """
    check_name(name)
    if len(password) < SHORTEST_PASSWORD:
        what = f"a password has at least {SHORTEST_PASSWORD} characters"
        raise ServiceError("annotate add-user", what, fix="choose a longer one")
    body = {"username": name, "first_name": title or name, "password": password, "role": role}
    place = _workspace(connection)
    try:
        user = call(connection, "POST", "/api/v1/users", body)["id"]
    except _TakenError as error:
        user = _outsider(connection, name, place)
        if user is None:
            what = f"{name} has an account at {connection.url} already (409)"
            raise ServiceError("annotate add-user", what, fix="choose another name") from error
        call(connection, "POST", f"/api/v1/workspaces/{place}/users", {"user_id": user})
        return False
    try:
        call(connection, "POST", f"/api/v1/workspaces/{place}/users", {"user_id": user})
    except ServiceError:
        with suppress(ServiceError):  # half an account is none
            call(connection, "DELETE", f"/api/v1/users/{user}")
        raise
    return True


def _outsider(connection: Connection, name: str, place: str) -> str | None:
    """The account of that name, where it is no member of the workspace and need be one."""
    members = call(connection, "GET", f"/api/v1/workspaces/{place}/users")["items"]
    everybody = call(connection, "GET", "/api/v1/users")["items"]
    found = next((one for one in everybody if one["username"] == name), None)
    if found is None or found["role"] == "owner":  # an owner is everywhere
        return None
    return None if found["id"] in {one["id"] for one in members} else str(found["id"])


class _TakenError(ServiceError):
    """What was to be made is there already."""


def _workspace(connection: Connection) -> str:
    items = call(connection, "GET", "/api/v1/me/workspaces")["items"]
    for item in items:
        if item["name"] == connection.workspace:
            return str(item["id"])
    made = call(connection, "POST", "/api/v1/workspaces", {"name": connection.workspace})
    return str(made["id"])


def call(connection: Connection, method: str, path: str, body: Any = None) -> Any:
    """One request to the server's API; what it answers, as JSON.

    Raises:
        ServiceError: The server refuses or does not answer; the key is not in the message.
    """
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-Argilla-Api-Key": connection.api_key, "Content-Type": "application/json"}
    url = connection.url + path
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  # checked in connection.py
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection open
            raise _refusal(connection, error) from error
    except OSError as error:
        what = f"{connection.url} does not answer: {getattr(error, 'reason', error)}"
        fix = "look with `databuild annotate status`, then run it again"
        raise UnreachableError("annotate", what, fix=fix) from error


def _refusal(connection: Connection, error: urllib.error.HTTPError) -> ServiceError:
    try:
        said = json.loads(error.read()).get("detail", "")
    except (ValueError, AttributeError, OSError):
        said = ""
    if error.code in _FORBIDDEN:
        what = f"{connection.url} refuses this API key ({error.code})"
        fix = "give the key of an owner or admin in the variable ARGILLA_API_KEY"
    else:
        what = f"{connection.url} answered {error.code}: {json.dumps(said)[:300]}"
        fix = "choose another name" if error.code == _CONFLICT else "change what it names"
    kind = _TakenError if error.code == _CONFLICT else ServiceError
    return kind("annotate", what, fix=fix)
