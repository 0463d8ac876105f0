"""Errors at the boundary: each class its exit code, its own text, and no traceback."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from databuild.cli.application import Command

PLUGIN = """\
from databuild import StepConfig, step

class NothingConfig(StepConfig):
    pass

@step("own.broken", kind="measure", sees="row", version=1, adds=("n",))
def broken(rows, config: NothingConfig):
    raise ZeroDivisionError("a bug of mine")
"""


def test_a_recipe_error_names_file_line_and_the_nearest_name(small, edit):
    edit("use: measure.basics", "use: measure.basic")
    told = small("check", code=2).stderr
    assert told.startswith("error: recipe.yaml:6: step 'facts' uses 'measure.basic'")
    assert "did you mean 'measure.basics'?" in told
    assert "Traceback" not in told


def test_a_missing_column_is_a_schema_error(small, edit):
    edit("from: raw, column: prompt", "from: raw, column: promt")
    assert "'promt'" in small("run", code=3).stderr


def test_a_step_that_fails_too_often_is_a_step_error(small):
    told = small("run", "models.start={fake: {refuse_ratio: 0.9}}", code=4).stderr
    assert "error: answers: " in told
    assert "max_failure_ratio" in told
    assert "steps are finished and kept in runs" in told


def test_a_model_that_dies_is_a_service_error(small):
    small("run", "models.start={fake: {die_after: 9}}", code=5)


def test_a_folder_that_another_run_holds_is_a_store_error(small):
    small("run", "--limit", "2")
    with (small.folder / "runs/small/.lock").open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "another run works in this folder" in small("run", code=6).stderr


def test_a_folder_of_another_version_is_a_store_error(small):
    runs = small.folder / "runs"
    runs.mkdir()
    (runs / "databuild.json").write_text('{"format": 99}', encoding="utf-8")
    assert "format 99" in small("run", code=6).stderr


def test_an_error_is_json_too_when_that_was_asked_for(small):
    error = small.json("check", "nothing.yaml", code=2)["error"]
    assert error["class"] == "RecipeError"
    assert error["exit_code"] == 2
    assert set(error) == {"class", "where", "what", "fix", "exit_code"}


def test_a_step_of_ones_own_that_raises_is_a_step_error_with_its_line(small, edit):
    (small.folder / "own.py").write_text(PLUGIN, encoding="utf-8")
    edit("models:", "plugins: [own.py]\nmodels:")
    edit("  clean:", "  broken:  {use: own.broken, from: facts}\n  clean:")
    told = small("run", code=4).stderr
    assert "ZeroDivisionError: a bug of mine" in told
    assert "own.py:8" in told


def test_a_bug_is_one_line_and_its_traceback_is_kept(tmp_path):
    crashing = typer.Typer()

    @crashing.command("crash", cls=Command)
    def crash(runs: str) -> None:
        raise ZeroDivisionError(runs)

    result = CliRunner().invoke(crashing, [str(tmp_path)])
    assert result.exit_code == 70
    assert "databuild has a bug: ZeroDivisionError" in result.stderr
    assert "Traceback" not in result.stderr
    (kept,) = tmp_path.glob("traceback-*.txt")
    assert "raise ZeroDivisionError(runs)" in kept.read_text(encoding="utf-8")


def test_an_unknown_option_is_a_usage_error(small):
    assert "No such option" in small("run", "--wrokers", "2", code=2).stderr


@pytest.mark.parametrize("command", [[], *([c] for c in ("init", "check", "plan", "run", "show"))])
def test_help_is_enough_to_go_on_with(small, command):
    told = small(*command, "--help").stdout
    assert "Usage: " in told
    assert "databuild init" in told if not command else f"  databuild {command[0]}" in told
    if not command:
        assert "Exit codes:" in told


def test_help_loads_no_table_library():
    program = (
        "import sys, databuild.cli.main; print({'polars', 'numpy', 'rich.live'} & set(sys.modules))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout == "set()\n"


def test_the_version_is_printed(small):
    assert small("--version").stdout.startswith("databuild ")


def test_errors_go_to_stderr_alone(small):
    result = small("show", "raw", code=6)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert json.dumps(result.stderr)
