"""A pull that is killed (kill -9) while it appends: the log is whole, and nothing is doubled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import polars as pl

from databuild.annotate.fetching import fetch
from databuild.annotate.files import FileDesk
from databuild.annotate.log import VoteLog
from databuild.annotate.push import PushConfig, put_before_people

if TYPE_CHECKING:
    from pathlib import Path

N = 30
# A disk that takes a few bytes at a time, so that the kill meets a half-written line.
SLOW_PULL = """
import os, sys, time
from pathlib import Path
from databuild.annotate.fetching import fetch
from databuild.annotate.files import FileDesk
from databuild.annotate.log import VoteLog
whole = os.write
def slow(handle, text):
    time.sleep(0.001)
    return whole(handle, text[:7])
log = VoteLog(Path(sys.argv[1]), "d")
os.write = slow
fetch(log, FileDesk(log.folder))
"""


def pushed_and_answered(folder: Path) -> VoteLog:
    rows = pl.DataFrame({
        "row_id": [f"r{i}" for i in range(N)], "prompt": [f"问题 {i} 🐢" for i in range(N)],
        "response_a": ["x"] * N, "response_b": ["y"] * N,
    })  # fmt: skip
    out = folder / "out"
    out.mkdir(parents=True)
    config = PushConfig(dataset="d", tool="files")
    put_before_people(rows, config, out=out, journals=folder, files=(), seed=1)
    log = VoteLog(folder, "d")
    lines = (log.folder / "tasks.jsonl").read_text("utf-8").splitlines()
    said = {"preference": "b_slightly", "comment": "好 🐢", "voted_at": "2026-03-01T09:30:00Z"}
    text = "".join(
        json.dumps(json.loads(line) | said | {"annotator": "ann"}) + "\n" for line in lines
    )
    (log.folder / "answers" / "ann.jsonl").write_text(text, "utf-8")
    return log


def kill_at(journals: Path, log: VoteLog, size: int) -> None:
    """Pull in a process of its own, and kill it when the log has grown to a size."""
    with subprocess.Popen([sys.executable, "-c", SLOW_PULL, str(journals)]) as pull:
        end = time.monotonic() + 60
        while log.path.stat().st_size < size:
            assert pull.poll() is None, "it was done before it was killed"
            assert time.monotonic() < end
            time.sleep(0.0005)
        os.kill(pull.pid, signal.SIGKILL)
    assert pull.returncode == -signal.SIGKILL


def test_a_pull_killed_again_and_again_ends_in_the_log_of_one_that_was_not(tmp_path: Path) -> None:
    log = pushed_and_answered(tmp_path / "killed")
    shutil.copytree(tmp_path / "killed", tmp_path / "whole")
    never = VoteLog(tmp_path / "whole", "d")
    assert fetch(never, FileDesk(never.folder)).new == N
    wanted, start = never.path.read_bytes(), log.path.stat().st_size
    assert len(wanted) > start + 5000

    n_before, n_torn = 0, 0
    for size in (start + 1000, start + 4000):
        kill_at(tmp_path / "killed", log, size)
        text = log.path.read_bytes()
        n_torn += not text.endswith(b"\n")
        cut = text[: text.rfind(b"\n") + 1]
        assert wanted.startswith(cut)
        n_votes = len(log.read().submitted())  # the chain holds, with half a line at its end
        assert n_before < n_votes < N
        n_before = n_votes
    assert n_torn > 0
    assert fetch(log, FileDesk(log.folder)).new == N - n_before
    assert log.path.read_bytes() == wanted
    assert fetch(log, FileDesk(log.folder)).new == 0
