"""`databuild run`: carry out a recipe, show how it goes, and say what came out."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.errors import DatabuildError, RecipeError, WaitingError

if TYPE_CHECKING:
    from pathlib import Path

    from databuild.cli.progress import Board
    from databuild.engine.run import RunResult

FromStep = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="STEP", help="Run this step and all after it again.", show_default=False
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, help="Worker processes; all cores without it."),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="cpu|cuda", help="Where models run; found out without it."),
]


@dataclass(frozen=True)
class Asked:
    """What was asked on the command line."""

    path: Path
    overrides: list[str]
    runs: Path
    limit: int | None
    from_step: str | None
    workers: int | None
    device: str | None

    def again(self, begun: set[str]) -> str:
        """The command that goes on from here. `--from` is left out once that step has begun."""
        words = ["databuild", "run", str(self.path), *self.overrides]
        if self.runs != asking.RUNS:
            words += ["--runs", str(self.runs)]
        options: dict[str, object] = {
            "--limit": self.limit,
            "--workers": self.workers,
            "--device": self.device,
        }
        if self.from_step not in {*begun, *(name.partition("@")[0] for name in begun)}:
            options["--from"] = self.from_step
        words += [
            str(word) for option in options.items() if option[1] is not None for word in option
        ]
        return shlex.join(words)


@command(
    "run",
    "Run a recipe, or go on with it.",
    [
        "databuild run",
        "databuild run recipes/quickstart.yaml train_seed=2",
        "databuild run recipe.yaml answers.k=8 --limit 20 --runs try-out",
        "databuild run recipe.yaml --from scored",
    ],
)
def run(
    words: asking.Words = None,
    runs: asking.RunsFolder = asking.RUNS,
    limit: asking.Limit = None,
    from_step: FromStep = None,
    workers: Workers = None,
    device: Device = None,
    as_json: asking.AsJson = False,
) -> None:
    """Run a recipe: what is finished is taken from the runs folder, the rest is done.

    Nothing is done twice. Stop it with Ctrl-C, or kill it, whenever you like: the same command goes
    on where it stopped. Progress goes to stderr, the summary (or JSON) to stdout.
    """
    path, overrides = asking.recipe_and_overrides(words)
    asked = Asked(path, overrides, runs, limit, from_step, workers, _device(device))
    result = _carry_out(asked)
    report, trouble = _report(result, asked)
    if as_json:
        from databuild.cli.closing import as_plain

        telling.write_json(as_plain(result, asked.runs, report, trouble))
        return
    from databuild.cli.closing import summary

    telling.say(*summary(result, asked.runs, report, trouble))


def _carry_out(asked: Asked) -> RunResult:
    from databuild.api import run as run_recipe
    from databuild.cli.progress import Board
    from databuild.recipe.load import load_document
    from databuild.recipe.rounds import unroll
    from databuild.recipe.validate import as_recipe

    document = load_document(asked.path, asked.overrides)
    n_steps = len(unroll(as_recipe(document), document))
    board = Board(n_steps, telling.console(stderr=True))
    try:
        with board.shown():
            result = run_recipe(
                asked.path,
                asked.overrides,
                runs=asked.runs,
                limit=asked.limit,
                from_step=asked.from_step,
                workers=asked.workers,
                device=asked.device,
                watcher=board,
            )
    except KeyboardInterrupt:
        _say_what_is_kept(asked, board, n_steps, "Stopped")
        raise
    except WaitingError:
        _say_what_is_kept(asked, board, n_steps, "Waiting for people")
        raise
    except DatabuildError:
        if board.begun:
            _say_what_is_kept(asked, board, n_steps, "The run ended early")
        raise
    return result


def _say_what_is_kept(asked: Asked, board: Board, n_steps: int, happened: str) -> None:
    kept = f"{len(board.finished)} of {n_steps} steps are finished and kept in {asked.runs}"
    unfinished = board.begun - set(board.finished)
    if unfinished:
        kept += f"; what {', '.join(unfinished)} has done so far is kept too"
    telling.say(f"\n{happened}: {kept}.", "Go on with:", stderr=True)
    telling.console(stderr=True).print(
        f"  {asked.again(board.begun)}", markup=False, soft_wrap=True
    )


def _device(device: str | None) -> str | None:
    if device not in {None, "cpu", "cuda"}:
        what = f"the device {device!r} is neither cpu nor cuda"
        raise RecipeError("command line", what, fix="write `--device cpu` or `--device cuda`")
    return device


def _report(result: RunResult, asked: Asked) -> tuple[Path | None, str]:
    """Write report.html, unless all was cached and it tells of just these steps already."""
    from databuild.report.page import is_current, write_report

    if all(step.cached for step in result.steps) and is_current(result.recipe, asked.runs):
        return asked.runs / result.recipe / "report.html", ""
    try:
        return write_report(result.recipe, asked.runs), ""
    except DatabuildError as error:
        return None, str(error)
