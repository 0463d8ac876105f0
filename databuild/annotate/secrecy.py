"""Secrets of the local server: made once, kept in files that only their owner may read."""

from __future__ import annotations

import json
import os
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from databuild.annotate.connection import server_folder
from databuild.errors import StoreError

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


class NewPassword:
    """A password that is drawn for an account, and on the disk before the account is made.

    It lies there as `NAME.new` until `keep` gives it its name, so that neither a kill nor a server
    that dies loses it, and the password of a namesake stays. A later try takes it up again.

    Args:
        name: Of the account.
        server: The address of a team's server, whose passwords have a folder of their own.

    Raises:
        StoreError: It cannot be written.
    """

    def __init__(self, name: str, server: str | None = None) -> None:
        folder = server_folder() / "passwords"
        if server is not None:
            folder /= re.sub(r"[^\w.-]+", "_", urlsplit(server).netloc)
        self._path, self._new = folder / f"{name}.password", folder / f"{name}.new"
        try:
            make_folder(folder)
            self.is_older = self._new.exists()
            """Whether it was drawn by a former call, which did not come to its end."""
            self.text = self._new.read_text("utf-8").strip() if self.is_older else new_password()
            write_private(self._new, self.text + "\n")
        except OSError as error:
            fix = "make room, or set DATABUILD_HOME to a folder that can be written"
            raise StoreError("annotate add-user", str(error), fix=fix) from error

    def keep(self) -> Path:
        """Keep it as the account's password; where it is now."""
        return self._new.replace(self._path)

    def forget(self) -> None:
        """Delete it: no account has it."""
        self._new.unlink(missing_ok=True)
