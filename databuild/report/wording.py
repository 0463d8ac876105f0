"""How a profile's numbers are said, on the terminal and on the page alike."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from databuild.text.printable import printable

if TYPE_CHECKING:
    from databuild.profiling.facts import Cell, Difference, Loss, Number, Profile, Shift, Spread

MISSING = "(missing)"
_BLOCKS = "▁▂▃▄▅▆▇█"


def count(n: int | None) -> str:
    """A count, with thousands set apart; nothing for nothing.

    Example:
        >>> count(12345), count(0), count(None)
        ('12,345', '0', '')
    """
    return "" if n is None else f"{n:,}"


def share(n: int, of: int) -> str:
    """A share in percent; never 0 of some nor 100 of not all.

    Example:
        >>> share(1, 3), share(0, 3), share(1, 100_000), share(99_999, 100_000), share(0, 0)
        ('33.3 %', '0 %', '< 0.1 %', '> 99.9 %', '')
    """
    if not of:
        return ""
    if n in (0, of):
        return "100 %" if n else "0 %"
    if n / of < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if n / of >= 0.9995 else f"{100 * n / of:.1f} %"


def points(before: tuple[int, int], after: tuple[int, int]) -> str:
    """How a share changed, in points of percent.

    Example:
        >>> points((1, 10), (3, 10)), points((1, 0), (3, 10))
        ('+20.0', '')
    """
    (n, of), (m, total) = before, after
    return f"{100 * (m / total - n / of):+.1f}" if of and total else ""


def short(value: float | None) -> str:
    """A number in few digits.

    Example:
        >>> short(1234567.0), short(0.123456), short(3.0), short(1.5e-7), short(None)
        ('1,234,567', '0.123', '3', '1.5e-07', '')
    """
    if value is None or math.isnan(value):
        return ""
    if value == int(value) and abs(value) < 1e15 if math.isfinite(value) else False:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"


def dtype(name: str) -> str:
    """A type without its insides.

    Example:
        >>> dtype("List(Struct({'role': String}))"), dtype("Datetime(time_unit='us')")
        ('list of struct', 'datetime')
    """
    outer, _, inner = name.partition("(")
    if outer in ("List", "Array"):
        return f"{outer.lower()} of {dtype(inner)}"
    return re.sub(r"\W.*", "", outer).lower()


def spark(spread: Spread) -> str:
    """A histogram as one line of blocks.

    Example:
        >>> from databuild.profiling.facts import Histogram, Spread
        >>> spark(Spread(3, 0, 0, 1.0, 1.0, {}, Histogram((0, 1, 2, 3), (4, 0, 1))))
        '█ ▂'
    """
    if spread.histogram is None:
        return ""
    counts = spread.histogram.counts
    most = max(counts) or 1
    return "".join(_BLOCKS[math.ceil(n / most * 8) - 1] if n else " " for n in counts)


def cell(one: Cell) -> str:
    """The name of a cell."""
    return MISSING if one.value is None else (printable(one.value) or '""')


def size_of(shift: Shift) -> str:
    """How large a shift is, in a word.

    Large: a stability index of 0.25 or a distance of 0.2; moderate: 0.1 or 0.1; unless two samples
    of these sizes from one source lie as far apart in one of twenty cases.
    """
    if not shift.distance:
        return "the same"
    if shift.distance <= shift.noise:
        return "within chance"
    if shift.psi >= 0.25 or shift.distance >= 0.2:
        return "large"
    return "moderate" if shift.psi >= 0.1 or shift.distance >= 0.1 else "small"


def told_numbers(profile: Profile) -> list[Number]:
    """The numeric columns that say something new: lengths of texts are told with the texts."""
    known = {f"{text.column}_{of}" for text in profile.texts for of in ("chars", "words")}
    return [number for number in profile.numbers if number.column not in known]


def outside(spread: Spread) -> str:
    """What the histogram leaves out.

    Example:
        >>> from databuild.profiling.facts import Histogram, Spread
        >>> outside(Spread(3, 2, 1, 1.0, 1.0, {}, Histogram((0, 10), (4,), 0, 7)))
        '7 above 10, 2 NaN, 1 infinite'
    """
    told = []
    drawn = spread.histogram
    if drawn and drawn.below:
        told.append(f"{drawn.below:,} below {short(drawn.edges[0])}")
    if drawn and drawn.above:
        told.append(f"{drawn.above:,} above {short(drawn.edges[-1])}")
    if spread.n_nan:
        told.append(f"{spread.n_nan:,} NaN")
    if spread.n_infinite:
        told.append(f"{spread.n_infinite:,} infinite")
    return ", ".join(told)


Counted = tuple[int, int]
"""How many, of how many."""


def faults_side_by_side(
    found: Difference,
) -> list[tuple[str, Counted | None, Counted | None]]:
    """Every fault with its rows before and after; None where its column is not there."""
    sides = [
        {one.name: (one.n_rows, profile.rows) for one in profile.faults}
        for profile in (found.before, found.after)
    ]
    columns = [{one.column for one in p.faults} for p in (found.before, found.after)]
    names = dict.fromkeys(name for side in sides for name in side)
    lines = []
    for name in names:
        counted: list[Counted | None] = []
        for side, known, profile in zip(sides, columns, (found.before, found.after), strict=True):
            # A value that is not listed was found in no row, if its column was measured at all.
            absent = (0, profile.rows) if name.partition(": ")[0] in known else None
            counted.append(side.get(name, absent))
        if any(one and one[0] for one in counted):
            lines.append((name, counted[0], counted[1]))
    return lines


def strata_side_by_side(
    found: Difference,
) -> list[tuple[str, list[tuple[str, Counted, Counted]]]]:
    """Every category of both tables, cell by cell; the cells that are not listed are together."""
    after = {one.column: one for one in found.after.strata}
    told = []
    for one in found.before.strata:
        if one.column not in after:
            continue
        pair = (one, after[one.column])
        totals = [sum(c.n for c in s.cells) + s.n_other_rows for s in pair]
        counts = [{cell(c): c.n for c in s.cells} for s in pair]
        lines = [
            (name, (counts[0].get(name, 0), totals[0]), (counts[1].get(name, 0), totals[1]))
            for name in dict.fromkeys([*counts[0], *counts[1]])
        ]
        told.append((one.column, lines))
    return told


def equal_side_by_side(found: Difference) -> list[tuple[str, Counted, Counted, Counted, Counted]]:
    """Equal texts of the columns of both tables: as they are, and in normal form."""
    after = {one.column: one for one in found.after.texts}
    return [
        (
            a.column,
            (a.n_duplicates, a.n),
            (b.n_duplicates, b.n),
            (a.n_normal_duplicates, a.n),
            (b.n_normal_duplicates, b.n),
        )
        for a in found.before.texts
        if (b := after.get(a.column))
    ]


def lost_between(found: Difference) -> list[Loss]:
    """What was lost on the way to the second table and not yet on the way to the first."""
    known = {(one.step, one.fate, one.reason, one.n) for one in found.before.losses}
    losses = found.after.losses
    return [one for one in losses if (one.step, one.fate, one.reason, one.n) not in known]
