"""Compiled loops are found again: by content, also where the installation can only be read."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest
from numba.core import caching, config

from databuild.dedup.kernels.storing import AtHome, Beside, places


def loop():
    """What a locator is asked for."""


@pytest.fixture
def read_only(monkeypatch):
    """As root may write everywhere, numba's trial of writing fails instead."""

    def refuse(*args, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)


def test_beside_the_source_where_that_can_be_written(tmp_path):
    source = tmp_path / "loops.py"
    source.write_text("")
    assert Beside.from_function(loop, str(source)).get_cache_path() == str(tmp_path / "__pycache__")


def test_what_an_install_compiled_is_used_though_it_cannot_be_written(tmp_path, read_only):
    source = tmp_path / "loops.py"
    source.write_text("")
    assert Beside.from_function(loop, str(source)) is None
    (tmp_path / "__pycache__" / "loops.loop-1.py311.nbi").touch()
    assert Beside.from_function(loop, str(source)).get_cache_path() == str(tmp_path / "__pycache__")
    assert AtHome.from_function(loop, str(source)) is None


def test_a_change_of_any_part_of_the_loops_counts(monkeypatch, tmp_path):
    from databuild.dedup.kernels import storing

    kernels = tmp_path / "dedup" / "kernels"
    kernels.mkdir(parents=True)
    (kernels / "one.py").write_text("a = 1")
    (tmp_path / "dedup" / "folding_table.py").write_text("b = 1")
    monkeypatch.setattr(storing, "__file__", str(kernels / "storing.py"))
    seen = set()
    for file in (kernels / "one.py", tmp_path / "dedup" / "folding_table.py"):
        seen.add(storing._stamp.__wrapped__())
        file.write_text(file.read_text() + "\n")
    assert len({*seen, storing._stamp.__wrapped__()}) == 3


def test_other_users_of_numba_keep_their_places():
    before = config.CACHE_LOCATOR_CLASSES
    with places(beside=True):
        assert caching.CacheImpl is not None
        assert "Beside" in config.CACHE_LOCATOR_CLASSES
    assert before == config.CACHE_LOCATOR_CLASSES


PROGRAM = """
import resource, numba.core.compiler as compiler
compiled = []
original = compiler.compile_extra
def spy(*args, **options):
    compiled.append(args)
    return original(*args, **options)
compiler.compile_extra = spy
from databuild.dedup.warm import warm
warm()
print(len(compiled))
"""


def compiled_by_a_process() -> str:
    command = [sys.executable, "-c", PROGRAM]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_a_second_process_compiles_nothing():
    compiled_by_a_process()
    assert compiled_by_a_process() == "0"
