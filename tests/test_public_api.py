"""The public names: a dozen, each there, documented, typed, and at hand as a command too."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import typer

import databuild

COMMANDS = {"init", "check", "plan", "run", "show", "why", "profile", "status", "ledger", "env"}


def test_there_are_about_a_dozen_names_in_order():
    assert databuild.__all__ == sorted(databuild.__all__)
    assert len(databuild.__all__) <= 15
    assert dir(databuild) == databuild.__all__


@pytest.mark.parametrize("name", databuild.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert inspect.getdoc(getattr(databuild, name))


def test_the_names_that_mypy_sees_are_the_public_ones():
    source = Path(databuild.__file__ or "").read_text(encoding="utf-8")
    typed = {
        alias.asname or alias.name
        for block in ast.walk(ast.parse(source))
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert typed == set(databuild.__all__)


def test_every_command_has_a_function_of_its_name():
    from databuild.cli.main import app

    commands = set(getattr(typer.main.get_command(app), "commands", {}))
    assert commands >= COMMANDS
    assert set(databuild.__all__) >= COMMANDS


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'runn'"):
        _ = databuild.runn  # type: ignore[attr-defined, unused-ignore]
