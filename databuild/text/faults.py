"""Lists of named faults, from conditions: the form in which checks report what they found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from databuild.errors import SchemaError, nearest
from databuild.text.conversations import has_conversations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def fault_list(checks: Mapping[str, pl.Expr], ignore: Iterable[str] = ()) -> pl.Expr:
    """List the names of the conditions that are true, in the order of `checks`; never null.

    Args:
        checks: Boolean expressions by the name of the fault; null counts as false.
        ignore: Names that are left out.

    Example:
        >>> rows = pl.DataFrame({"n": [1, 9, None]})
        >>> found = fault_list({"low": pl.col("n") < 2, "odd": pl.col("n") % 2 == 1})
        >>> rows.select(found).to_series().to_list()
        [['low', 'odd'], ['odd'], []]
    """
    left_out = set(ignore)
    named = [
        pl.when(check).then(pl.lit(name)) for name, check in checks.items() if name not in left_out
    ]
    # A null text of its own keeps the type, and the length, where every check is left out.
    nothing = pl.when(pl.first().is_null() & pl.first().is_not_null()).then(pl.lit(""))
    return pl.concat_list(*named, nothing).list.drop_nulls()


def known_faults(ignore: tuple[str, ...], faults: Iterable[str]) -> tuple[str, ...]:
    """Return `ignore` if every name in it is a fault that the step can report.

    Raises:
        ValueError: One is not; the message has the nearest that is.

    Example:
        >>> known_faults(("tailess",), ["tailless", "headless"])
        Traceback (most recent call last):
        ValueError: unknown fault 'tailess'; did you mean 'tailless'? Known: tailless, headless
    """
    return known_names(ignore, faults, "fault")


def known_names(names: tuple[str, ...], known: Iterable[str], kind: str) -> tuple[str, ...]:
    """Return `names` if every one is known: for the options of steps that name what they look for.

    Raises:
        ValueError: One is not; the message has the nearest that is.

    Example:
        >>> known_names(("e-mail",), ["email", "phone"], "type")
        Traceback (most recent call last):
        ValueError: unknown type 'e-mail'; did you mean 'email'? Known: email, phone
    """
    listed = list(known)
    for name in names:
        if name not in listed:
            msg = f"unknown {kind} {name!r}; {nearest(name, listed)}"
            raise ValueError(msg)
    return names


def check_messages(rows: pl.DataFrame, column: str, where: str) -> None:
    """Make sure that a column holds conversations.

    Raises:
        SchemaError: It is no list of structs with the texts `role` and `content`.

    Example:
        >>> rows = pl.DataFrame({"messages": [[{"role": "user", "content": "Hi"}]]})
        >>> check_messages(rows, "messages", "measure.turns")
    """
    if not has_conversations(rows, column):
        held = rows.schema[column]
        what = (
            f"the column {column!r} is {held}, no list of structs with texts `role` and `content`"
        )
        raise SchemaError(where, what, fix="name a column of messages")
