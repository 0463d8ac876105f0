"""The commands about versions, as they are typed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from databuild.cli.main import app
from tests.release.conftest import Shop, tickets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(tmp_path)
    made = Shop(tmp_path)
    made.run(tickets(30))
    return made


def told(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result.output


def test_release_versions_diff_tag_and_rollback(shop: Shop) -> None:
    assert "shop@1.0.0" in told("release", "shop@1.0.0")
    shop.run(tickets(35))
    made = json.loads(told("release", "shop@auto", "shop.yaml", "--json"))
    assert (made["version"], made["configs"]["all"]["everything"]["rows"]) == ("1.1.0", 35)
    assert "added   5" in told("diff", "shop@1.0.0", "shop")
    assert "best" in told("tag", "shop@latest", "best")
    assert "shop@1.1.0 has all of this already" in told("release", "shop@auto")
    assert "shop@1.1.0 has all" in told("release", "shop", "--allow", "leak=known")
    listed = json.loads(told("versions", "--json"))
    assert [(one["version"], one["names"]) for one in listed] == [
        ("1.0.0", []),
        ("1.1.0", ["best", "latest"]),
    ]
    output = told("rollback", "shop@1.0.0")
    assert "shop@latest is 1.0.0 (was 1.1.0)" in output
    assert "shop@best is 1.0.0 (was 1.1.0)" in output
    assert "as they were released" in told("verify", "shop")
    assert "already" in told("rollback", "shop@1.0.0")
    assert json.loads(told("release", "shop", "--json"))["version"] == "1.2.0"


def test_faults_have_exit_codes_and_say_what_to_do(shop: Shop) -> None:
    assert "databuild release" in told("versions", code=6)
    told("release", "shop@1.0.0")
    assert "gives no reason" in told("release", "shop", "--allow", "leak", code=2)
    assert "can be no tag" in told("tag", "shop@1.0.0", "2.0.0", code=2)
    [file] = (shop.store / "shop/1.0.0/data/sft").glob("dev-*")
    file.parent.chmod(0o755)
    file.unlink()
    output = told("verify", "shop", code=6)
    assert "dev-00000.parquet (missing)" in output.replace("\n", "")
