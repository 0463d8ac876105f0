"""The command line's root, and the boundary where errors become exit codes."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import traceback
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from databuild.cli.telling import write_error, write_waiting
from databuild.errors import DatabuildError, WaitingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

UNEXPECTED = 70
"""Exit code of a bug in databuild, as sysexits.h has it (EX_SOFTWARE)."""
_COMMANDS = (
    *("init", "check", "plan", "run", "show", "why", "profile", "dedup", "unmask"),
    *("annotate", "release", "versions", "diff", "browse", "verify", "checkout", "export"),
    *("tag", "rollback", "gc", "uses", "withdraw"),
    *("prompts", "status", "ledger", "env"),
)  # fmt: skip
_EPILOG = """Exit codes: 0 done; 1 other error; 2 the recipe or the command line; 3 a table lacks a
column; 4 a step failed; 5 a model, endpoint or trainer failed; 6 the runs folder; 7 a budget
is spent; 8 waiting for people; 70 a bug in databuild; 130 stopped with Ctrl-C; 143 stopped with
SIGTERM."""


class StopRequested(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: stop as with Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


class Command(TyperCommand):
    """A command whose errors are told in one line, each class with its own exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command's function between the signal handlers and the error boundary."""
        with _stoppable():
            try:
                return super().invoke(ctx)
            except DatabuildError as error:
                _tell(ctx.params, error)
                raise typer.Exit(error.exit_code) from error
            except KeyboardInterrupt as stop:
                raise typer.Exit(getattr(stop, "exit_code", 130)) from stop
            except (typer.Exit, typer.Abort, BrokenPipeError):
                raise
            except Exception as error:
                _keep(ctx.params, error)
                raise typer.Exit(UNEXPECTED) from error


class Commands(TyperGroup):
    """The root: its commands in the order in which they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order of a first hour with databuild."""
        known = super().list_commands(ctx)
        return sorted(known, key=lambda name: _COMMANDS.index(name) if name in _COMMANDS else 99)


app = typer.Typer(
    cls=Commands,
    help="From raw files to a better model, by a recipe. Start with: databuild init my-folder",
    epilog=_EPILOG,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def command(name: str, short: str, example: Iterable[str]) -> Callable[[Any], Any]:
    """Register a command: its line in the list of commands, and the examples that end its help."""
    epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in example)
    return app.command(name, cls=Command, short_help=short, epilog=epilog)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"databuild {version('databuild')}\n")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_version,
        is_eager=True,
        help="Print the version.",
    ),
) -> None:
    """Hold the options that stand before a command."""


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that children are stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise StopRequested(number)

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup's wish is kept
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(params: dict[str, Any], error: DatabuildError) -> None:
    if params.get("as_json"):
        from databuild.cli.telling import write_json

        told = {"class": type(error).__name__, "where": error.where, "what": error.what}
        write_json({"error": {**told, "fix": error.fix, "exit_code": error.exit_code}})
    tell = write_waiting if isinstance(error, WaitingError) else write_error
    tell(str(error))


def _keep(params: dict[str, Any], error: Exception) -> None:
    """Save the traceback where it can be found, and say where."""
    runs = Path(params.get("runs") or ".")
    folder = runs if runs.is_dir() and params.get("runs") else Path(tempfile.gettempdir())
    path = folder / f"traceback-{datetime.now(UTC):%Y%m%dT%H%M%S}.txt"
    try:
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        place = f"its traceback is in {path}"
    except OSError:
        place = "its traceback could not be saved"
    short = " ".join(str(error).split())[:200]
    write_error(f"databuild has a bug: {type(error).__name__}: {short}; {place}. Fix: report it.")
