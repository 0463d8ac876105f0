"""`databuild annotate up | status | down | add-user | logs | backup`: people grade in Argilla."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from databuild.cli import asking, telling
from databuild.cli.application import Command, app
from databuild.errors import RecipeError, ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ORDER = ("up", "status", "add-user", "push", "pull", "export", "import", "logs", "backup", "down")
_EPILOG = """\b
The first hour:
  databuild annotate up                  install and start Argilla here; prints where it is
  databuild annotate add-user alice      an account for each annotator; asks for a password
  databuild annotate push good p.jsonl   the rows of a file before people, as data set `good`
  databuild annotate pull good           what they said so far
  databuild run recipe.yaml              or both in a recipe: annotate.push, annotate.pull
  databuild annotate down                stop it; all answers are kept

Files: $DATABUILD_HOME/argilla (default ~/.databuild/argilla). Nothing listens beyond this
machine unless `up --host` says so. A team's server (annotation/compose.yaml) is named with
--server URL and entered with the variable ARGILLA_API_KEY."""


class _Group(typer.core.TyperGroup):
    """The commands in the order in which they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        known = super().list_commands(ctx)
        return sorted(known, key=lambda name: _ORDER.index(name) if name in _ORDER else 99)


group = typer.Typer(cls=_Group, no_args_is_help=True, rich_markup_mode=None, epilog=_EPILOG)
app.add_typer(
    group,
    name="annotate",
    short_help="Let people grade: a local Argilla, or a team's.",
    help="Let people grade answers in Argilla, on this machine or on a team's server.",
)


def annotate_command(name: str, short: str, example: Iterable[str]) -> Callable[[Any], Any]:
    """Register a command of `databuild annotate`, with the examples that end its help."""
    epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in example)
    return group.command(name, cls=Command, short_help=short, epilog=epilog)


Host = Annotated[
    str,
    typer.Option(
        "--host", metavar="ADDRESS", help="Listen on this address; others can then reach it."
    ),
]
Port = Annotated[
    int | None,
    typer.Option("--port", metavar="N", min=1, max=65535, help="6900, or the one used last."),
]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="A team's server instead of the local one."),
]


@annotate_command(
    "up",
    "Start a local Argilla; the first time, install it.",
    ["databuild annotate up", "databuild annotate up --port 6901"],
)
def up(host: Host = "127.0.0.1", port: Port = None, as_json: asking.AsJson = False) -> None:
    """Start Argilla on this machine: no Docker, no Elasticsearch, no account with default password.

    The server, its worker and its queue go on in the background, and are started again when one of
    them dies. They run until `databuild annotate down` or a restart of the machine.
    """
    from databuild.annotate import local
    from databuild.annotate.connection import server_folder

    found = local.start(host, port, lambda line: telling.say(line, stderr=True))
    if as_json:
        telling.write_json(_plain(found))
        return
    telling.say(f"Argilla runs at {found.url}")
    telling.say_path("Log in as `owner`; its password is in", server_folder() / "owner.password")
    telling.say("Annotators: databuild annotate add-user NAME     Stop: databuild annotate down")
    if host not in {"127.0.0.1", "localhost", "::1"}:
        told = f"It listens on {host}, unencrypted: put an HTTPS proxy before it."
        telling.say(told, stderr=True)


@annotate_command("status", "Say how the local Argilla is doing.", ["databuild annotate status"])
def status(as_json: asking.AsJson = False) -> None:
    """Show whether it runs, its processes and the room on the disk. Exit code 5 if it does not."""
    from databuild.annotate import local

    found = local.state()
    if as_json:
        telling.write_json(_plain(found))
    elif found.state == "stopped":
        telling.say("No local Argilla is running. Start it with: databuild annotate up")
    else:
        telling.say(f"Argilla is {found.state} at {found.url}")
        table = telling.table("process", "pid", "memory", left=["process"])
        for name, pid in found.pids.items():
            table.add_row(name, str(pid), _memory(pid))
        telling.say(table)
        if found.restarts:
            told = f"{found.restarts} restarts within two minutes"
            telling.say(f"{told}: databuild annotate logs supervisor")
        telling.say(f"{found.free_mib:,} MiB are free on the disk of the answers.")
        if found.free_mib < local.NEEDED_MIB:
            told = (
                "Make room: a full disk takes no answers (people see an error, none is half kept)."
            )
            telling.say(told, stderr=True)
    if found.state == "stopped":
        raise typer.Exit(5)


