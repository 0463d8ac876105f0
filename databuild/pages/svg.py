"""Plots as SVG text: no library to load, sharp at any size, readable in the page's source."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GREY, BLUE, ORANGE, GREEN, RED = "#8a8f98", "#2563a8", "#d9822b", "#3d8b57", "#b5403a"
COLOURS = (BLUE, ORANGE, GREEN, "#7a5ba6", RED, "#4b9aa8")
WIDE, HALF = 812, 394
"""Widths in pixels: of the page's column, and of two plots side by side in it."""
_CHAR_PX = 7.0
_FONT = 12


@dataclass(frozen=True)
class Axis:
    """A linear axis from values to pixels, with ticks at round numbers."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass
class Canvas:
    """SVG elements as they are drawn."""

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1
    ) -> None:
        """Draw a straight line."""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>'
        )

    def text(
        self, x: float, y: float, words: str, *, anchor: str = "start", colour: str = "#333"
    ) -> None:
        """Write one line; `y` is its base line."""
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self.parts.append(f'<text {place} fill="{colour}">{escape(words)}</text>')

    def bar(self, x: float, y: float, width: float, height: float, colour: str, told: str) -> None:
        """Draw a filled box with a tool tip."""
        size = f'width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
        tip = f"<title>{escape(told)}</title>"
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{colour}">{tip}</rect>')

    def dot(self, x: float, y: float, colour: str, told: str, radius: float = 5) -> None:
        """Draw a point with a tool tip."""
        place, tip = f'cx="{x:.1f}" cy="{y:.1f}"', f"<title>{escape(told)}</title>"
        self.parts.append(f'<circle {place} r="{radius}" fill="{colour}">{tip}</circle>')

    def path(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """Draw a line through points."""
        steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(
            f'<polyline points="{steps}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        )

    def legend(self, names: Sequence[tuple[str, str]], x: float) -> None:
        """Write names with their colours in one row at the top."""
        for name, colour in names:
            self.bar(x, 8, 10, 10, colour, name)
            self.text(x + 15, 17, name)
            x += 33 + len(name) * _CHAR_PX

    def svg(self) -> str:
        """The finished picture."""
        size = f'viewBox="0 0 {self.width} {self.height}" width="{self.width}"'
        label = f'role="img" aria-label="{escape(self.title)}"'
        drawn = "".join(self.parts)
        return f'<svg {size} height="{self.height}" {label} font-size="{_FONT}">{drawn}</svg>'


def plain(value: float) -> str:
    """A number on an axis."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(value: float) -> str:
    """A share on an axis."""
    return f"{round(100 * value, 1):g} %"


