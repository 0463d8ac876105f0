"""A child answers, reports its death in one clear error, and never outlives its parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from databuild.engine.child import Child, last_lines, run_job
from databuild.errors import ServiceError

CHILD = """
import os, subprocess, sys, time
from databuild.engine.child import Channel, Json, serve_job

def main(job: Json, parent: Channel) -> Json:
    print("hello log", flush=True)
    if job["do"] == "double":
        for n in range(job["n"]):
            parent.send({"seen": n})
        return {"doubled": 2 * job["n"], "text": job.get("text")}
    if job["do"] == "raise":
        raise ValueError("no such weights")
    if job["do"] == "kill":
        os.kill(os.getpid(), 9)
    if job["do"] == "grandchild":
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        parent.send({"pid": os.getpid(), "grandchild": grandchild.pid})
        if job.get("die"):
            os._exit(3)
        time.sleep(600)
    return {}

if __name__ == "__main__":
    serve_job(main)
"""

PARENT = """
import sys
from pathlib import Path
from databuild.engine.child import Child
child = Child("worker", where="s", log=Path(sys.argv[1]))
child.send({"do": "grandchild"})
message = child.receive()
print(message["pid"], message["grandchild"], flush=True)
child.receive()
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "worker.py").write_text(CHILD)
    return {"PYTHONPATH": str(tmp_path)}


def wait_until_gone(pids: list[int], limit_s: float = 10.0) -> list[int]:
    """Return the processes that still run after `limit_s` (a zombie runs no more)."""

    def running(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + limit_s
    while any(map(running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [pid for pid in pids if running(pid)]


def test_a_job_returns_its_result_and_tells_its_progress(
    tmp_path: Path, env: dict[str, str]
) -> None:
    seen: list[int] = []
    result = run_job(
        "worker",
        {"do": "double", "n": 500, "text": "é\ud800\U0001f600\n"},
        where="s",
        log=tmp_path / "a" / "child.log",
        env=env,
        on_message=lambda message: seen.append(message["seen"]),
    )
    assert result == {"doubled": 1000, "text": "é\ud800\U0001f600\n"}
    assert seen == list(range(500))
    assert "hello log" in (tmp_path / "a" / "child.log").read_text()


def test_an_exception_in_the_child_is_one_error_with_the_log(
    tmp_path: Path, env: dict[str, str]
) -> None:
    with pytest.raises(ServiceError, match=r"^s: worker failed: ValueError: no such weights") as e:
        run_job("worker", {"do": "raise"}, where="s", log=tmp_path / "child.log", env=env)
    assert str(tmp_path / "child.log") in str(e.value)


def test_a_killed_child_is_one_error(tmp_path: Path, env: dict[str, str]) -> None:
    with pytest.raises(ServiceError, match="killed by SIGKILL"):
        run_job("worker", {"do": "kill"}, where="s", log=tmp_path / "child.log", env=env)


def test_a_module_that_cannot_be_run_is_an_error_with_the_reason(
    tmp_path: Path,
) -> None:
    with pytest.raises(ServiceError, match="No module named no_such_module"):
        run_job("no_such_module", {}, where="s", log=tmp_path / "child.log")


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServiceError, match="cannot start worker with the log"):
        run_job("worker", {}, where="s", log=tmp_path / "file" / "child.log")


def test_a_dead_childs_grandchildren_are_killed(tmp_path: Path, env: dict[str, str]) -> None:
    child = Child("worker", where="s", log=tmp_path / "child.log", env=env)
    child.send({"do": "grandchild", "die": True})
    message = child.receive()
    assert message is not None
    with pytest.raises(ServiceError, match="exit status 3"):
        child.receive()
    assert wait_until_gone([message["grandchild"]]) == []
    assert not child.is_alive
    with pytest.raises(ServiceError, match="has been closed"):
        child.send({})


def test_what_has_come_is_received_without_waiting(tmp_path: Path, env: dict[str, str]) -> None:
    child = Child("worker", where="s", log=tmp_path / "child.log", env=env)
    assert child.receive(timeout_s=0.0) is None
    child.send({"do": "grandchild"})
    readable, _, _ = select.select([child], [], [], 30)
    assert readable
    assert child.receive(timeout_s=0.0) is not None
    child.close()


def test_close_ends_the_whole_group_and_may_be_called_twice(
    tmp_path: Path, env: dict[str, str]
) -> None:
    child = Child("worker", where="s", log=tmp_path / "child.log", env=env)
    child.send({"do": "grandchild"})
    message = child.receive(timeout_s=30)
    assert message is not None
    assert child.is_alive
    assert child.receive(timeout_s=0.1) is None
    child.close()
    child.close()
    assert wait_until_gone([message["pid"], message["grandchild"]]) == []


def test_a_killed_parent_takes_child_and_grandchild_with_it(
    tmp_path: Path, env: dict[str, str]
) -> None:
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), env["PYTHONPATH"]])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "child.log")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert wait_until_gone(pids) == []


def test_a_childs_module_says_what_it_is_when_started_by_hand(
    tmp_path: Path, env: dict[str, str]
) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, str(tmp_path / "worker.py")],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "started by databuild itself" in done.stderr


def test_last_lines_prefers_errors_and_skips_progress_bars(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("fine\nRuntimeError: boom\n  0%|     | 0/3\r 99%|##  | 2/3 [1it/s]\nbye\n\n")
    assert last_lines(log) == ["RuntimeError: boom"]
    log.write_text("one\ntwo\n")
    assert last_lines(log, n=1) == ["two"]
    assert last_lines(log, start=4) == ["two"]
    assert last_lines(tmp_path / "none") == []