@annotate_command("down", "Stop the local Argilla.", ["databuild annotate down"])
def down() -> None:
    """Stop the server, the worker and the queue, in this order. All answers are kept."""
    from databuild.annotate import local

    stopped = local.stop()
    telling.say("Stopped. All answers are kept." if stopped else "No local Argilla was running.")


@annotate_command(
    "add-user",
    "Make an account for an annotator.",
    [
        "databuild annotate add-user alice",
        "databuild annotate add-user bob --generate",
        "databuild annotate add-user carol --password-file carol.txt --server https://team.example",
    ],
)
def add_user(
    name: Annotated[str, typer.Argument(help="What the user logs in with.", metavar="NAME")],
    role: Annotated[str, typer.Option("--role", help="annotator or admin.")] = "annotator",
    title: Annotated[str, typer.Option("--name", help="The name that is shown.")] = "",
    generate: Annotated[
        bool, typer.Option("--generate", help="Draw a password into a file only you can read.")
    ] = False,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="Take the password from this file.")
    ] = None,
    server: Server = None,
) -> None:
    """Make an account and let it into the workspace `databuild`.

    The password is asked for, hidden; it is never an argument, printed or logged.
    """
    from databuild.annotate.connection import connect
    from databuild.annotate.desk import UnreachableError
    from databuild.annotate.people import add_user as make
    from databuild.annotate.people import check_name
    from databuild.annotate.secrecy import NewPassword

    if role not in {"annotator", "admin"}:
        what = f"the role {role!r} is neither annotator nor admin"
        raise RecipeError("command line", what, fix="write `--role annotator` or leave it out")
    if generate and password_file is not None:
        what = "--generate and --password-file name two passwords"
        raise RecipeError("command line", what, fix="leave one of them out")
    check_name(name)
    connection = connect(server)
    drawn = NewPassword(name, server) if generate else None
    password = _password(name, password_file) if drawn is None else drawn.text
    try:
        made = make(connection, name, password, role=role, title=title)
    except ServiceError as error:
        if drawn is not None and not isinstance(error, UnreachableError):
            drawn.forget()
        raise
    if not made:
        told = f"{name} had an account; it is in the workspace {connection.workspace} now, too."
        telling.say(told)
    telling.say(f"{name} can log in at {connection.url}")
    if drawn is not None and (made or drawn.is_older):
        telling.say_path("The password is in", drawn.keep())
    elif drawn is not None:
        drawn.forget()
        telling.say("The password is the one it had.")


@annotate_command(
    "logs",
    "Show the last lines of a log.",
    ["databuild annotate logs", "databuild annotate logs worker -n 100"],
)
def logs(
    process: Annotated[
        str, typer.Argument(help="server, worker, queue or supervisor.", metavar="[PROCESS]")
    ] = "server",
    n: Annotated[int, typer.Option("-n", min=1, help="How many lines.")] = 20,
) -> None:
    """Show what a process of the local Argilla said last."""
    from databuild.annotate import local

    if process not in local.PROCESSES:
        what = f"there is no process {process!r}"
        raise RecipeError("command line", what, fix=f"name one of {', '.join(local.PROCESSES)}")
    sys.stdout.writelines(f"{line}\n" for line in local.last_lines(process, n))


@annotate_command(
    "backup",
    "Copy the local Argilla's database.",
    ["databuild annotate backup", "databuild annotate backup /mnt/safe/argilla.db"],
)
def backup(
    target: Annotated[
        Path | None, typer.Argument(help="A new file; a dated one without it.", metavar="[FILE]")
    ] = None,
) -> None:
    """Copy the database, also while people work. To go back: `down`, then copy it to argilla.db."""
    from databuild.annotate import local

    telling.say_path("Saved", local.back_up(target))


def _password(name: str, file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            what = f"{file}: {error.strerror}"
            raise RecipeError("command line", what, fix="name a file that can be read") from error
    if not sys.stdin.isatty():
        what = "there is no terminal to ask for a password"
        fix = "add `--generate` or `--password-file FILE`"
        raise RecipeError("command line", what, fix=fix)
    asked: str = typer.prompt(f"Password for {name}", hide_input=True, confirmation_prompt=True)
    return asked


def _plain(found: Any) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def _memory(pid: int) -> str:
    import psutil

    try:
        return f"{psutil.Process(pid).memory_info().rss >> 20} MiB"
    except psutil.NoSuchProcess:
        return "gone"
