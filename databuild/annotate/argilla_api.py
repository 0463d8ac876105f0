"""Argilla's REST API (2.x), as far as votes need it, with errors that say what to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from databuild.annotate.desk import UnreachableError
from databuild.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from databuild.annotate.connection import Connection

PAGE = 500
"""Records of one request; the server takes up to 1,000, and writes up to 500."""
_PAUSES = (0.5, 1.0, 2.0)
_TIMEOUT_S = 60.0
_REASONS = {
    401: ("the API key is wrong", "correct ARGILLA_API_KEY, or run `databuild annotate up` again"),
    403: (
        "the API key may not do this",
        "use the key of an owner, or of an admin of the workspace",
    ),
}


class Api:
    """One server, entered with one key. The key is in no error, log or argument."""

    def __init__(self, connection: Connection) -> None:
        try:
            import httpx
        except ImportError as error:
            what = "Argilla is talked to with the package 'httpx'"
            raise ServiceError("annotate", what, fix="uv add 'databuild[annotate]'") from error
        self.url, self.workspace = connection.url, connection.workspace
        headers = {"X-Argilla-Api-Key": connection.api_key}
        self._client = httpx.Client(
            base_url=f"{connection.url}/api/v1", headers=headers, timeout=_TIMEOUT_S
        )
        self._lost = httpx.TransportError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **params: Any) -> Any:
        """Read something; tried again when the connection breaks."""
        return self._ask("GET", path, params=params)

    def put(self, path: str, content: Any = None) -> Any:
        """Write what is the same written twice; tried again when the connection breaks."""
        return self._ask("PUT", path, json=content)

    def patch(self, path: str, content: Any) -> Any:
        """Change something."""
        return self._ask("PATCH", path, json=content)

    def post(self, path: str, content: Any) -> Any:
        """Make something; None where it is there already."""
        return self._ask("POST", path, json=content)

    def records(self, dataset: str, *, responses: bool) -> Iterator[dict[str, Any]]:
        """Every record of a data set, page by page."""
        include = {"include": "responses"} if responses else {}
        offset = 0
        while True:
            page = self.get(
                f"/datasets/{dataset}/records", limit=PAGE, offset=offset, **include
            )["items"]  # fmt: skip
            yield from page
            offset += len(page)
            if len(page) < PAGE:
                return

    def dataset(self, name: str) -> dict[str, Any] | None:
        """The data set of that name in the workspace; None where there is none."""
        workspace = self.workspace_id()
        if workspace is None:
            return None
        found = self.get("/me/datasets", workspace_id=workspace)["items"]
        return next((one for one in found if one["name"] == name), None)

    def workspace_id(self) -> str | None:
        """The id of the workspace; None where there is none of that name."""
        found = self.get("/me/workspaces")["items"]
        return next((str(one["id"]) for one in found if one["name"] == self.workspace), None)

    def user_names(self) -> Mapping[str, str]:
        """User names by id: of the workspace's members, oneself, and where allowed of everybody."""
        me = self.get("/me")
        found = {str(me["id"]): str(me["username"])}
        paths = ["/users"] if me["role"] == "owner" else []
        workspace = self.workspace_id()
        paths += [f"/workspaces/{workspace}/users"] if workspace else []
        for path in paths:
            found |= {str(one["id"]): str(one["username"]) for one in self.get(path)["items"]}
        return found

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        response = self._answer(method, path, **content)
        if method == "POST" and response.status_code == 409:
            return None
        if response.is_success:
            return response.json() if response.content else None
        raise self._refusal(method, path, response)

    def _answer(self, method: str, path: str, **content: Any) -> Any:
        reason = ""
        for pause in (*_PAUSES, None):
            try:
                response = self._client.request(method, path, **content)
            except self._lost as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                if response.status_code not in {502, 503, 504}:
                    return response
                reason = f"HTTP {response.status_code}"
            if pause is None or method == "POST":
                break
            time.sleep(pause)
        what = f"{self.url} does not answer ({reason})"
        fix = "see `databuild annotate status`, then run the same command again: it goes on"
        raise UnreachableError("annotate", what, fix=fix)

    def _refusal(self, method: str, path: str, response: Any) -> ServiceError:
        code = response.status_code
        if code in _REASONS:
            what, fix = _REASONS[code]
            return ServiceError("annotate", f"{what} for {self.url}", fix=fix)
        told = " ".join(response.text.split())[:300]
        what = f"{self.url} refuses {method} {path.split('?', maxsplit=1)[0]} (HTTP {code}): {told}"
        return ServiceError("annotate", what, fix="see `databuild annotate logs`")
