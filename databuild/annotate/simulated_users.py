"""Simulated annotators as users of an Argilla server: each votes with a key of its own."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from databuild.annotate.argilla_api import Api
from databuild.annotate.connection import Connection, connect
from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

_BULK = 100
_TRIES = 3
_OWN = ("record", "seconds")


def answer_in_argilla(
    said: Mapping[str, list[dict[str, Any]]], dataset: str, server: str | None
) -> None:
    """Submit votes as their users, who are made where they are missing.

    A vote that is there already is written again as it is: twice the same changes nothing.

    Args:
        said: Votes by user name: `record` (hash), `seconds`, and answers by question.
        dataset: The data set's name.
        server: A team's address, or None for the local one.

    Raises:
        StepError: The data set is not there.
        ServiceError: The server cannot be reached, or refuses.
    """
    owner = connect(server)
    with Api(owner) as api:
        found = api.dataset(dataset)
        if found is None:
            what = f"the data set {dataset!r} is not in the workspace {api.workspace!r}"
            raise StepError("annotate.simulate", what, fix="put annotate.push before it")
        there = api.records(str(found["id"]), responses=False)
        ids = {str(one["external_id"]): str(one["id"]) for one in there}
        keys = {name: _key_of(api, name) for name in said}
    for name, votes in said.items():
        with Api(Connection(owner.url, keys[name], owner.workspace)) as api:
            known = [vote for vote in votes if vote["record"] in ids]
            items = [_response(vote, ids[vote["record"]]) for vote in known]
            for start in range(0, len(items), _BULK):
                _submit(api, items[start : start + _BULK])


def _response(vote: Mapping[str, Any], record: str) -> dict[str, Any]:
    values = {name: {"value": value} for name, value in vote.items() if name not in _OWN}
    return {"record_id": record, "status": "submitted", "values": values}


def _submit(api: Api, items: list[dict[str, Any]]) -> None:
    """Submit; what the server could not take (two writers at once) is given again."""
    results: list[dict[str, Any]] = []
    for _ in range(_TRIES):
        told = api.post("/me/responses/bulk", {"items": items})
        results = told["items"] if told else [{"error": "refused"}] * len(items)
        items = [item for item, one in zip(items, results, strict=True) if one.get("error")]
        if not items:
            return
    what = f"{len(items)} votes were refused: {str(results[-1].get('error'))[:200]}"
    raise StepError("annotate.simulate", what, fix="see `databuild annotate logs`")


def _key_of(api: Api, name: str) -> str:
    """The API key of a user, who is made and let into the workspace where needed."""
    known = {one["username"]: one for one in api.get("/users")["items"]}
    user = known.get(name) or api.post(
        "/users",
        {
            "username": name, "first_name": name, "role": "annotator",
            "password": secrets.token_urlsafe(16),
        },
    )  # fmt: skip
    workspace = api.workspace_id()
    members = {one["username"] for one in api.get(f"/workspaces/{workspace}/users")["items"]}
    if name not in members:
        api.post(f"/workspaces/{workspace}/users", {"user_id": user["id"]})
    return str(user["api_key"])
