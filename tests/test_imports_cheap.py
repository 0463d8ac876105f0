"""Looking at a recipe must not wait for torch: heavy packages load in the step that needs them."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "accelerate", "argilla", "datasets", "datasketch", "llvmlite", "matplotlib", "numba", "peft",
    "ray", "scipy", "torch", "transformers", "trl", "vllm",
)  # fmt: skip

# All but the compiled loops of dedup, which are what is imported late.
EVERY_MODULE = """
import importlib, pkgutil, databuild
for found in pkgutil.walk_packages(databuild.__path__, "databuild."):
    if not found.name.endswith("__main__") and ".kernels." not in found.name:
        importlib.import_module(found.name)
"""

EVERY_HELP = """
import click, contextlib, io, typer
from databuild.cli.main import app
command = typer.main.get_command(app)
lines = [[], *([name] for name in getattr(command, "commands", {}))]
assert len(lines) > 5, lines
for arguments in lines:
    with contextlib.redirect_stdout(io.StringIO()) as told:
        command.main([*arguments, "--help"], prog_name="databuild", standalone_mode=False)
    assert "Usage" in told.getvalue(), arguments
"""


def heavy_after(program: str) -> list[str]:
    """The heavy packages that are loaded once `program` has run in a fresh interpreter."""
    program += f"\nimport sys\nprint(*sorted(set(sys.modules) & set({HEAVY})))\n"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


@pytest.mark.parametrize(
    "program", ["import databuild", EVERY_MODULE, EVERY_HELP], ids=["package", "modules", "help"]
)
def test_nothing_heavy_is_loaded_by(program):
    assert heavy_after(program) == []


def test_the_test_itself_sees_a_heavy_import():
    assert "scipy" in heavy_after("import scipy")
