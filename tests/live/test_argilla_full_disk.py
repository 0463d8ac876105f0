"""A disk that fills while people work, on a server that was asked to listen on every address."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl
import pytest

from databuild.annotate import local
from databuild.annotate.argilla import ArgillaDesk
from databuild.annotate.argilla_api import Api
from databuild.annotate.connection import connect
from databuild.annotate.fetching import fetch
from databuild.annotate.log import VoteLog
from databuild.annotate.push import PushConfig, put_before_people
from databuild.annotate.supervisor import answers
from databuild.errors import ServiceError
from tests.cli.conftest import Terminal
from tests.engine.disk import mounted, unmount

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.live
N = 8


def test_a_disk_that_fills_loses_no_answer_and_the_work_goes_on(
    argilla_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = mounted(tmp_path / "disk", 320 << 10)
    monkeypatch.setenv("DATABUILD_HOME", str(disk.path / "home"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        told = Terminal(tmp_path)("annotate", "up", "--host", "0.0.0.0", "--port", str(port))  # noqa: S104  # the subject
        assert "It listens on 0.0.0.0, unencrypted: put an HTTPS proxy before it." in told.stderr
        assert local.state().url == f"http://127.0.0.1:{port}"
        assert answers(f"http://127.0.0.2:{port}")  # not only the one address
        _work(disk.path / "filler", tmp_path)
    finally:
        (disk.path / "filler").unlink(missing_ok=True)
        local.stop()
        unmount(disk)


def _fill(path: Path) -> None:
    """Write until the disk takes no more."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def _work(filler: Path, folder: Path) -> None:
    rows = pl.DataFrame({
        "row_id": [f"r{i}" for i in range(N)], "prompt": [f"Frage {i}?" for i in range(N)],
        "response": ["lang " * 500] * N,
    })  # fmt: skip
    (folder / "out").mkdir()
    config = PushConfig(dataset="full", task="thumbs")
    put_before_people(rows, config, out=folder / "out", journals=folder, files=(), seed=1)
    with Api(connect()) as api:
        dataset = api.dataset("full")
        assert dataset is not None
        records = [one["id"] for one in api.records(str(dataset["id"]), responses=False)]
    assert [_submit(one) for one in records[:2]] == ["kept"] * 2
    before = local.state().pids
    _fill(filler)
    refused = [_submit(one, "x" * 20_000) for one in records[2:5]]
    assert "kept" not in refused, refused
    assert (
        "Make room: a full disk takes no answers" in Terminal(folder)("annotate", "status").stderr
    )
    log = VoteLog(folder, "full")
    assert fetch(log, ArgillaDesk()).new == 2  # what was said before can be read all the time
    filler.unlink()
    assert local.state().pids == before
    assert [_submit(one) for one in records[2:4]] == ["kept"] * 2
    assert fetch(log, ArgillaDesk()).new == 2
    assert sum(log.read().counts().values()) == 4


def _submit(record: str, comment: str = "gut") -> str:
    values: dict[str, Any] = {"thumb": {"value": "up"}, "comment": {"value": comment}}
    try:
        with Api(connect()) as api:
            api.post(f"/records/{record}/responses", {"status": "submitted", "values": values})
    except (ServiceError, httpx.HTTPError) as error:
        return str(error)
    return "kept"
