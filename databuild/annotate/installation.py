"""Argilla's server in an environment of its own: its pins are old and meet none of databuild's.

Everything is pinned with hashes in `annotation/server/requirements.lock`. The environment is named
by that lock, so a new lock is a new installation and an interrupted one is never used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from databuild.annotate.connection import server_folder
from databuild.errors import ServiceError, StoreError
from databuild.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

VENV_VARIABLE = "DATABUILD_ARGILLA_VENV"
"""A folder for the environment, where several homes are to share one."""
_NEEDED_MIB = 700  # 440 installed, and the packages on their way


def package_folder() -> Path:
    """The folder that holds the package `databuild_argilla_server`."""
    return shipped("annotation/server")


def environment() -> Path:
    """Where the environment of this lock and this Python is, or will be."""
    lock = (package_folder() / "requirements.lock").read_bytes()
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    named = os.environ.get(VENV_VARIABLE)
    folder = Path(named).expanduser().absolute() if named else server_folder() / "venv"
    return folder / f"{python}-{hashlib.sha256(lock).hexdigest()[:12]}"


def is_installed() -> bool:
    """Whether the environment is there, whole."""
    return (environment() / "bin" / "python").exists()


def install(tell: Callable[[str], None]) -> Path:
    """Install Argilla's server where it is not yet; its path is that of its Python.

    With uv on the PATH it takes some seconds, with pip about a minute. It is put together under
    another name and renamed, so a kill in the middle leaves nothing that counts as installed.

    Args:
        tell: Told each step, for a person.

    Returns:
        The environment's Python.

    Raises:
        StoreError: The disk has no room for it.
        ServiceError: A package could not be fetched or installed; there is neither uv nor pip.
    """
    target = environment()
    python = target / "bin" / "python"
    if python.exists():
        return python
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    free_mib = shutil.disk_usage(target.parent).free >> 20
    if free_mib < _NEEDED_MIB:
        what = f"{target.parent} has {free_mib} MiB free; Argilla's server needs {_NEEDED_MIB}"
        raise StoreError(
            "annotate up", what, fix="make room, or set DATABUILD_HOME to another disk"
        )
    lock = package_folder() / "requirements.lock"
    n = len(re.findall(r"(?m)^\S+==", lock.read_text(encoding="utf-8")))
    tell(f"Installing Argilla's server, {n} packages (once, about a minute) into {target}")
    made = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        for words in _commands(made, lock):
            _run(words)
        made.rename(target)
    except OSError as error:
        raise StoreError("annotate up", str(error), fix="make room and run it again") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    for former in target.parent.glob("py*-*"):
        if former != target and not former.name.endswith(".part"):
            shutil.rmtree(former, ignore_errors=True)
    tell("Installed.")
    return python


def _commands(made: Path, lock: Path) -> list[list[str]]:
    """The commands that make an environment, by uv where it is on the PATH, else by pip."""
    python = str(made / "bin" / "python")
    uv = shutil.which("uv")
    if uv is not None:
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, str(made)],
            [uv, "pip", "install", "--python", python, *options, "--requirement", str(lock)],
        ]
    options = ["-q", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-compile"]
    options += ["--disable-pip-version-check", "--no-input", "-r", str(lock)]
    if importlib.util.find_spec("pip") is not None:  # spares a copy of pip
        venv = [sys.executable, "-m", "venv", "--without-pip", str(made)]
        return [venv, [sys.executable, "-m", "pip", "--python", python, "install", *options]]
    if importlib.util.find_spec("ensurepip") is None:  # Debian's Python without python3-venv
        what = "there is neither uv nor pip to install Argilla's server with"
        fix = (
            "install uv (https://docs.astral.sh/uv), or a pip for this Python "
            f"({sys.executable}; on Debian and Ubuntu `apt install python3-venv`)"
        )
        raise ServiceError("annotate up", what, fix=fix)
    venv = [sys.executable, "-m", "venv", str(made)]
    return [venv, [python, "-m", "pip", "install", *options]]


def _run(words: list[str]) -> None:
    # From the root: uv applies the constraints of a project that it finds around its folder.
    done = subprocess.run(words, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-400:]
        what = f"Argilla's server could not be installed: {said}"
        fix = "check the network and the disk (`df -h`), then run `databuild annotate up` again"
        raise ServiceError("annotate up", what, fix=fix)
