"""Accounts of annotators on an Argilla server, made over its API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from databuild.errors import ServiceError

if TYPE_CHECKING:
    from databuild.annotate.connection import Connection

SHORTEST_PASSWORD = 8  # Argilla's rule
_CONFLICT, _FORBIDDEN = 409, (401, 403)


def add_user(
    connection: Connection, name: str, password: str, *, role: str = "annotator", title: str = ""
) -> None:
    """Make an account and let it into the connection's workspace.

    Args:
        connection: As its owner.
        name: What the user logs in with: small letters, digits, dashes and underscores.
        password: At least 8 characters.
        role: `annotator` sees only what is in its workspaces; `admin` manages them too.
        title: The name shown; the login name without it.

    Raises:
        ServiceError: The name is taken or not allowed, the password is short, the server refuses.
    """
    if len(password) < SHORTEST_PASSWORD:
        what = f"a password has at least {SHORTEST_PASSWORD} characters"
        raise ServiceError("annotate add-user", what, fix="choose a longer one")
    body = {"username": name, "first_name": title or name, "password": password, "role": role}
    made = call(connection, "POST", "/api/v1/users", body)
    place = _workspace(connection)
    call(connection, "POST", f"/api/v1/workspaces/{place}/users", {"user_id": made["id"]})


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
        raise ServiceError("annotate", what, fix="look with `databuild annotate status`") from error


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
    return ServiceError("annotate", what, fix=fix)