def axis(
    values: Sequence[float], start: float, end: float, *, zero: bool = False, tight: bool = False
) -> Axis:
    """An axis that holds all values; ticks at 1, 2, 2.5 or 5 times a power of ten.

    It begins and ends at a tick; a `tight` one at the first and last value.

    Example:
        >>> axis([0.07, 0.41], 0, 100, zero=True).ticks
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-12:
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    raw = (high - low) / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(10, 3 - math.floor(math.log10(step)))
    ticks = tuple(round(number * step, digits) for number in range(first, last + 1))
    if tight:
        inside = tuple(tick for tick in ticks if low <= tick <= high)
        return Axis(low, high, start, end, inside)
    return Axis(ticks[0], ticks[-1], start, end, ticks)


def intervals(
    rows: Sequence[tuple[str, str, float, float, float]], title: str, *, width: int = WIDE
) -> str:
    """Means with their 95 % intervals, one row each: (label, colour, mean, low, high)."""
    left = 24 + max(len(label) for label, *_ in rows) * _CHAR_PX
    height = 42 + 30 * len(rows)
    canvas = Canvas(width, height, title)
    x = axis([v for _, _, *values in rows for v in values], left, width - 130, zero=True)
    for tick in x.ticks:
        canvas.line(x.at(tick), 6, x.at(tick), height - 28, "#e3e5e8")
        canvas.text(x.at(tick), height - 10, percent(tick), anchor="middle", colour="#666")
    for number, (label, colour, mean, low, high) in enumerate(rows):
        y = 22 + 30 * number
        told = f"{label}: {percent(mean)} [{percent(low)}, {percent(high)}]"
        canvas.text(left - 12, y + 4, label, anchor="end")
        canvas.line(x.at(low), y, x.at(high), y, colour, 3)
        for edge in (low, high):
            canvas.line(x.at(edge), y - 6, x.at(edge), y + 6, colour, 2)
        canvas.dot(x.at(mean), y, colour, told)
        shown = f"{100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        canvas.text(width, y + 4, shown, anchor="end", colour="#333")
    return canvas.svg()


def grouped_bars(
    groups: Sequence[str],
    series: Sequence[tuple[str, str, Sequence[float]]],
    title: str,
    *,
    width: int = HALF,
    tell: Callable[[float], str] = plain,
    x_name: str = "",
    edges: Sequence[str] | None = None,
) -> str:
    """Bars side by side: per series a name, a colour and one value per group."""
    height, bottom, left = 230, 42, 58
    canvas = Canvas(width, height, title)
    y = axis([v for _, _, values in series for v in values], height - bottom, 34, zero=True)
    _grid(canvas, y, left, tell)
    slot = (width - left - 14) / len(groups)
    bar = min(46.0, slot * 0.8 / len(series))
    for number, group in enumerate(groups):
        middle = left + slot * (number + 0.5)
        for index, (name, colour, values) in enumerate(series):
            begin = middle + (index - len(series) / 2) * bar
            top, value = y.at(values[number]), values[number]
            canvas.bar(
                begin, top, bar - 1.5, y.at(0) - top, colour, f"{group}, {name}: {tell(value)}"
            )
            if bar >= 30:
                canvas.text(begin + bar / 2, top - 4, tell(value), anchor="middle")
    # The names of bins are their edges, which stand between the bars: one more than there are bins.
    names, shift = (groups, 0.5) if edges is None else (edges, 0.0)
    every = math.ceil((max(len(name) for name in names) + 1) * _CHAR_PX / slot)
    for number in range(0, len(names), every):
        place = left + slot * (number + shift)
        canvas.text(place, height - 25, names[number], anchor="middle", colour="#666")
    canvas.text(left + (width - left) / 2, height - 7, x_name, anchor="middle", colour="#666")
    if len(series) > 1:
        canvas.legend([(name, colour) for name, colour, _ in series], left)
    return canvas.svg()


def lines(
    series: Sequence[tuple[str, str, Sequence[tuple[float, float]]]],
    title: str,
    *,
    width: int = HALF,
    x_name: str = "",
) -> str:
    """Curves: per series a name, a colour and its points; points are marked where they are few."""
    height, bottom, left = 230, 42, 58
    canvas = Canvas(width, height, title)
    points = [point for _, _, line in series for point in line]
    y = axis([value for _, value in points], height - bottom, 34)
    x = axis([value for value, _ in points], left + 8, width - 14, tight=True)
    _grid(canvas, y, left, plain)
    for tick in x.ticks:
        canvas.text(x.at(tick), height - 25, plain(tick), anchor="middle", colour="#666")
    canvas.text(left + (width - left) / 2, height - 7, x_name, anchor="middle", colour="#666")
    for name, colour, line in series:
        placed = [(x.at(a), y.at(b)) for a, b in line]
        canvas.path(placed, colour)
        if len(line) <= 40:
            for (a, b), (px, py) in zip(line, placed, strict=True):
                canvas.dot(px, py, colour, f"{name} at {plain(a)}: {plain(b)}", 2.6)
    canvas.legend([(name, colour) for name, colour, _ in series], left)
    return canvas.svg()


def bars(rows: Sequence[tuple[str, float]], title: str, *, tell: Callable[[float], str]) -> str:
    """Horizontal bars with their values: (label, value)."""
    width, height = WIDE, 8 + 22 * len(rows)
    left = 24 + max(len(label) for label, _ in rows) * _CHAR_PX
    canvas = Canvas(width, height, title)
    most = max(value for _, value in rows) or 1.0
    for number, (label, value) in enumerate(rows):
        y = 4 + 22 * number
        canvas.text(left - 10, y + 14, label, anchor="end")
        length = (width - left - 80) * value / most
        canvas.bar(left, y + 3, max(length, 1), 15, BLUE, f"{label}: {tell(value)}")
        canvas.text(left + length + 7, y + 14, tell(value), colour="#666")
    return canvas.svg()


def _grid(canvas: Canvas, y: Axis, left: float, tell: Callable[[float], str]) -> None:
    for tick in y.ticks:
        canvas.line(left, y.at(tick), canvas.width - 4, y.at(tick), "#e3e5e8")
        canvas.text(left - 8, y.at(tick) + 4, tell(tick), anchor="end", colour="#666")
