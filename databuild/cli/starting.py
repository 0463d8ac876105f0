"""`databuild init`: a first recipe to run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command

Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="An empty or a new folder.")]
Recipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="`quickstart` trains a small chat model; `clean` turns messy files into data sets.",
    ),
]
_HERE = Path()


@command(
    "init",
    "Write a first recipe and its data.",
    [
        "databuild init my-folder",
        "cd my-folder && databuild run",
        "databuild init mine --recipe clean",
    ],
)
def init(
    folder: Folder = _HERE, recipe: Recipe = "quickstart", as_json: asking.AsJson = False
) -> None:
    """Write a runnable recipe with its data into an empty folder.

    The quickstart trains a small chat model to follow instructions better, twice round, on two CPU
    cores. `--recipe clean` needs no model: it cleans, masks, deduplicates and splits small messy
    files in seconds, and takes your own in their place.
    """
    from databuild.cli.quickstart import write_recipe

    written = write_recipe(folder, recipe)
    if as_json:
        telling.write_json({"folder": str(folder), "files": [str(path) for path in written]})
        return
    here = folder.resolve() == Path.cwd()
    steps = [] if here else [f"  cd {folder}"]
    steps += [
        "  databuild plan              every step that a run takes",
        "  databuild run --limit 10    a preview of a few rows, from end to end",
        "  databuild run               the whole of it",
    ]
    telling.say(f"Wrote {written[0]} and {len(written) - 1} files that it reads. Next:", *steps)
