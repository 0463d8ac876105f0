"""`databuild tag` and `databuild rollback`: names that point at versions, and at their models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.errors import RecipeError

if TYPE_CHECKING:
    from databuild.release.versions import Versions


@command(
    "tag",
    "Give a version a name.",
    ["databuild tag support-bot@1.2.0 production", "databuild tag support-bot@1.2.0 best"],
)
def tag(
    name: asking.VersionName,
    word: Annotated[str, typer.Argument(metavar="TAG", help="Letters, digits, -, _ and dots.")],
    store: asking.Store = asking.STORE,
) -> None:
    """Give a version a name that may be moved later, such as `best` or `production`.

    Its model, the best one that was trained on it, goes by the same name: `released:
    support-bot@best` under `models:` of a recipe.
    """
    import re

    from databuild.release.naming import numbers, read_reference
    from databuild.release.pointing import point
    from databuild.release.versions import at

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,59}", word) or numbers(word) or word == "auto":
        raise RecipeError("tag", f"{word!r} can be no tag", fix="begin with a letter, as in `best`")
    versions, version = at(store, read_reference(name))
    point(versions, **{word: version.version})
    telling.say(f"{version.name}@{word} is {version.version}.")
    telling.say(f"Its model is {_model(versions, version.version)}.")


@command(
    "rollback",
    "Make an earlier version, and its model, the latest again.",
    ["databuild rollback support-bot@1.1.0"],
)
def rollback(
    name: asking.VersionName, store: asking.Store = asking.STORE, as_json: asking.AsJson = False
) -> None:
    """Move `latest` (and `best`, where it points at a later version) back to a version.

    The model moves with the data: a recipe that starts from `released: support-bot@best` starts
    from the model of the version that `best` points at. No version is removed; the next one is
    numbered after all that there are.
    """
    from databuild.release.naming import numbers, read_reference
    from databuild.release.pointing import point
    from databuild.release.versions import at

    versions, version = at(store, read_reference(name))
    pointers = {"latest": versions.known()[-1], **versions.pointers()}
    here = numbers(version.version) or (0, 0, 0)
    names = [n for n in ("latest", "best") if (numbers(pointers.get(n, "")) or here) > here]
    point(versions, **dict.fromkeys(names or ["latest"], version.version))
    moved = {
        one: {
            "version": version.version, "was": pointers[one],
            "model": _model(versions, version.version),
            "model_was": _model(versions, pointers[one]),
        }
        for one in names
    }  # fmt: skip
    if as_json:
        telling.write_json({"name": version.name, "moved": moved})
        return
    for one, told in moved.items():
        telling.say(f"{version.name}@{one} is {version.version} (was {told['was']}).")
        telling.say(f"  Its model is {told['model']} (was {told['model_was']}).")
    if not names:
        telling.say(f"{version.name}@latest is {version.version} already.")


def _model(versions: Versions, number: str) -> str:
    """What to say of a version's model."""
    from databuild.release.models import model_of

    found = model_of(versions, number)
    return "none that is known" if found is None else found.identity
