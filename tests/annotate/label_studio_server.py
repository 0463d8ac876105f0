"""A real Label Studio, used as its page does: accounts, a project, tasks, annotations, an export.

It is none of the project's dependencies. Where one is installed (`uv tool install label-studio`), or
`DATABUILD_LABEL_STUDIO` names its program, the contract of the annotation tools is tested with it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from playwright.sync_api import Page

    from databuild.annotate.log import VoteLog

PASSWORD = "a password of length"  # noqa: S105  # of a server that lives for a test
_START_S = 600  # its first start makes some hundred tables


def program() -> str | None:
    """The program `label-studio`; None where there is none."""
    return os.environ.get("DATABUILD_LABEL_STUDIO") or shutil.which("label-studio")


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start it on SQLite in a folder, without any service; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, command = f"http://127.0.0.1:{port}", program()
    assert command is not None
    words = [command, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    words += ["--data-dir", str(folder), "--host", url]
    quiet = {"COLLECT_ANALYTICS": "0", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "",
             "LATEST_VERSION_CHECK": "0", "LABEL_STUDIO_BASE_DATA_DIR": str(folder)}  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(words, env={**os.environ, **quiet}, stdout=log, stderr=log)
    try:
        end = time.monotonic() + _START_S
        while not _answers(url):
            assert server.poll() is None, (folder / "log").read_text("utf-8", "replace")[-2000:]
            assert time.monotonic() < end, (folder / "log").read_text("utf-8", "replace")[-2000:]
            time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


class Person:
    """Someone who is logged in."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._client = httpx.Client(base_url=url, timeout=60, follow_redirects=True)
        sent = {"email": f"{name}@example.org", "password": PASSWORD, "allow_newsletters": "false"}
        for page in ("/user/signup/", "/user/login/"):
            self._client.get(page)
            token = {"csrfmiddlewaretoken": self._client.cookies["csrftoken"]}
            self._client.post(page, data={**sent, **token}, headers={"Referer": f"{url}{page}"})
        self.number = int(self.ask("GET", "/api/current-user/whoami")["id"])

    def ask(self, method: str, path: str, content: Any = None, **params: Any) -> Any:
        """Ask the API as the page does, in the session."""
        headers = {"X-CSRFToken": self._client.cookies.get("csrftoken", ""), "Referer": self._url}
        answer = self._client.request(method, path, json=content, params=params, headers=headers)
        assert answer.is_success, (method, path, answer.status_code, answer.text[:600])
        return answer.json() if answer.content else None

    def close(self) -> None:
        self._client.close()


class RealLabelStudio:
    """People who answer in Label Studio's project of a data set."""

    tool = "label_studio"

    def __init__(self, url: str) -> None:
        self._url = url
        self._people: dict[str, Person] = {}
        self._projects: dict[str, int] = {}
        self._given: dict[tuple[int, str], int] = {}

    @property
    def name(self) -> str:
        """An export names people by number."""
        return f"user-{self._person('ann').number}"

    def answer(self, log: VoteLog, answers: Mapping[str, dict[str, Any]], who: str) -> None:
        """Submit, or correct, annotations; then export the project into the folder `answers`."""
        project, person = self._project(log), self._person(who)
        tasks = person.ask("GET", "/api/tasks", project=project, fields="all", page_size=500)
        for task in tasks["tasks"]:
            given = answers.get(task["data"]["record"])
            if given is None:
                continue
            result = [r for k, v in given.items() for r in results_of(k, v)]
            body = {
                "result": [{**one, "to_name": _first(task)} for one in result],
                "lead_time": 3.5,
            }
            known = self._given.get((task["id"], who))
            if known is not None:
                person.ask("PATCH", f"/api/annotations/{known}/", body)
                continue
            made = person.ask("POST", f"/api/tasks/{task['id']}/annotations/", body)
            self._given[task["id"], who] = made["id"]
        export = person.ask("GET", f"/api/projects/{project}/export", exportType="JSON")
        path = log.folder / "answers" / "export.json"
        path.write_text(json.dumps(export, ensure_ascii=False), "utf-8")

    @contextmanager
    def page(self, log: VoteLog, chromium: str) -> Iterator[Page]:
        """The first task of a data set's project, in a browser, as `ann`."""
        from playwright.sync_api import sync_playwright

        project = self._project(log)
        with sync_playwright() as tool:
            browser = tool.chromium.launch(executable_path=chromium)
            page = browser.new_page(viewport={"width": 1400, "height": 1500})
            page.set_default_timeout(90_000)
            page.goto(f"{self._url}/user/login/")
            page.fill("input[name=email]", "ann@example.org")
            page.fill("input[name=password]", PASSWORD)
            page.click("button[type=submit]")
            page.wait_for_url(lambda url: "/login" not in url)
            page.goto(f"{self._url}/projects/{project}/data?labeling=1")
            page.get_by_text("Which answer is better?").first.wait_for()
            yield page
            browser.close()

    def close(self) -> None:
        """End all sessions."""
        for person in self._people.values():
            person.close()

    def _person(self, who: str) -> Person:
        if who not in self._people:
            self._people[who] = Person(self._url, who)
        return self._people[who]

    def _project(self, log: VoteLog) -> int:
        """The project of a data set, made of the two files that databuild writes."""
        if log.dataset not in self._projects:
            config = (log.folder / "label-studio-config.xml").read_text("utf-8")
            tasks = json.loads((log.folder / "label-studio-tasks.json").read_text("utf-8"))
            owner = self._person("ann")
            made = owner.ask(
                "POST", "/api/projects", {"title": log.dataset, "label_config": config}
            )
            told = owner.ask("POST", f"/api/projects/{made['id']}/import", tasks)
            assert told["task_count"] == len(tasks)
            self._projects[log.dataset] = int(made["id"])
        return self._projects[log.dataset]


def _first(task: Mapping[str, Any]) -> str:
    """The text that every question of our interface points to: the first of the record."""
    return next(name for name in task["data"] if name not in {"record", "assigned_to"})


def results_of(question: str, value: Any) -> Iterator[dict[str, Any]]:
    """The results of an answer, as the page makes them from our interface."""
    if question == "ranking":
        for one in value:
            choices = {"choices": [str(one["rank"])]}
            yield {"from_name": f"ranking_{one['value']}", "type": "choices", "value": choices}
    elif isinstance(value, int):
        yield {"from_name": question, "type": "rating", "value": {"rating": value}}
    elif question in {"edited", "comment"}:
        yield {"from_name": question, "type": "textarea", "value": {"text": [value]}}
    else:
        choices = {"choices": value if isinstance(value, list) else [value]}
        yield {"from_name": question, "type": "choices", "value": choices}
