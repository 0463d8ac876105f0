"""A server is found, entered by its key, and the key is shown nowhere."""

from __future__ import annotations

import json

import pytest

from databuild.annotate import local
from databuild.annotate.connection import Connection, connect
from databuild.annotate.secrecy import ensure_secrets
from databuild.annotate.supervisor import take_lock
from databuild.errors import ServiceError, StoreError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABUILD_HOME", str(tmp_path))
    monkeypatch.delenv("ARGILLA_API_KEY", raising=False)
    folder = tmp_path / "argilla"
    folder.mkdir()
    return folder


def test_without_a_local_server_it_says_how_to_start_one(home):
    with pytest.raises(ServiceError, match=r"no local Argilla is running\. Fix: run `databuild an"):
        connect()


def test_a_file_left_by_a_killed_server_is_not_a_server(home):
    ensure_secrets(home)
    told = {"url": "http://127.0.0.1:6900", "state": "running", "supervisor_pid": 1}
    (home / "server.json").write_text(json.dumps(told), encoding="utf-8")
    (home / "lock").touch()
    with pytest.raises(ServiceError, match="no local Argilla is running"):
        connect()
    assert local.state().state == "stopped"
    lock = take_lock(home)
    assert lock is not None
    with lock:
        assert take_lock(home) is None
        assert connect().url == "http://127.0.0.1:6900"


def test_secrets_are_private_and_made_once(home):
    ensure_secrets(home)
    first = (home / "secrets.json").read_text(encoding="utf-8")
    ensure_secrets(home)
    assert (home / "secrets.json").read_text(encoding="utf-8") == first
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}
    values = [value for name, value in json.loads(first).items() if name != "owner_name"]
    assert len(set(values)) == 3
    assert min(map(len, values)) >= 20


def test_a_team_server_is_entered_with_the_key_of_the_environment(home, monkeypatch):
    with pytest.raises(ServiceError, match="set the environment variable ARGILLA_API_KEY"):
        connect("https://argilla.example.org")
    monkeypatch.setenv("ARGILLA_API_KEY", "secret-key")
    monkeypatch.setenv("ARGILLA_WORKSPACE", "team")
    found = connect("https://argilla.example.org/")
    assert found == Connection("https://argilla.example.org", "secret-key", "team")
    assert "secret-key" not in repr(found)
    connect("http://localhost:6900")
    with pytest.warns(UserWarning, match="not encrypted"):
        connect("http://argilla.example.org")


@pytest.mark.parametrize("server", ["argilla.example.org", "ftp://x", "https://me:pw@x.org", ""])
def test_what_is_no_address_is_refused(home, server):
    with pytest.raises(ServiceError, match="begins with http:// or https://"):
        connect(server)


def test_a_full_disk_is_told_before_anything_starts(home, monkeypatch):
    class Usage:
        free = 50 << 20

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(StoreError, match=r"has 50 MiB free, and votes need room\. Fix: free at"):
        local.start("127.0.0.1", 6900, print)


def test_a_taken_port_is_told_before_anything_starts(home):
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            ServiceError, match=rf"{port} of 127.0.0.1 is taken .* --port {port + 1}"
        ):
            local.start("127.0.0.1", port, print)
    with pytest.raises(ServiceError, match="cannot be listened on"):
        local.start("203.0.113.7", port, print)


def test_down_and_backup_without_a_server(home):
    assert not local.stop()
    with pytest.raises(StoreError, match="no database yet"):
        local.back_up(None)
    with pytest.raises(ServiceError, match="has no log"):
        local.last_lines("worker", 3)
