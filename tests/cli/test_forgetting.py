"""Uses, withdraw, why and rollback, as they are typed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from databuild import api
from databuild.cli.main import app
from tests.release.conftest import Shop, tickets
from tests.release.test_ingesting import TRAINING

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.chdir(tmp_path)
    made = Shop(tmp_path)
    made.run(tickets(30))
    made.release("shop@1.0.0")
    return made


def told(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def train(shop: Shop, version: str) -> str:
    text = TRAINING.replace("VERSION", version).replace("MODEL", "fake: {}")
    (shop.folder / "tune.yaml").write_text(text)
    return api.run(shop.folder / "tune.yaml", runs="runs", workers=1)["sft"].manifest.model.identity


def test_rollback_moves_data_and_model_together(shop: Shop) -> None:
    first = train(shop, "shop@1.0.0")
    shop.run(tickets(35))
    shop.release("shop@1.1.0")
    second = train(shop, "shop@1.1.0")
    assert first != second
    assert f"Its model is {second}." in told("tag", "shop@1.1.0", "best")
    text = "name: next\nmodels: {start: {released: shop@best}}\nsteps:\n"
    text += "  raw: {use: ingest.files, path: rows.jsonl}\n"
    text += "  said: {use: generate.respond, from: raw, model: start, k: 1}\n"
    (shop.folder / "next.yaml").write_text(text)

    def model_used() -> str:
        made = api.run("next.yaml", runs="runs", workers=1)["said"].manifest
        return made.key_parts["models"]["model"]

    assert model_used() == second
    moved = json.loads(told("rollback", "shop@1.0.0", "--json"))["moved"]
    assert moved["best"] == {
        "version": "1.0.0", "was": "1.1.0", "model": first, "model_was": second,
    }  # fmt: skip
    assert model_used() == first


def test_uses_and_withdraw_as_they_are_typed(shop: Shop) -> None:
    model = train(shop, "shop@1.0.0")
    row = api.show("split.train", "shop", runs="runs")["row_id"][0]
    output = told("uses", row)
    assert "shop@1.0.0 released in sft/train 1" in output
    assert f"model {model} was trained on shop@1.0.0" in output
    assert "rows.jsonl" in told("uses", "--source", "row.jsonl", code=3)
    assert "nothing is named" in told("uses", code=2)
    output = told("withdraw", "shop", "--row", row, "--dry-run", "--purge")
    assert "shop@1.1.0 would be shop@1.0.0 without" in output
    assert "run shop: 1" in output
    done = json.loads(told("withdraw", "shop", "--row", row, "--as", "2.0.0", "--json"))
    assert done["removed"] == {"sft/train": 1, "all/everything": 1}
    assert (done["after"], done["models"]) == ("2.0.0", [model])
    again = json.loads(told("withdraw", "shop", "--row", row, "--json"))
    assert (again["made"], again["removed"]) == (False, {})


def test_why_needs_no_runs_folder(shop: Shop) -> None:
    row = api.show("split.train", "shop", runs="runs")["row_id"][0]
    output = told("why", row[:12], "--runs", "nowhere")
    assert "rows.jsonl, record" in output
    assert "released in shop@1.0.0" in output
    assert "the nearest are" in told("why", "0" * 32, "--runs", "nowhere", code=3)
