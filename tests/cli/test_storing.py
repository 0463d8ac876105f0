"""`checkout` and `gc` as they are typed, and what a release says of its bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from typer.testing import CliRunner

from databuild.cli.main import app
from databuild.cli.progress import bytes_shown
from tests.release.conftest import Shop, tickets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(tmp_path)
    made = Shop(tmp_path)
    made.run(tickets(12))
    return made


def told(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result.output


def test_release_tells_bytes_checkout_and_gc_do_what_they_say(shop: Shop) -> None:
    first = json.loads(told("release", "shop@1.0.0", "--json"))
    assert first["sent"]["shared_files"] == 0
    assert first["sent"]["new_bytes"] == sum(one["bytes"] for one in first["files"])
    assert "new: 1 files" in told("release", "shop@1.1.0")  # the card tells the version
    told("release", "shop@1.2.0")
    assert "every file as it was released" in told("checkout", "shop", "out", "--config", "all")
    assert (shop.folder / "out/data/all").is_dir()
    assert not (shop.folder / "out/data/sft").exists()
    assert "not empty" in told("checkout", "shop", "out", code=6)
    dry = json.loads(told("gc", "--keep", "1", "--dry-run", "--json"))
    assert (dry[0]["versions"], dry[0]["dry_run"]) == (["1.0.0", "1.1.0"], True)
    output = told("gc", "shop", "--keep", "2")
    assert "shop@1.0.0: removed." in output
    assert "was removed on" in told("verify", "shop@1.0.0", code=6)
    assert "no version of 'shap'" in told("gc", "shap", code=6)


def test_bytes_on_their_way_are_told_with_rate_and_end(capsys) -> None:
    out = Console(stderr=True, width=100)
    with bytes_shown("sending", out, every_s=0.0) as tick:
        tick(0, 4_000_000)
        tick(1_000_000, 4_000_000)
    assert "sending: 1.0 of 4.0 MB  25%" in capsys.readouterr().err
