"""`databuild prompts`: the prompts that a step ships, and copies of them to be changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.errors import RecipeError, StoreError, nearest

if TYPE_CHECKING:
    from databuild.engine.step import Step

_COMMENT = re.compile(r"\A\s*<!--(.*?)-->", re.DOTALL)
StepName = Annotated[
    str | None,
    typer.Argument(
        metavar="STEP",
        help="A step as a recipe's `use` names it, such as generate.rewrite; without it all steps "
        "that have prompts.",
        show_default=False,
    ),
]
Copy = Annotated[
    Path | None,
    typer.Option(
        "--copy",
        metavar="DIR",
        help="Write the step's prompts into this folder, to be changed. A file that is there "
        "already is left alone, and nothing is written.",
        show_default=False,
    ),
]


@command(
    "prompts",
    "List the prompts of a step, or copy them to be changed.",
    [
        "databuild prompts",
        "databuild prompts generate.rewrite",
        "databuild prompts generate.rewrite --copy my-prompts",
    ],
)
def prompts(step: StepName = None, copy: Copy = None, as_json: asking.AsJson = False) -> None:
    """Show which prompts a step sends, and where the idea of each comes from.

    A recipe replaces prompts with `prompts: my-prompts`, the folder of --copy (delete there what
    you do not change), or with single files of the same names.
    """
    from databuild.steps import STEPS

    having = {one.name: one for one in STEPS if one.brings is not None}
    if step is not None and step not in having:
        known = {one.name for one in STEPS}
        what = f"step {step!r} has no prompts; those with prompts are {', '.join(having)}"
        if step not in known:
            what = f"there is no step {step!r}; {nearest(step, having)}"
        raise RecipeError("command line", what, fix="name a step that has prompts")
    if copy is not None and step is None:
        what = "--copy needs the name of one step"
        raise RecipeError("command line", what, fix="write `databuild prompts STEP --copy DIR`")
    listed = {name: shipped(one) for name, one in having.items() if step in {None, name}}
    copied = copied_to(copy, listed[step]) if copy is not None and step is not None else []
    if as_json:
        told: dict[str, Any] = {name: list(map(_plain, paths)) for name, paths in listed.items()}
        telling.write_json({"prompts": told, "copied": [str(path) for path in copied]})
        return
    _show(listed, copied, copy)


def shipped(step: Step) -> list[Path]:
    """The files of a step's own prompts, by name."""
    assert step.brings is not None
    return sorted(step.brings(step.config.model_construct()))


def copied_to(folder: Path, paths: list[Path]) -> list[Path]:
    """Copy files into a folder.

    Raises:
        StoreError: One of them is there already, or the folder cannot be written.
    """
    targets = [folder / path.name for path in paths]
    there = [target for target in targets if target.exists()]
    if there:
        what = f"{there[0].name} is there already; nothing was written"
        raise StoreError(str(folder), what, fix="name a new folder, or move the file away")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, target in zip(paths, targets, strict=True):
            target.write_bytes(path.read_bytes())
    except OSError as error:
        what = f"the prompts cannot be written: {error.strerror}"
        raise StoreError(str(folder), what, fix="name a folder that you may write") from error
    return targets


def source_of(path: Path) -> str:
    """Where the idea of a prompt comes from: the comment at its top, on one line."""
    found = _COMMENT.match(path.read_text(encoding="utf-8"))
    return " ".join(found[1].split()) if found else ""


def _plain(path: Path) -> dict[str, str]:
    return {"name": path.name, "source": source_of(path), "path": str(path)}


def _show(listed: dict[str, list[Path]], copied: list[Path], folder: Path | None) -> None:
    from rich.text import Text

    if folder is not None:
        telling.say(f"{len(copied)} prompts copied.")
        telling.say_path("prompts", folder)
        telling.say(f"Change them, and write in the recipe: prompts: {folder.name}")
        return
    for name, paths in listed.items():
        shown = telling.table("prompt", "idea", left=("prompt", "idea"))
        for path in paths:
            shown.add_row(Text(path.name), Text(source_of(path)))
        telling.say("", name, shown)
