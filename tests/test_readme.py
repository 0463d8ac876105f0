"""What the README shows is run: its Python, its recipe, its plugin, its commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import databuild
from databuild.cli.main import app
from databuild.engine.step import load_plugin

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    code = blocks("python")[0].replace("runs/try", str(tmp_path / "runs"))
    found: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), found)  # noqa: S102 -- our own README
    assert found["rows"].height > 0


def test_the_recipe_is_right(tmp_path: Path) -> None:
    recipe = next(block for block in blocks("yaml") if block.startswith("name:"))
    recipe = recipe.replace("smollm2-135m-instruct", "{fake: {}}")
    (tmp_path / "tickets").mkdir()
    (tmp_path / "tickets" / "a.jsonl").write_text(
        '{"ticket": "1", "prompt": "How are you today?"}\n'
    )
    (tmp_path / "recipe.yaml").write_text(recipe)
    assert len(databuild.check(tmp_path / "recipe.yaml").nodes) == 6


def test_the_plugin_declares_its_step(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(blocks("python")[1])
    assert [step.name for step in load_plugin(tmp_path / "mine.py")] == ["mine.shouting"]


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"^databuild (\w+)", TEXT, re.MULTILINE)))
)
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "databuild" in result.output
