"""Rules of the house that no linter knows: sizes, names, and no trace of any machine."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "databuild").rglob("*.py"))
BANNED_NAMES = {"utils", "helpers", "common", "misc", "base", "manager", "core"}
MODULE_LINES, FUNCTION_LINES = 400, 60
SHIPPED = ("databuild", "recipes", "schemas", "annotation", "tests", ".ci")
# Put together here, so that this file does not find itself.
MACHINE_PATHS = ["/" + name for name in ("work/", "root/", "opt/wheels", "opt/pypi", "home/")]


def files_of_the_repository() -> list[Path]:
    top = [path for path in ROOT.iterdir() if path.is_file()]
    inside = [path for folder in SHIPPED for path in (ROOT / folder).rglob("*")]
    skipped = {"__pycache__", ".git", "runs"}
    return [path for path in top + inside if path.is_file() and not skipped & set(path.parts)]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_stays_readable(module):
    source = module.read_text(encoding="utf-8")
    assert source.count("\n") <= MODULE_LINES
    long = {
        node.name: length
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }
    assert not long
    assert not BANNED_NAMES & {module.stem, *module.relative_to(ROOT).parts}


def test_no_file_mentions_a_machine():
    mentions = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in files_of_the_repository()
        for place in MACHINE_PATHS
        if place.encode() in path.read_bytes()
    ]
    assert not mentions


def test_the_top_level_is_the_agreed_one():
    agreed = {
        *("databuild", "recipes", "schemas", "annotation", "tests", "pyproject.toml", "Makefile"),
        *("README.md", "CHANGELOG.md", "LICENSE", "requirements-cpu.lock", "requirements-gpu.lock"),
        *("dist", "runs"),  # made here, ignored by git
    }
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found <= agreed
