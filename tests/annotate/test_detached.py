"""The supervisor outlives who started it, without a warning, and is no zombie when it is stopped."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from databuild.annotate import local
from databuild.annotate.connection import is_running, read_state
from databuild.errors import ServiceError

if TYPE_CHECKING:
    from pathlib import Path

# Stands for the supervisor: the lock, the state, the end by SIGTERM; no server below it.
STAND_IN = """#!{python}
import fcntl, json, os, signal, sys
folder = sys.argv[-1]
if os.path.exists(folder + "/fails"):
    sys.exit("no such thing")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
lock = open(folder + "/lock", "a")
fcntl.flock(lock, fcntl.LOCK_EX)
told = {{"state": "running", "url": "http://127.0.0.1:1", "supervisor_pid": os.getpid()}}
with open(folder + "/told", "w") as file:
    json.dump(told, file)
os.rename(folder + "/told", folder + "/server.json")
signal.pause()
"""
LAUNCH = """
import sys
from pathlib import Path
from databuild.annotate import local
sys.executable = sys.argv[1]
print(local._launch(Path(sys.argv[2])).state)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATABUILD_HOME", str(tmp_path))
    (tmp_path / "argilla" / "logs").mkdir(parents=True)
    python = tmp_path / "stand-in"
    python.write_text(STAND_IN.format(python=sys.executable))
    python.chmod(0o700)
    return tmp_path / "argilla"


def test_started_and_stopped_by_one_process_nothing_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(folder.parent / "stand-in"))
    assert local._launch(folder).state == "running"
    gc.collect()  # a Popen that is still running would warn here, and a warning fails a test
    pid = read_state(folder)["supervisor_pid"]
    assert local.stop()
    with pytest.raises(ProcessLookupError):  # a zombie would still be found
        os.kill(pid, 0)
    (folder / "server.json").unlink()
    (folder / "fails").touch()
    with pytest.raises(ServiceError, match="supervisor: no such thing"):
        local._launch(folder)
    gc.collect()
    assert not local._supervisors


def test_it_goes_on_when_who_started_it_has_ended_without_a_word(folder: Path) -> None:
    words = [sys.executable, "-W", "always::ResourceWarning", "-c", LAUNCH]
    words += [str(folder.parent / "stand-in"), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("running\n", "")
    assert is_running(folder)
    assert local.state().pids["supervisor"] == read_state(folder)["supervisor_pid"]
    assert local.stop()
    end = time.monotonic() + 10
    while is_running(folder):
        assert time.monotonic() < end
