"""The page of agreement: one self-contained file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.pages import svg
from databuild.pages.writing import load

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_BARS = 20


def render(found: Mapping[str, Any]) -> str:
    """The page as text, from what `agreement.json` holds.

    Raises:
        ServiceError: jinja2 is not installed.
    """
    template = load(
        "databuild.annotate", "agreement.html.j2", number=number, interval=interval, share=share
    )
    return template.render(
        found=found, meaning=meaning(found["alpha"]["value"]),
        agreement_plot=_agreement(found), position_plot=_position(found),
    )  # fmt: skip


def meaning(value: float | None) -> str:
    """An alpha in words, by Krippendorff's own bounds (Content Analysis, chapter 12).

    Example:
        >>> meaning(0.7)
        'enough for tentative conclusions (0.667 to 0.8)'
    """
    if value is None:
        return "not defined: no record has two votes, or all votes are equal"
    if value >= 0.8:
        return "reliable (0.8 and more)"
    if value >= 0.667:
        return "enough for tentative conclusions (0.667 to 0.8)"
    if value > 0.2:
        return "below 0.667: single verdicts are not reliable; the mean of many may still be"
    return "hardly better than chance" if value > -0.05 else "people contradict each other"


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash where there is none.

    Example:
        >>> number(0.456), number(None), number(12.5, 1)
        ('0.46', '–', '12.5')
    """
    return "–" if value is None else f"{value:.{digits}f}"


def interval(told: Mapping[str, Any]) -> str:
    """An alpha with its interval."""
    if told["value"] is None or told["low"] is None:
        return number(told["value"])
    return f"{told['value']:.2f} [{told['low']:.2f}, {told['high']:.2f}]"


def share(told: Mapping[str, Any] | float | None) -> str:
    """A share in percent, with its interval where it has one."""
    if told is None:
        return "–"
    if isinstance(told, int | float):
        return f"{100 * told:.0f}"
    if told["share"] is None:
        return "–"
    return f"{100 * told['share']:.0f} [{100 * told['low']:.0f}, {100 * told['high']:.0f}]"


def _agreement(found: Mapping[str, Any]) -> str:
    people = [one for one in found["annotators"] if one["with_others"] is not None]
    if not people:
        return ""
    people = sorted(people, key=lambda one: -one["with_others"])[:_MOST_BARS]
    rows = [(one["annotator"], float(one["with_others"])) for one in people]
    return svg.bars(rows, "Agreement of each annotator with the others", tell=svg.percent)


def _position(found: Mapping[str, Any]) -> str:
    """How often each takes the answer that is shown first."""
    people = [
        (one["annotator"], one["shown_first"])
        for one in found["annotators"]
        if one["shown_first"] and one["shown_first"]["share"] is not None
    ]
    if not people:
        return ""
    rows = [
        (
            name,
            svg.BLUE if told["low"] <= 0.5 <= told["high"] else svg.RED,
            told["share"], told["low"], told["high"],
        )
        for name, told in people[:_MOST_BARS]
    ]  # fmt: skip
    return svg.intervals(rows, "Share of preferences for the answer shown first")
