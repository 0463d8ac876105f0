"""Write a shipped recipe that runs, with its data, into an empty folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from databuild.errors import RecipeError, StoreError, nearest
from databuild.shipped import shipped

RECIPE = "recipe.yaml"
QUICKSTART = "quickstart"


def recipe_names() -> list[str]:
    """The recipes that ship with databuild.

    Example:
        >>> "clean" in recipe_names()
        True
    """
    return sorted(path.stem for path in shipped("recipes").glob("*.yaml"))


def write_recipe(folder: str | Path = ".", name: str = QUICKSTART) -> list[Path]:
    """Copy a shipped recipe, as `recipe.yaml`, and the files that it reads.

    Hidden files (`.git`, `.venv`) do not count: a folder with nothing else is empty.

    Args:
        folder: Where to; made when it is not there.
        name: One of `recipe_names()`.

    Returns:
        The files that were written, the recipe first.

    Raises:
        RecipeError: No recipe of that name ships.
        StoreError: The folder has files in it, is a file, or cannot be written.
    """
    target = Path(folder)
    known = recipe_names()
    if name not in known:
        what = f"databuild brings no recipe {name!r}; {nearest(name, known)}"
        raise RecipeError("--recipe", what, fix="name one of those")
    _check_empty(target)
    recipe = shipped(f"recipes/{name}.yaml")
    written = [target / RECIPE]
    try:
        target.mkdir(parents=True, exist_ok=True)
        for source in _files_of(recipe):
            copy = target / source.relative_to(recipe.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
            written.append(copy)
        # Last, so that a folder with a recipe has its data too.
        (target / RECIPE).write_text(_own(recipe), encoding="utf-8")
    except OSError as error:
        what = f"cannot write: {error.strerror or error}"
        raise StoreError(
            str(target), what, fix="make it writable, or name another folder"
        ) from error
    return written


def _check_empty(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise StoreError(str(target), "this is a file", fix="name a folder")
    names = sorted(path.name for path in target.iterdir() if not path.name.startswith("."))
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        what = f"the folder is not empty: it has {', '.join(names[:3])}{more}"
        raise StoreError(
            str(target), what, fix="name an empty or a new folder: `databuild init DIR`"
        )


def _files_of(recipe: Path) -> list[Path]:
    """The files that a recipe reads, as the checker finds them: data and plugins."""
    from databuild.api import check

    checked = check(recipe)
    data = {path.resolve() for node in checked.nodes for path in node.paths}
    plugins = {(recipe.parent / plugin).resolve() for plugin in checked.recipe.plugins}
    here = recipe.parent.resolve()
    return sorted(here / path.relative_to(here) for path in data | plugins)


def _own(recipe: Path) -> str:
    """The recipe for a user's own folder: launched from there, without our schema's path."""
    text = recipe.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("# yaml-language-server")]
    while lines and lines[0].strip() == "#":
        lines.pop(0)
    return "\n".join(lines).replace(f"recipes/{recipe.name}", RECIPE) + "\n"
