"""The difference of two tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from databuild.cli import telling
from databuild.cli.profile_view import example_line, heading, losses
from databuild.report import wording as w
from databuild.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from databuild.profiling.facts import Difference

_LINES = 60


def view_difference(found: Difference) -> Iterator[RenderableType]:
    """What to print."""
    yield from _rows(found)
    yield from _examples(found)
    yield from _faults(found)
    yield from _shifts(found)
    yield from _texts(found)
    yield from _strata(found)
    yield from losses(w.lost_between(found), "by the steps between the two")


def _rows(found: Difference) -> Iterator[RenderableType]:
    from rich import text as rich_text

    a, b, changes = found.before, found.after, found.changes
    yield rich_text.Text.assemble(
        (printable(a.table), "bold"),
        f"  {a.rows:,} rows",
        "  ->  ",
        (printable(b.table), "bold"),
        f"  {b.rows:,} rows",
    )
    made = telling.table("", "rows", "", left=("",))
    made.show_header = False
    for label, n, of, colour in (
        ("in both, same", changes.n_same, a.rows, ""),
        ("in both, changed", changes.n_changed, a.rows, "yellow"),
        ("removed", changes.n_removed, a.rows, "red"),
        ("added", changes.n_added, b.rows, "green"),
    ):
        made.add_row(rich_text.Text(label, colour), w.count(n), w.share(n, of))
    yield heading("Rows", f"matched by {printable(changes.matched_by)}")
    yield made
    for label, told in (
        ("changed in", ", ".join(f"{c} {n:,}" for c, n in changes.by_column.items())),
        ("new columns", ", ".join(changes.columns_added)),
        ("columns gone", ", ".join(changes.columns_removed)),
        ("new types", ", ".join(
            f"{c} {w.dtype(x)} -> {w.dtype(y)}" for c, (x, y) in changes.types_changed.items()
        )),
    ):  # fmt: skip
        if told:
            yield rich_text.Text(printable(f"{label}: {told}"))


def _examples(found: Difference) -> Iterator[RenderableType]:
    from rich.text import Text

    changes = found.changes
    for title, examples in (("Removed", changes.removed), ("Added", changes.added)):
        if examples:
            yield heading(title)
            yield from map(example_line, examples)
    if changes.changed:
        yield heading("Changed", printable(changes.changed[0][0].column))
    for before, after in changes.changed:
        yield example_line(before, as_it_is=True)
        yield Text("    ->", "dim")
        yield example_line(after, as_it_is=True)


def _faults(found: Difference) -> Iterator[RenderableType]:
    from rich.text import Text

    lines = w.faults_side_by_side(found)
    if not lines:
        return
    made = telling.table("", "before", "", "after", "", "points", left=("",))
    for name, before, after in lines[:_LINES]:
        change = w.points(before, after) if before and after else ""
        colour = "green" if change.startswith("-") else "red" if change.strip("+0.") else ""
        made.add_row(Text(printable(name)), *_count(before), *_count(after), Text(change, colour))
    yield heading("Faults and findings")
    yield made


def _count(one: tuple[int, int] | None) -> tuple[str, str]:
    return (w.count(one[0]), w.share(*one)) if one else ("-", "")


def _shifts(found: Difference) -> Iterator[RenderableType]:
    from rich.text import Text

    if not found.shifts:
        return
    made = telling.table("", "", "distance", "psi", "median", "", left=("", "median"))
    made.columns[1].justify = "left"
    made.columns[5].justify = "left"
    colours = {"large": "red", "moderate": "yellow"}
    for one in found.shifts[:_LINES]:
        median = "" if one.before is None else f"{w.short(one.before)} -> {w.short(one.after)}"
        size, name = w.size_of(one), Text(printable(one.column))
        made.add_row(
            name, Text(one.of, "dim"), f"{one.distance:.3f}", f"{one.psi:.3f}",
            median, Text(size, colours.get(size, "dim")),
        )  # fmt: skip
    yield heading("How far distributions moved", "0 the same, 1 nothing in common")
    yield made


def _texts(found: Difference) -> Iterator[RenderableType]:
    from rich.text import Text

    lines = w.equal_side_by_side(found)
    if not lines:
        return
    made = telling.table(
        "", "before", "", "after", "", "normal form before", "", "after", "", left=("",)
    )
    for name, *counts in lines[:_LINES]:
        made.add_row(Text(printable(name)), *(piece for one in counts for piece in _count(one)))
    yield heading("Equal texts")
    yield made


def _strata(found: Difference) -> Iterator[RenderableType]:
    from rich.text import Text

    for column, lines in w.strata_side_by_side(found):
        made = telling.table("", "before", "", "after", "", "points", left=("",))
        for value, before, after in lines[:20]:
            made.add_row(
                Text(telling.clipped(value, 40)), *_count(before), *_count(after),
                w.points(before, after),
            )  # fmt: skip
        yield heading("Strata", printable(column))
        yield made
