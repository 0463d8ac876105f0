"""`databuild export` as it is typed, and a hub that is a small server on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from databuild.cli.main import app
from tests.release.conftest import Shop, tickets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(tmp_path)
    made = Shop(tmp_path)
    made.run(tickets(30))
    made.release("shop@1.0.0")
    return made


def told(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["export", *words])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_a_version_is_written_with_its_account(shop: Shop) -> None:
    assert "30 rows for llamafactory" in told(
        "shop", "--to", "llamafactory", "out", "--config", "sft"
    )
    account = json.loads((shop.folder / "out" / "export.json").read_text())
    assert (account["version"], account["rows"], account["rows_skipped"]) == ("shop@1.0.0", 30, 0)
    for path, one in account["files"].items():
        content = (shop.folder / "out" / path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"]
    assert not (shop.folder / "out" / "skipped.jsonl").exists()
    told("shop", "--to", "verl", "rl", "--config", "sft", "--split", "dev",
         "--set", "ground_truth=key", "--set", "keep=row_id,key")  # fmt: skip
    assert [path.name for path in (shop.folder / "rl" / "data").iterdir()] == ["dev.parquet"]


def test_what_is_wrong_is_told_and_leaves_nothing(shop: Shop) -> None:
    sft = ("--config", "sft")
    assert "several configurations: all, sft" in told("shop", "--to", "trl", "x", code=2)
    assert "no format is called 'trll'" in told("shop", "--to", "trll", "x", *sft, code=2)
    assert "has no configuration 'stf'" in told(
        "shop", "--to", "trl", "x", "--config", "stf", code=2
    )
    assert "has no split 'tset'" in told(
        "shop", "--to", "trl", "x", *sft, "--split", "tset", code=2
    )
    assert "the option 'typ'" in told("shop", "--to", "trl", "x", *sft, "--set", "typ=rl", code=2)
    assert "has no value" in told("shop", "--to", "trl", "x", *sft, "--set", "type", code=2)
    assert "no folder to write to" in told("shop", "--to", "trl", code=2)
    assert "tokens need a tokenizer" in told("shop", "--to", "megatron", "x", *sft, code=2)
    assert "no ground truth" in told("shop", "--to", "verl", "x", *sft, "--set", "type=rl", code=4)
    (shop.folder / "there").mkdir()
    assert "exists already" in told("shop", "--to", "trl", "there", *sft, code=6)
    [file] = (shop.store / "shop/1.0.0/data/sft").glob("dev-*")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes() + b" ")
    assert "dev-00000.parquet is changed" in told("shop", "--to", "trl", "x", *sft, code=6)
    assert not list(shop.folder.glob("*x*"))


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as one commit needs; it keeps what it was sent."""

    commits: list[dict[str, bytes]] = []  # noqa: RUF012 -- the server's own memory
    tokens: set[str] = set()  # noqa: RUF012

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.tokens.add(str(self.headers.get("Authorization")))
        address = f"http://{self.headers['Host']}"
        if self.path == "/api/repos/create":
            self._say({"url": f"{address}/datasets/org/shop", "name": "org/shop", "id": "1"})
        elif self.path == "/api/validate-yaml":
            self._say({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(content)["files"]
            self._say({"files": [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for one in files
            ]})  # fmt: skip
        elif "/commit/" in self.path:
            parts = [json.loads(line) for line in content.splitlines() if line]
            self.commits.append({
                one["value"]["path"]: base64.b64decode(one["value"]["content"])
                for one in parts if one["key"] == "file"
            })  # fmt: skip
            url = f"{address}/datasets/org/shop/commit/{'a' * 40}"
            self._say({"success": True, "commitOid": "a" * 40, "commitUrl": url})
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        self._say({"id": "org/shop", "sha": "b" * 40, "siblings": [], "private": True})

    def _say(self, content: dict[str, Any]) -> None:
        raw = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_version_goes_to_a_hub_in_one_commit(shop: Shop, hub: str) -> None:
    pytest.importorskip("huggingface_hub")
    words = [
        sys.executable,
        "-m",
        "databuild",
        "export",
        "shop",
        "--to",
        "hub",
        "--repo",
        "org/shop",
    ]
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_secret"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "in one commit" in done.stdout
    assert "hf_secret" not in done.stdout + done.stderr
    (commit,) = Hub.commits
    folder = shop.store / "shop" / "1.0.0"
    sent = {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}  # fmt: skip
    assert commit == sent
    assert Hub.tokens == {"Bearer hf_secret"}


def test_a_hub_needs_a_token_and_a_name(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert "there is no token" in told("shop", "--to", "hub", "--repo", "org/shop", code=5)
    assert "a hub needs --repo" in told("shop", "--to", "hub", code=2)
