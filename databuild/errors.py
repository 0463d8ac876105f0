"""The error tree. One class per boundary that was crossed, each with its exit code.

    DatabuildError            1   never raised itself
    ├── RecipeError           2   what was asked cannot be understood: YAML, names, options
    ├── SchemaError           3   a table does not have the columns or types that a step needs
    ├── StepError             4   a step broke a law, failed too often, or could not finish
    │   └── LawError          4   a step returned something that its kind forbids: its bug
    ├── ServiceError          5   a model process, an endpoint or a trainer could not do its work
    ├── StoreError            6   the runs folder: locked, full, unreadable, of another version
    ├── BudgetError           7   a budget is spent: what was answered is kept, a raised one goes on
    └── WaitingError          8   people have not answered yet: no failure, the next run goes on

Row-level trouble is data and never an exception: it ends in `failed`, with an `error`.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class DatabuildError(Exception):
    """`<where>: <what is wrong>. Fix: <imperative>.`.

    Args:
        where: The recipe's `file:line`, or a step's name.
        what: What is wrong, with the value and the alternatives; no full stop at the end.
        fix: What to do about it, as an imperative; no full stop at the end.
    """

    exit_code = 1

    def __init__(self, where: str, what: str, *, fix: str) -> None:
        self.where, self.what, self.fix = where, what, fix
        super().__init__(f"{where}: {what}. Fix: {fix}.")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.where, self.what, self.fix)


class RecipeError(DatabuildError):
    """The recipe cannot be understood."""

    exit_code = 2


class SchemaError(DatabuildError):
    """A table lacks what a step needs."""

    exit_code = 3


class StepError(DatabuildError):
    """A step could not finish."""

    exit_code = 4


class LawError(StepError):
    """A step returned something that its kind forbids."""


class ServiceError(DatabuildError):
    """A model process, an endpoint or a trainer could not do its work."""

    exit_code = 5


class StoreError(DatabuildError):
    """The runs folder cannot be used as asked."""

    exit_code = 6


class BudgetError(DatabuildError):
    """A budget of tokens, cost or seconds is spent."""

    exit_code = 7


class WaitingError(DatabuildError):
    """A step waits for people. It is not a failure: what was done is kept, the next run goes on."""

    exit_code = 8


def nearest(name: str, known: Iterable[str]) -> str:
    """List the known names, the nearest first, for an error message.

    Example:
        >>> nearest("promt", ["answer", "prompt"])
        "did you mean 'prompt'? Known: prompt, answer"
    """
    names = sorted(known)
    if not names:
        return "there are none"
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    ordered = ", ".join([*close, *(other for other in names if other not in close)][:24])
    return f"did you mean {close[0]!r}? Known: {ordered}" if close else f"known: {ordered}"


def _rebuild(cls: type[DatabuildError], where: str, what: str, fix: str) -> DatabuildError:
    return cls(where, what, fix=fix)
