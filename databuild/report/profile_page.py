"""The page of a profile, or of the difference of two tables: one self-contained file."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.pages import svg
from databuild.pages.writing import load, write_page
from databuild.profiling.facts import Difference, Profile
from databuild.report import wording as w
from databuild.text.printable import printable

if TYPE_CHECKING:
    from databuild.profiling.facts import Spread

TEMPLATE = "profile.html.j2"
_MOST_PLOTS = 60
"""More plots than anyone looks at: the numbers of all columns stand in the tables."""


def write_profile(found: Profile | Difference, place: Path) -> Path:
    """Write the page of a profile.

    Args:
        found: What `databuild.profile` returned.
        place: The file; or a folder, in which the page is named after the table.

    Returns:
        The page's path.

    Raises:
        ServiceError: jinja2 is not installed.
        StoreError: The page cannot be written.
    """
    page = render(found)
    path = place / f"profile-{_file_name(found)}.html" if place.is_dir() else place
    write_page(path, page)
    return path


def render(found: Profile | Difference) -> str:
    """The page as text.

    Raises:
        ServiceError: jinja2 is not installed.
    """
    is_difference = isinstance(found, Difference)
    after = found.after if isinstance(found, Difference) else found
    before = found.before if isinstance(found, Difference) else None
    content: dict[str, Any] = {
        "p": after, "before": before, "d": found if is_difference else None, "w": w,
        "title": f"{before.table} → {after.table}" if before else after.table,
        "written": datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        "version": version("databuild"),
        "length_plots": _length_plots(before, after),
        "number_plots": _number_plots(before, after),
        "turn_plots": _turn_plots(before, after),
        "ratio_plot": _ratio_plot(before, after),
    }  # fmt: skip
    return load("databuild.report", TEMPLATE, shown=printable).render(content)


def _file_name(found: Profile | Difference) -> str:
    tables = [found.before, found.after] if isinstance(found, Difference) else [found]
    names = (re.sub(r"[^\w.@-]+", "-", Path(one.table).name)[:80] for one in tables)
    return "-to-".join(names)


def _length_plots(before: Profile | None, after: Profile) -> list[str]:
    known = {one.column: one for one in before.texts} if before else {}
    return [
        _plot(
            getattr(known[one.column], of) if one.column in known else None,
            getattr(one, of),
            f"{one.column}, {label}",
            compared=before is not None,
        )
        for one in after.texts
        for of, label in (("chars", "characters"), ("words", "words"))
        if one.n
    ][:_MOST_PLOTS]


def _number_plots(before: Profile | None, after: Profile) -> list[str]:
    known = {one.column: one.spread for one in before.numbers} if before else {}
    return [
        _plot(known.get(one.column), one.spread, one.column, compared=before is not None)
        for one in w.told_numbers(after)
        if one.spread.histogram
    ][:_MOST_PLOTS]


def _turn_plots(before: Profile | None, after: Profile) -> list[str]:
    known = {one.column: one.turns for one in before.conversations} if before else {}
    return [
        _plot(known.get(one.column), one.turns, f"{one.column}, turns", compared=before is not None)
        for one in after.conversations
        if one.n
    ]


def _ratio_plot(before: Profile | None, after: Profile) -> str:
    if after.pairs is None or after.pairs.length_ratio.histogram is None:
        return ""
    old = before.pairs.length_ratio if before and before.pairs else None
    name = "length of chosen over rejected"
    return _plot(old, after.pairs.length_ratio, name, compared=before is not None)


def _plot(old: Spread | None, new: Spread, name: str, *, compared: bool) -> str:
    """A histogram; of two tables the shares of both, side by side."""
    drawn = new.histogram
    if drawn is None:
        return ""
    bins = [f"{w.short(low)} to {w.short(high)}" for low, high in pairwise(drawn.edges)]
    name = printable(name)
    rest = w.outside(new)
    x_name = f"{name} ({rest})" if rest and len(rest) + len(name) < 52 else name
    tell = svg.plain
    series: list[tuple[str, str, list[float]]] = [("rows", svg.BLUE, [*map(float, drawn.counts)])]
    if compared:
        tell = svg.percent
        series = [("after", svg.BLUE, [n / max(new.n, 1) for n in drawn.counts])]
        if old is not None and old.histogram is not None:
            shares = [n / max(old.n, 1) for n in old.histogram.counts]
            series.insert(0, ("before", svg.GREY, shares))
    edges = [w.short(edge) for edge in drawn.edges]
    title = f"Distribution of {name}"
    return svg.grouped_bars(bins, series, title, x_name=x_name, edges=edges, tell=tell)
