"""Where a command finds the key of an encrypted version: a variable or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from databuild.release.encryption import Key

KeyEnv = Annotated[
    str | None,
    typer.Option(
        "--key-env",
        metavar="VARIABLE",
        help="Environment variable with the key of an encrypted version.",
        show_default=False,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", metavar="FILE", help="File with the key of one.", show_default=False
    ),
]


def secret_of(key_env: str | None, key_file: Path | None) -> Key | None:
    """The key that a command was given; None where it was given none.

    Raises:
        StoreError: There is no key there, or it has another length.
    """
    from databuild.release.encryption import read_key

    if key_env is None and key_file is None:
        return None
    return read_key("command line", env=key_env, file=key_file)
