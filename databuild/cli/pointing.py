"""`databuild tag` and `databuild rollback`: names that are moved from version to version."""

from __future__ import annotations

from typing import Annotated

import typer

from databuild.cli import telling
from databuild.cli.application import command
from databuild.cli.releasing import STORE, Name, Store
from databuild.errors import RecipeError


@command(
    "tag",
    "Give a version a name.",
    ["databuild tag support-bot@1.2.0 production", "databuild tag support-bot@1.2.0 best"],
)
def tag(
    name: Name,
    word: Annotated[str, typer.Argument(metavar="TAG", help="Letters, digits, -, _ and dots.")],
    store: Store = STORE,
) -> None:
    """Give a version a name that may be moved later, such as `best` or `production`."""
    import re

    from databuild.release.naming import numbers, read_reference
    from databuild.release.versions import at

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,59}", word) or numbers(word) or word == "auto":
        raise RecipeError("tag", f"{word!r} can be no tag", fix="begin with a letter, as in `best`")
    versions, version = at(store, read_reference(name))
    versions.point(**{word: version.version})
    telling.say(f"{version.name}@{word} is {version.version}.")


@command(
    "rollback",
    "Make an earlier version the latest again.",
    ["databuild rollback support-bot@1.1.0"],
)
def rollback(name: Name, store: Store = STORE) -> None:
    """Move `latest` (and `best`, where it points at a later version) back to a version.

    No version is removed; the next one is numbered after all that there are.
    """
    from databuild.release.naming import numbers, read_reference
    from databuild.release.versions import at

    versions, version = at(store, read_reference(name))
    pointers = {"latest": versions.known()[-1], **versions.pointers()}
    here = numbers(version.version) or (0, 0, 0)
    names = [n for n in ("latest", "best") if (numbers(pointers.get(n, "")) or here) > here]
    versions.point(**dict.fromkeys(names or ["latest"], version.version))
    for one in names:
        telling.say(f"{version.name}@{one} is {version.version} (was {pointers[one]}).")
    if not names:
        telling.say(f"{version.name}@latest is {version.version} already.")
