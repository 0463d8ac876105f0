"""Run code that nobody vouches for in a process that is locked in; see `reward.sandbox_child`.

What it is not: a virtual machine. Code that exploits a fault of the kernel gets out, and so may
code that finds a system call which is wrongly allowed. It can see that files exist (not what is in
them). What all its files hold is bounded: by a file system in memory, where the kernel grants a
user namespace; elsewhere they are counted five times a second, so that what can be written in a
fifth of a second comes on top. And code and tests share one interpreter: code that sets out to
deceive its tests, by comparing equal to everything or by writing the report itself, can.
"""

from __future__ import annotations

import ast
import contextlib
import marshal
import os
import selectors
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHILD = Path(__file__).with_name("sandbox_child.py")
_REPORT_BYTES = 1 << 20
_COUNT_S = 0.2
"""How often the code's files are counted."""
_GRACE_S = 5.0
"""A process that starts while others work may take so long before the code has begun."""


@dataclass(frozen=True)
class Limits:
    """How much the code may use."""

    cpu_s: int = 5
    wall_s: float = 15.0
    memory_mib: int = 512
    file_mib: int = 16
    disk_mib: int = 64
    """All its files together."""
    threads: int = 16
    output_chars: int = 1000
    packages: bool = False
    """Whether it may import what is installed beside the standard library."""


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    passed: tuple[bool, ...]
    """Of each test."""
    reason: str | None
    """Why the first test that failed did, or why there was none."""
    output: str
    """The beginning of what it wrote to standard output and error."""
    network: str | None
    """What kept it from the network."""


def run_tests(code: str, tests: Sequence[str], limits: Limits) -> Outcome:
    """Run code, and then each test in its name space, in a process of its own.

    Args:
        code: Python. Where it raises, no test passes.
        tests: Python each; a test passes where it raises nothing.
        limits: What it may use.

    Raises:
        StepError: The machine cannot lock a process in: it is not Linux, or without Landlock.

    Example:
        >>> tests = ["assert f(1) == 2", "assert f(0) == 2"]
        >>> found = run_tests("def f(x): return x + 1", tests, Limits())
        >>> found.passed, found.reason
        ((True, False), 'test 2: AssertionError')
    """
    folder = tempfile.mkdtemp(prefix="databuild-code-")
    to_read, to_write = os.pipe()
    try:
        child = _start(folder, to_write)
        token = token_hex(16)
        job = _job(code, tests, limits, folder) | {"token": token, "report": to_write}
        said, output, over = _listen(child, to_read, marshal.dumps(job), limits, folder)
    finally:
        os.close(to_read)
        _remove(folder)
    return _outcome(child, _read(said, token), output, len(tests), limits, over)


def _start(folder: str, to_write: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", str(_CHILD)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder,
            env={"PYTHONHASHSEED": "0"}, pass_fds=(to_write,), start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(to_write)


def _job(code: str, tests: Sequence[str], limits: Limits, folder: str) -> dict[str, Any]:
    packages = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    return {
        "code": code, "tests": list(tests), "folder": folder, "parent": os.getpid(),
        "packages": packages if limits.packages else [], "cpu_s": limits.cpu_s,
        "memory_bytes": limits.memory_mib << 20, "file_bytes": limits.file_mib << 20,
        "disk_bytes": limits.disk_mib << 20,
        "threads": limits.threads,
    }  # fmt: skip


def _listen(
    child: subprocess.Popen[bytes], report: int, job: bytes, limits: Limits, folder: str
) -> tuple[bytes, bytes, str | None]:
    """Hand the job over; keep what it reports, the first of what it prints, what it exceeded."""
    assert child.stdin is not None
    assert child.stdout is not None
    kept: dict[int, bytes] = {report: b"", child.stdout.fileno(): b""}
    most = {report: _REPORT_BYTES, child.stdout.fileno(): 4 * limits.output_chars}
    over = None
    try:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(job)
            child.stdin.close()
        until = time.monotonic() + _GRACE_S + limits.wall_s
        count = time.monotonic() + _COUNT_S
        with selectors.DefaultSelector() as ready:
            for pipe in kept:
                ready.register(pipe, selectors.EVENT_READ)
            while ready.get_map() and over is None:
                left_s = max(0.0, until - time.monotonic())
                for key, _ in ready.select(min(left_s, _COUNT_S)):
                    pipe = key.fd
                    data = os.read(pipe, 1 << 16)
                    if not data:
                        ready.unregister(pipe)
                    kept[pipe] += data[: most[pipe] - len(kept[pipe])]
                    if pipe == report and b"('network'," in data:  # the code begins now
                        until = time.monotonic() + limits.wall_s
                if time.monotonic() >= until:
                    over = f"over {limits.wall_s:g} s"
                elif time.monotonic() >= count:
                    over = _too_much(folder, limits)
                    count = time.monotonic() + _COUNT_S
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        with contextlib.suppress(OSError):
            child.stdin.close()
    said, output = kept.values()
    return said, output, over


def _too_much(folder: str, limits: Limits) -> str | None:
    """Whether the files hold too much; nothing is seen of them where they lie in memory."""
    held, open_folders = 0, [folder]
    while open_folders:
        try:
            with os.scandir(open_folders.pop()) as entries:
                for entry in entries:
                    held += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        open_folders.append(entry.path)
        except OSError:  # removed meanwhile, or too deep for a path
            continue
        if held > limits.disk_mib << 20:
            return f"over {limits.disk_mib} MiB of files"
    return None


def _read(said: bytes, token: str) -> list[tuple[str, Any]]:
    """The reports with the right token; all else is passed over."""
    found = []
    for line in said.decode("utf-8", "replace").splitlines():
        mark, _, rest = line.partition(" ")
        held: Any = None
        if mark == token:
            with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
                held = ast.literal_eval(rest)
        if isinstance(held, tuple) and len(held) == 2 and isinstance(held[0], str):
            value = held[1]
            # Half of a surrogate pair is no text that a table can hold.
            text = None if value is None else str(value).encode("utf-8", "replace").decode()
            found.append((held[0], text))
    return found


def _outcome(
    child: subprocess.Popen[bytes],
    said: list[tuple[str, Any]],
    output: bytes,
    n_tests: int,
    limits: Limits,
    over: str | None,
) -> Outcome:
    told = dict(said)
    if "refused" in told or (not told and over is None):
        text = output.decode("utf-8", "replace")[-200:]
        what = f"code cannot be locked in on this machine: {told.get('refused') or text}"
        fix = "run it on Linux from 5.13 with Landlock and seccomp, on x86_64 or aarch64"
        raise StepError("reward.code", what, fix=fix)
    errors = [value for what, value in said if what == "test"][:n_tests]
    passed = [error is None for error in errors]
    passed += [False] * (n_tests - len(passed))
    reason = None
    if told.get("code") is not None:
        reason = f"the code: {told['code']}"
    elif False in passed:
        first = passed.index(False)
        reason = over or _ending(child.returncode, limits)
        reason = errors[first] if first < len(errors) else reason
        reason = f"test {first + 1}: {reason}" if "code" in told else f"the code: {reason}"
    text = output.decode("utf-8", "replace")[: limits.output_chars]
    return Outcome(tuple(passed), reason, text, told.get("network"))


def _ending(code: int, limits: Limits) -> str:
    if code in {-signal.SIGXCPU, -signal.SIGKILL}:
        return f"over {limits.cpu_s} CPU seconds"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    return "it ended the process"


def _remove(folder: str) -> None:
    """Remove the folder, however deep it is."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(["/bin/rm", "-rf", folder], check=False, stderr=subprocess.DEVNULL)
