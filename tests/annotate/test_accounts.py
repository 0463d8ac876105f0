"""Accounts, passwords and what is told of the local server, without one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from databuild.annotate import local
from databuild.annotate.people import check_name
from databuild.annotate.secrecy import NewPassword
from databuild.annotate.supervisor import take_lock
from databuild.errors import ServiceError, StoreError
from tests.cli.conftest import Terminal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATABUILD_HOME", str(tmp_path))
    (tmp_path / "argilla").mkdir()
    return tmp_path / "argilla"


@pytest.mark.parametrize(
    "name", ["", "../owner", "a/b", "Bob Q", ".x", "-x", "a,b", "a\n", "x" * 101]
)
def test_a_name_that_could_not_be_a_file_or_an_address_is_refused(home: Path, name: str) -> None:
    with pytest.raises(ServiceError, match="is no login name"):
        check_name(name)
    told = Terminal(home)("annotate", "add-user", "--generate", "--", name, code=5)
    assert "is no login name" in told.stderr
    assert list(home.iterdir()) == []


def test_one_password_is_asked_for(home: Path) -> None:
    words = ("annotate", "add-user", "ann", "--generate", "--password-file", "x")
    assert "name two passwords" in Terminal(home)(*words, code=2).stderr


def test_a_drawn_password_outlives_a_kill_and_spares_a_namesakes(home: Path) -> None:
    first = NewPassword("ann")
    kept = first.keep()
    assert (kept.read_text("utf-8").strip(), kept.stat().st_mode & 0o777) == (first.text, 0o600)
    second = NewPassword("ann")  # and then a kill
    assert kept.read_text("utf-8").strip() == first.text
    third = NewPassword("ann")
    assert (third.text, third.is_older, second.is_older) == (second.text, True, False)
    third.forget()
    assert [path.name for path in kept.parent.iterdir()] == ["ann.password"]
    team = NewPassword("ann", "https://team.example:8443/x").keep()
    assert team == kept.parent / "team.example_8443" / "ann.password"


@pytest.mark.parametrize(("minutes", "expected"), [(1, 3), (3, 0)])
def test_restarts_of_long_ago_are_not_told(home: Path, minutes: int, expected: int) -> None:
    at = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")
    (home / "server.json").write_text(json.dumps({"state": "running", "restarts": 3, "at": at}))
    lock = take_lock(home)
    assert lock is not None
    with lock:
        assert local.state().restarts == expected


def test_a_backup_into_a_folder_that_is_not_there_says_so(home: Path) -> None:
    with closing(sqlite3.connect(home / "argilla.db")):
        pass
    (home / "argilla.db").touch()
    with pytest.raises(StoreError, match=r"there is no folder .*missing\. Fix: make it"):
        local.back_up(home / "missing" / "x.db")
