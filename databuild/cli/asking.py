"""What every command asks for: the recipe, the runs folder, the form of the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from databuild.errors import RecipeError, StoreError, nearest

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RECIPE KEY=VALUE",
        help="The recipe's YAML file; without it recipe.yaml, or the only *.yaml file of this "
        "folder. Then options to override, with dotted keys: answers.k=4 train_seed=2",
        show_default=False,
    ),
]
RunsFolder = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where outputs are kept.")]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="The recipe's name; without it the only one in the runs folder.",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="Preview with N rows of each source.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else.")]
RUNS = Path("runs")
Store = Annotated[
    Path,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Where released versions are kept: a folder, or s3://bucket/prefix.",
    ),
]
STORE = Path("releases")
VersionName = Annotated[
    str, typer.Argument(metavar="NAME@VERSION", help="A version: 1.2.0, a tag, latest or best.")
]


def recipe_and_overrides(words: list[str] | None) -> tuple[Path, list[str]]:
    """Tell the recipe's file from the overrides.

    Raises:
        RecipeError: Two files are named, or none is and the folder has none or several.
    """
    words = words or []
    overrides = [word for word in words if "=" in word and not Path(word).is_file()]
    files = [word for word in words if word not in overrides]
    if len(files) > 1:
        what = f"two recipes are named: {', '.join(files)}"
        raise RecipeError("command line", what, fix="name one; an override has the form key=value")
    return (Path(files[0]) if files else _only_recipe()), overrides


def recipe_name(runs: Path, name: str | None) -> str:
    """The recipe that was meant, among those that were run in a folder.

    Raises:
        StoreError: None was run there, or several were and none is named.
        RecipeError: No recipe of that name was run there.
    """
    from databuild.api import recipes_in

    known = recipes_in(runs)
    if not known:
        what = "no recipe has been run here"
        fix = "start one with `databuild run`, or name its runs folder with `--runs DIR`"
        raise StoreError(str(runs), what, fix=fix)
    if name is None and len(known) == 1:
        return known[0]
    if name is None:
        what = f"several recipes were run here: {', '.join(known)}"
        raise RecipeError(str(runs), what, fix=f"name one: `--recipe {known[0]}`")
    if name not in known:
        what = f"no recipe {name!r} was run here; {nearest(name, known)}"
        raise RecipeError(str(runs), what, fix="correct the name, or name another `--runs DIR`")
    return name


def _only_recipe() -> Path:
    default = Path("recipe.yaml")
    if default.is_file():
        return default
    found = sorted(path for suffix in ("yaml", "yml") for path in Path().glob(f"*.{suffix}"))
    if len(found) == 1:
        return found[0]
    what = f"it has {len(found) or 'no'} *.yaml files and no recipe.yaml"
    fix = "name the recipe, or make one with `databuild init my-folder`"
    raise RecipeError("this folder", what, fix=fix)
