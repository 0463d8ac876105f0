"""What holds for every test: nothing leaves the machine, nothing depends on luck."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from databuild.annotate.connection import Connection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

# Set before any library is imported, and inherited by every child that a test starts.
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    VLLM_NO_USAGE_STATS="1",
    DO_NOT_TRACK="1",
    TOKENIZERS_PARALLELISM="false",
)

settings.register_profile(
    "databuild",
    deadline=None,  # two workers and a trainer share two cores: a slow example is no fault
    derandomize=True,  # the same examples everywhere, so that a failure is never one machine's
    max_examples=60,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("databuild")

_connect = socket.socket.connect


def _connect_here_only(self: socket.socket, address: Any, /) -> None:
    """Refuse any address but this machine's own: at run time nothing is fetched."""
    if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
        message = f"a test reached for {address!r}; tests may only talk to this machine"
        raise ConnectionRefusedError(message)
    _connect(self, address)


def _is_here(host: str) -> bool:
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which only a look-up outside could resolve
        return False


socket.socket.connect = _connect_here_only  # type: ignore[method-assign, assignment]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that is not part of the project; tests of it are skipped without."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DATABUILD_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no folder of real data (set DATABUILD_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def argilla_home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A home for a local Argilla; its environment is installed once and kept in pytest's cache."""
    cache = getattr(request.config, "cache", None)
    installed = cache.mkdir("argilla") if cache else tmp_path_factory.mktemp("argilla-venv")
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABUILD_HOME", str(home))
        if "DATABUILD_ARGILLA_VENV" not in os.environ:
            patch.setenv("DATABUILD_ARGILLA_VENV", str(installed))
        yield home


@pytest.fixture(scope="session")
def argilla(argilla_home: Path) -> Iterator[Connection]:
    """The real server, started as `databuild annotate up` does; entered as its owner."""
    from databuild.annotate import local

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    local.start("127.0.0.1", port, lambda _: None)
    yield connect()
    pids = local.state().pids.values()
    assert local.stop()
    assert not [pid for pid in pids if is_alive(pid)], "annotate down left a process"


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
