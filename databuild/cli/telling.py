"""How things are said: results on stdout, the rest on stderr, numbers as people read them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from databuild.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console, RenderableType
    from rich.table import Table

ID_CHARS = 10
_MINUTE, _HOUR = 60, 3600
PLAIN_COLUMNS = 100
"""Width where there is no terminal to ask."""


def console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; without one, of a fixed width, and without colour."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_COLUMNS
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def say(*pieces: RenderableType, stderr: bool = False) -> None:
    """Print for a person; a `Text` with `no_wrap` stays one line, however long."""
    from rich.text import Text

    out = console(stderr=stderr)
    for piece in pieces:
        # rich joins texts to a new one, which knows nothing of the piece's own `no_wrap`
        whole = isinstance(piece, Text) and bool(piece.no_wrap)
        out.print(piece, markup=False, soft_wrap=whole)


def say_path(label: str, path: Path | str) -> None:
    """Print a path in one line, never wrapped or cut, so that it can be copied."""
    from rich.text import Text

    say(Text(f"{label}: {path}", no_wrap=True, overflow="ignore"))


def write_json(content: Any) -> None:
    """Print one JSON document on stdout, for a program."""
    sys.stdout.write(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


def write_waiting(text: str) -> None:
    """Say on stderr that a step waits for people: no error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def write_error(text: str) -> None:
    """Print an error on stderr, unwrapped, so that a path in it can be copied."""
    sys.stderr.write(f"error: {text}\n")
    sys.stderr.flush()


def table(*columns: str, left: Iterable[str] = ()) -> Table:
    """A table without rules; numbers to the right, the columns in `left` to the left."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    lefts = set(left)
    for name in columns:
        if name in lefts:
            made.add_column(name, justify="left", overflow="fold")
        else:
            made.add_column(name, justify="right", no_wrap=True)
    return made


def seconds(value: float | None) -> str:
    """A duration as a person says it.

    Example:
        >>> seconds(0.04), seconds(9.26), seconds(78), seconds(7265), seconds(None)
        ('0.0s', '9.3s', '1m18s', '2h01m', '')
    """
    if value is None:
        return ""
    if value < _MINUTE - 0.05:
        return f"{value:.1f}s"
    whole = round(value)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"


def number(value: int | None) -> str:
    """A count; nothing for nothing.

    Example:
        >>> number(12345), number(0), number(None)
        ('12,345', '', '')
    """
    return f"{value:,}" if value else ""


def percent(value: float) -> str:
    """A share as percent with one decimal.

    Example:
        >>> percent(0.3149)
        '31.5 %'
    """
    return f"{100 * value:.1f} %"


def clipped(value: Any, length: int) -> str:
    r"""A value in one line of at most `length` characters.

    Example:
        >>> clipped("two\n lines of text", 12), clipped(0.123456789, 9), clipped(None, 5)
        ('two lines o…', '0.1235', '-')
    """
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = printable(" ".join(text.split()))
    return text if len(text) <= length else f"{text[: length - 1]}…"


def short_id(row_id: str) -> str:
    """The start of an id, long enough to be unique in practice; `why` takes it."""
    return row_id[:ID_CHARS]
