"""The server's environment: pinned, hashed, named by its lock, whole or not at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from databuild.annotate import installation
from databuild.errors import ServiceError, StoreError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DATABUILD_HOME", str(tmp_path))
    monkeypatch.delenv("DATABUILD_ARGILLA_VENV", raising=False)
    return tmp_path


def test_the_lock_pins_everything_by_hash_and_names_no_place():
    text = (installation.package_folder() / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"(?m)^([a-z0-9][a-z0-9-]*)==(\S+)((?: ; [^\\\n]+)?) \\$", text)
    lines = [line for line in text.splitlines() if not line.startswith("    --hash=sha256:")]
    assert len(pins) == len(lines)
    assert "://" not in text
    versions = {name: version for name, version, _ in pins}
    assert versions["argilla-server"] == "2.8.0"
    assert tuple(map(int, versions["click"].split(".")))[:2] < (8, 2)  # a later one breaks its CLI


def test_an_environment_is_named_by_its_lock(home, monkeypatch):
    named = installation.environment()
    assert named.parent == home / "argilla" / "venv"
    assert not installation.is_installed()
    monkeypatch.setenv("DATABUILD_ARGILLA_VENV", str(home / "elsewhere"))
    assert installation.environment() == home / "elsewhere" / named.name


def test_a_failed_installation_leaves_nothing_and_says_why(home, monkeypatch):
    def commands(made: Path, lock: Path) -> list[list[str]]:
        return [["mkdir", str(made)], ["sh", "-c", "echo no such package >&2; exit 1"]]

    monkeypatch.setattr(installation, "_commands", commands)
    with pytest.raises(ServiceError, match=r"could not be installed: no such package\. Fix: check"):
        installation.install(print)
    assert list((home / "argilla" / "venv").iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_fetched(home, monkeypatch):
    class Usage:
        free = 100 << 20

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(
        StoreError, match=r"has 100 MiB free; Argilla's server needs 700\. Fix: make"
    ):
        installation.install(print)


def test_pip_is_used_where_there_is_no_uv(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda _: None)
    words = installation._commands(tmp_path, tmp_path / "x.lock")[-1]
    assert "pip" in words
    assert {"--require-hashes", "--no-deps"} <= set(words)


def test_a_machine_with_neither_uv_nor_pip_is_told_what_to_install(home, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ServiceError, match=r"neither uv nor pip .*Fix: install uv .*python3-venv"):
        installation.install(print)
    assert list((home / "argilla" / "venv").iterdir()) == []
