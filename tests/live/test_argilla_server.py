"""The real server on one machine: entered, searched, killed and stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from databuild.annotate import local
from databuild.annotate.connection import connect
from databuild.annotate.people import add_user, call
from databuild.annotate.supervisor import answers
from databuild.errors import ServiceError
from tests.conftest import is_alive

pytestmark = pytest.mark.live

TEXTS = [
    "A cat sat on the mat.",
    "The dog sat on the cat.",
    "机器学习需要大量的数据。",
    "翻译一段机器写的话。",
]


def made(argilla, name: str) -> str:
    """A published data set with TEXTS; its id."""
    workspaces = call(argilla, "GET", "/api/v1/me/workspaces")["items"]
    place = next(one["id"] for one in workspaces if one["name"] == argilla.workspace)
    dataset = call(argilla, "POST", "/api/v1/datasets", {"name": name, "workspace_id": place})["id"]
    field = {"name": "text", "title": "Text", "required": True}
    field["settings"] = {"type": "text", "use_markdown": False}
    call(argilla, "POST", f"/api/v1/datasets/{dataset}/fields", field)
    options = [{"value": value, "text": value} for value in ("a", "b")]
    question = {"name": "better", "title": "Better", "required": True}
    question["settings"] = {"type": "label_selection", "options": options}
    call(argilla, "POST", f"/api/v1/datasets/{dataset}/questions", question)
    call(argilla, "PUT", f"/api/v1/datasets/{dataset}/publish")
    items = [{"fields": {"text": text}, "external_id": str(i)} for i, text in enumerate(TEXTS)]
    call(argilla, "POST", f"/api/v1/datasets/{dataset}/records/bulk", {"items": items})
    return dataset


def found(argilla, dataset: str, typed: str) -> list[int]:
    body = {"query": {"text": {"q": typed}}}
    path = f"/api/v1/me/datasets/{dataset}/records/search"
    items = call(argilla, "POST", path, body)["items"]
    return sorted(int(item["record"]["external_id"]) for item in items)


@pytest.fixture(scope="module")
def dataset(argilla) -> str:
    return made(argilla, "server")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("cat", [0, 1]),
        ("cat -(dog | 机器)", [0]),
        ("机器", [2, 3]),
        ("机器学习", [2]),
        ("-sat", [2, 3]),
    ],
)
def test_records_are_found_by_text_in_english_and_chinese(argilla, dataset, typed, expected):
    assert found(argilla, dataset, typed) == expected


def test_the_api_refuses_without_a_key_and_with_a_wrong_one(argilla):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{argilla.url}/api/v1/me/datasets", timeout=20)  # noqa: S310  # our own
    assert refused.value.code == 401
    refused.value.close()
    with pytest.raises(ServiceError, match=r"refuses this API key \(401\)") as told:
        call(replace(argilla, api_key="wrong-key"), "GET", "/api/v1/me")
    assert "wrong-key" not in str(told.value)
    assert call(argilla, "GET", "/api/v1/me")["role"] == "owner"


def test_users_see_only_what_is_in_their_workspaces(argilla, dataset):
    add_user(argilla, "member", "member-s-password")
    other = replace(argilla, workspace="elsewhere")
    add_user(other, "stranger", "stranger-s-password")
    with pytest.raises(ServiceError, match="409"):
        add_user(argilla, "member", "member-s-password")
    with pytest.raises(ServiceError, match="at least 8 characters"):
        add_user(argilla, "bob", "short")
    users = call(argilla, "GET", "/api/v1/users")["items"]
    assert {user["username"] for user in users} >= {"owner", "member", "stranger"}
    keys = {user["username"]: user["api_key"] for user in users}
    ann, eve = (replace(argilla, api_key=keys[name]) for name in ("member", "stranger"))
    assert dataset in {one["id"] for one in call(ann, "GET", "/api/v1/me/datasets")["items"]}
    assert call(eve, "GET", "/api/v1/me/datasets")["items"] == []
    with pytest.raises(ServiceError, match=r"40[34]"):
        call(eve, "GET", f"/api/v1/datasets/{dataset}")
    with pytest.raises(ServiceError, match="403"):
        call(ann, "GET", "/api/v1/users")


def test_secrets_are_private_and_in_no_command_line(argilla):
    folder = Path(os.environ["DATABUILD_HOME"]) / "argilla"
    assert folder.stat().st_mode & 0o777 == 0o700
    open_to_others = [
        path for path in folder.iterdir() if path.is_file() and path.stat().st_mode & 0o77
    ]
    assert open_to_others == []
    secrets = json.loads((folder / "secrets.json").read_text(encoding="utf-8"))
    hidden = [value for name, value in secrets.items() if name != "owner_name"]
    told = [Path(f"/proc/{pid}/cmdline").read_text() for pid in local.state().pids.values()]
    told += [path.read_text(errors="replace") for path in (folder / "logs").glob("*.log")]
    told += [(folder / "server.json").read_text(), (folder / "settings.json").read_text()]
    assert not [value for value in hidden for text in told if value in text]


def listening(pids: list[int]) -> list[str]:
    """The addresses on which some processes listen, from the kernel's own tables."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.update(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
            except OSError:
                continue
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return [row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes]


def test_nothing_listens_beyond_this_machine(argilla):
    pids = list(local.state().pids.values())
    assert len(pids) == 4
    assert listening(pids) == ["0100007F"]  # 127.0.0.1, once: the queue has no port at all


def test_a_second_up_finds_the_first(argilla):
    assert local.start("127.0.0.1", None, print).url == argilla.url
    with pytest.raises(ServiceError, match=r"runs already, at .*databuild annotate down"):
        local.start("127.0.0.1", 1234, print)


def test_a_backup_is_whole(argilla, dataset, tmp_path):
    path = local.back_up(tmp_path / "copy.db")
    assert path.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(path) as copy:
        count = "SELECT count(*) FROM records WHERE dataset_id = ?"
        assert copy.execute(count, [dataset.replace("-", "")]).fetchone() == (len(TEXTS),)
        assert copy.execute("SELECT count(*) FROM dbx_doc").fetchone()[0] >= len(TEXTS)


def wait_for(what, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.kill
@pytest.mark.parametrize("process", ["worker", "queue", "server"])
def test_a_killed_process_is_started_again(argilla, dataset, process):
    before = local.state().pids
    os.kill(before[process], signal.SIGKILL)
    wait_for(lambda: local.state().pids[process] != before[process])
    wait_for(lambda: local.state().state == "running" and answers(argilla.url))
    after = local.state().pids
    assert {name for name in before if before[name] != after[name]} == {process}
    assert found(argilla, dataset, "cat") == [0, 1]


@pytest.mark.kill
def test_a_killed_supervisor_takes_all_with_it_and_up_starts_anew(argilla, dataset):
    before = local.state().pids
    os.kill(before["supervisor"], signal.SIGKILL)
    wait_for(
        lambda: (
            not any(Path(f"/proc/{pid}/fd").exists() and is_alive(pid) for pid in before.values())
        )
    )
    with pytest.raises(ServiceError, match="no local Argilla is running"):
        connect()
    assert local.start("127.0.0.1", None, print).url == argilla.url
    assert found(connect(), dataset, "机器学习") == [2]
