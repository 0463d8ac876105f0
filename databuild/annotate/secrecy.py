"""Secrets of the local server: made once, kept in files that only their owner may read."""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OWNER = "owner"


def make_folder(folder: Path) -> Path:
    """Make a folder that only its owner may enter."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 whole or not at all; it is never readable by others in between."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def new_password() -> str:
    """A password that can be typed: 20 characters, 119 bits.

    Example:
        >>> len(new_password())
        20
    """
    return secrets.token_urlsafe(15)


def ensure_secrets(folder: Path) -> None:
    """Make the server's secrets where there are none: they outlive restarts.

    `secrets.json` holds the key that signs sessions, the owner's API key and password;
    `owner.password` the password alone, to be read by a person.
    """
    path = folder / "secrets.json"
    if path.exists():
        path.chmod(0o600)
        return
    password = new_password()
    made = {
        "auth_secret_key": secrets.token_hex(32),
        "owner_name": OWNER,
        "owner_password": password,
        "owner_api_key": secrets.token_urlsafe(48),
    }
    write_private(folder / "owner.password", password + "\n")
    write_private(path, json.dumps(made, indent=1))
