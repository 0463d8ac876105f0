"""A small recipe, a flywheel run on the fake model, and the command line to ask about them."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

from databuild.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SMALL = """\
name: small
models:
  start: {fake: {latency_s: 0.0}}
steps:
  raw:     {use: ingest.files, path: prompts.jsonl}
  facts:   {use: measure.basics, from: raw, column: prompt}
  clean:   {use: sample.where, from: facts, keep: "prompt_words >= 4"}
  split:   {use: sample.split, from: clean, parts: {train: 0.5, dev: 0.5}}
  answers: {use: generate.respond, from: clean, model: start, k: 4, max_tokens: 30}
"""
N_PROMPTS, N_SHORT = 40, 3


@dataclass(frozen=True)
class Terminal:
    """A folder in which commands are typed."""

    folder: Path

    def __call__(self, *words: str, code: int = 0) -> Result:
        """Run a command there and hold it to its exit code."""
        with working_in(self.folder):
            result = CliRunner().invoke(app, list(words))
        assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
        return result

    def json(self, *words: str, code: int = 0) -> Any:
        """Run a command with --json; stdout must be one JSON document."""
        return json.loads(self(*words, "--json", code=code).stdout)


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def write_small(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"prompt": f"Write {n} words about the number {n}."} for n in range(N_PROMPTS)]
    rows += [{"prompt": f"Too short {n}"} for n in range(N_SHORT)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "prompts.jsonl").write_text(lines, encoding="utf-8")
    (folder / "recipe.yaml").write_text(SMALL, encoding="utf-8")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Terminal:
    """A folder with a small recipe that was never run."""
    return Terminal(write_small(tmp_path / "small"))


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A folder in which the small recipe was run. Look, and leave it as it is."""
    terminal = Terminal(write_small(tmp_path_factory.mktemp("ran") / "small"))
    terminal("run")
    return terminal


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A folder in which the quickstart's whole flywheel was run on the fake model."""
    terminal = Terminal(tmp_path_factory.mktemp("wheel"))
    terminal("init", ".")
    terminal("run", "models.start={fake: {skill_ratio: 0.3}}", "rounds.parts={r1: 0.5, r2: 0.5}")
    return terminal


@pytest.fixture
def edit(small: Terminal) -> Callable[[str, str], None]:
    """Replace a piece of the small recipe."""

    def replace(old: str, new: str) -> None:
        path = small.folder / "recipe.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return replace
