"""A disk that is really full: a small file system in memory that can be given room."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class SmallDisk:
    path: Path

    def make_room(self) -> None:
        mount("-o", "remount,size=64m", str(self.path))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def mounted(path: Path, kib: int) -> SmallDisk:
    """Mount `kib` KiB at `path`; the test is skipped where this process may not mount."""
    path.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs the right to mount a small file system: {error}")
    return SmallDisk(path)


def unmount(disk: SmallDisk) -> None:
    subprocess.run(["umount", "-l", str(disk.path)], check=True, capture_output=True)
