"""Code that is careless or hostile is tried on the real sandbox; what it does must stay inside."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from databuild.errors import StepError
from databuild.reward import sandbox
from databuild.reward.sandbox import Limits, run_tests

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="it is built on Linux")
SHORT = Limits(cpu_s=1, wall_s=20)


def reason(code: str, limits: Limits = SHORT, tests=("pass",)) -> str | None:
    return run_tests(code, list(tests), limits).reason


def test_tests_are_counted_one_by_one_and_the_first_failure_is_named():
    tests = ["assert f(1) == 2", "assert f(0) == 5, 'zero'", "f('')", "assert f(2) == 3"]
    found = run_tests("def f(x):\n    print('雨🙂')\n    return x + 1", tests, SHORT)
    assert found.passed == (True, False, False, True)
    assert found.reason == "test 2: AssertionError: zero"
    assert found.output == "雨🙂\n" * 4
    assert found.network is not None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def f(:", "SyntaxError"),
        ("raise ValueError('\\ud800')", "ValueError: ?"),
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("import os\nos._exit(0)", "it ended the process"),
        ("def f(): f()\nf()", "RecursionError"),
        ("import ctypes\nctypes.string_at(0)", "crashed (SIGSEGV)"),
        ("x = bytearray(10**10)", "MemoryError"),
        ("x = []\nwhile True: x.append(bytearray(10**7))", "MemoryError"),
        ("with open('x', 'wb') as f:\n    while True: f.write(bytes(10**6))", "File too large"),
        ("input()", "EOFError"),
    ],
)  # fmt: skip
def test_careless_code_fails_with_its_reason(code, said):
    found = run_tests(code, ["pass", "pass"], SHORT)
    assert found.passed == (False, False)
    assert (found.reason or "").startswith("the code: ")
    assert said in (found.reason or "")


def test_what_never_ends_is_ended():
    assert reason("while True: pass") == "the code: over 1 CPU seconds"
    slept = run_tests("import time", ["pass", "time.sleep(60)", "pass"], Limits(wall_s=1))
    assert slept.passed == (True, False, False)
    assert slept.reason == "test 2: over 1 s"
    deaf = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert reason(deaf) == "the code: over 1 CPU seconds"


def test_a_stream_of_output_is_cut():
    found = run_tests("while True: print('a' * 1000)", ["pass"], Limits(cpu_s=1, output_chars=50))
    assert found.output == "a" * 50


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.fork()",
        "import os\nwhile True:\n    try: os.fork()\n    except BlockingIOError: pass",
        "import subprocess\nsubprocess.run(['/bin/true'])",
        "import os\nos.execv('/bin/true', ['true'])",
        "import os\nos.posix_spawn('/bin/true', ['true'], {})",
        "import multiprocessing as m\nm.get_context('fork').Process(target=print).start()",
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
        "import os, signal\nos.kill(-1, signal.SIGKILL)",
        "import os\nos.setsid()",
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 2))",
        "import socket\nsocket.socket()",
        "import socket\nsocket.socket(socket.AF_UNIX)",
        "import urllib.request as u\nu.urlopen('http://127.0.0.1:9')",
        "import os\nos.chmod('.', 0o777)",
        "import os\nos.utime('.')",
        "open('/proc/self/environ').read()",
        "import os\nopen(f'/proc/{os.getppid()}/environ').read()",
        "open('/etc/passwd').read()",
        "import os\nos.listdir('/')",
        "import os\nos.listdir('/tmp')",
        "open('/tmp/databuild-was-here', 'w')",
        "open('../databuild-was-here', 'w')",
        "import os\nos.symlink('/etc/passwd', 'p')\nopen('p').read()",
        "open('/dev/full', 'w')",
    ],
)
def test_hostile_code_is_refused_by_the_kernel(code):
    found = run_tests(code, ["pass"], SHORT)
    assert found.passed == (False,)
    assert re.search("ermi|not allowed", found.reason or ""), (
        found.reason
    )  # Permission denied, Operation not permitted


def test_it_reaches_no_file_of_the_user_and_changes_none():
    with tempfile.TemporaryDirectory(dir=Path.home()) as folder:
        secret = Path(folder, "id_ed25519")
        secret.write_text("secret")
        assert "Permission denied" in (reason(f"open({str(secret)!r}).read()") or "")
        assert "Permission denied" in (reason(f"open({str(secret)!r}, 'w')") or "")
        assert "ermi" in (reason(f"import os\nos.truncate({str(secret)!r}, 0)") or "")
        assert "Permission denied" in (reason(f"import os\nos.unlink({str(secret)!r})") or "")
        # Where the code's folder is a file system of its own, no name can be moved into it.
        moved = reason(f"import os\nos.rename({str(secret)!r}, 'mine')") or ""
        assert "ermi" in moved or "cross-device" in moved
        assert secret.read_text() == "secret"
    ssh = Path.home() / ".ssh"
    said = reason(f"import os\nos.listdir({str(ssh)!r})") or ""
    assert "Permission denied" in said or "No such file" in said


def test_it_goes_round_the_library_in_vain():
    code = (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
        "got = [libc.fork(), libc.kill(os.getppid(), 9), libc.socket(2, 1, 0), libc.unshare(0x10000000),"
        " libc.prctl(1, 0), libc.syscall(435, 0, 0), libc.ptrace(16, os.getppid())]"
    )
    assert reason(code, tests=["assert got == [-1] * 7, got"]) is None


def test_threads_are_bounded_and_loops_of_events_work():
    few = "import threading\nts = [threading.Thread(target=print) for _ in range(4)]\n[t.start() for t in ts]\n[t.join() for t in ts]"
    assert reason(few) is None
    many = (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()"
    )
    assert "RuntimeError: can't start new thread" in (reason(many) or "")
    assert (
        reason("import asyncio\nasync def f(): return 3", tests=["assert asyncio.run(f()) == 3"])
        is None
    )


def test_it_has_an_empty_folder_of_its_own_and_no_environment(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    code = "import os\nopen('x', 'w').write('1')\nos.makedirs('a/b')\nat = os.getcwd()"
    tests = ["assert sorted(os.listdir('.')) == ['a', 'x']", "assert not os.environ", "print(at)"]
    found = run_tests(code, tests, SHORT)
    assert found.reason is None
    assert not Path(found.output.strip()).exists()


def test_the_same_code_hashes_the_same():
    texts = {run_tests("print(hash('tea'))", ["pass"], SHORT).output for _ in range(3)}
    assert len(texts) == 1


def test_installed_packages_are_there_only_on_request():
    assert "ModuleNotFoundError" in (reason("import pydantic") or "")
    assert reason("import pydantic", Limits(packages=True, cpu_s=20, wall_s=60)) is None


def test_a_forged_report_needs_the_token():
    forged = "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'x (\\'test\\', None)\\n')\n    except OSError: pass\nos._exit(0)"
    assert run_tests(forged, ["assert False"], SHORT).passed == (False,)


def test_the_code_dies_with_who_started_it(tmp_path):
    mark = "x" * 8
    script = (
        "from databuild.reward.sandbox import *\n"
        f"run_tests('import time\\nprint(1)\\ntime.sleep(99)#{mark}', ['pass'], Limits(wall_s=99))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    child = None
    for _ in range(600):
        found = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        if found:
            child = int(found[0])
            break
        parent.poll()
        signal.sigtimedwait([], 0.05)
    assert child is not None
    parent.kill()
    parent.wait()
    for _ in range(600):
        if not os.path.exists(f"/proc/{child}") or "Z" in Path(f"/proc/{child}/stat").read_text():  # noqa: PTH110
            return
        signal.sigtimedwait([], 0.05)
    pytest.fail("the code outlived its parent")


def test_without_a_namespace_there_is_no_network_either(monkeypatch, tmp_path):
    child = tmp_path / "child.py"
    source = sandbox._CHILD.read_text()
    assert "return not failed" in source
    granted = source.replace("libc.unshare(CLONE", "libc.close(-1) and (CLONE")
    child.write_text(granted.replace("return not failed", "return False"))
    monkeypatch.setattr(sandbox, "_CHILD", child)
    found = run_tests("import socket\nsocket.socket()", ["pass"], SHORT)
    assert found.network == "seccomp"
    assert found.reason == "the code: PermissionError: [Errno 1] Operation not permitted"


def test_a_machine_that_cannot_lock_in_runs_nothing(monkeypatch, tmp_path):
    child = tmp_path / "child.py"
    source = sandbox._CHILD.read_text().replace(
        "MACHINES = {", "MACHINES = {} or {'vax': (0, 0, 0, 0)} or {"
    )
    child.write_text(source)
    monkeypatch.setattr(sandbox, "_CHILD", child)
    with pytest.raises(StepError, match=r"cannot be locked in .* no seccomp filter"):
        run_tests("open('ran', 'w')", ["pass"], SHORT)


FILL = """
import os
os.mkdir("deep")
for i in range(400):
    with open(f"deep/{i}", "wb") as to:
        to.write(b"x" * (1 << 20))
"""


def test_many_small_files_fill_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_tests(
        FILL.replace("400", "20"), ["assert len(os.listdir('deep')) == 20"], Limits()
    ).passed == (True,)
    found = run_tests(FILL, ["pass"], Limits(disk_mib=32))
    assert found.passed == (False,)
    assert found.reason in {
        "the code: OSError: [Errno 28] No space left on device", "the code: over 32 MiB of files",
    }  # fmt: skip


def test_where_no_file_system_can_be_mounted_the_files_are_counted(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).write_bytes(b"x" * (1 << 20))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "more").write_bytes(b"x" * (1 << 20))
    assert sandbox._too_much(str(tmp_path), Limits(disk_mib=4)) is None
    assert sandbox._too_much(str(tmp_path), Limits(disk_mib=2)) == "over 2 MiB of files"
    assert sandbox._too_much(str(tmp_path / "gone"), Limits()) is None
