"""The page of a calibration: one self-contained file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.pages import svg
from databuild.pages.writing import load

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERIES = 5
"""Scorers in one plot of bars."""


def render(found: Mapping[str, Any]) -> str:
    """The page as text, from what `calibration.json` holds.

    Raises:
        ServiceError: jinja2 is not installed.
    """
    scorers = found["scorers"]
    columns = list(dict.fromkeys(column for one in scorers.values() for column in one["strata"]))
    return load("databuild.reward", "calibration.html.j2", interval=interval, number=number).render(
        people=found["people"], scorers=scorers, bins=found["bins"], is_graded=found["is_graded"],
        accuracy_plot=_accuracies(scorers),
        length_plots=_length_plots(scorers),
        reliability_plots=[_reliability(name, one) for name, one in scorers.items() if one["ece"]],
        strata=[(column, _stratum(scorers, column)) for column in columns],
    )  # fmt: skip


def interval(told: Mapping[str, float] | None, *, share: bool = True) -> str:
    """A mean with its interval, in percent or as it is.

    Example:
        >>> interval({"mean": 0.5, "low": 0.41, "high": 0.6}), interval(None)
        ('50.0 [41.0, 60.0]', '–')
    """
    if not told:
        return "–"
    scale, digits = (100, 1) if share else (1, 2)
    mean, low, high = (f"{scale * told[name]:.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def number(value: float | None) -> str:
    """A number, short."""
    return "–" if value is None else f"{value:.3g}"


def _accuracies(scorers: Mapping[str, Any]) -> str:
    rows = [
        (name, _colour(name, place), *(one["accuracy"][key] for key in ("mean", "low", "high")))
        for place, (name, one) in enumerate(scorers.items())
        if one["accuracy"]
    ]
    return svg.intervals(rows, "Accuracy with 95 % intervals") if rows else ""


def _colour(name: str, place: int) -> str:
    return svg.GREY if name == "length" else svg.COLOURS[place % len(svg.COLOURS)]


def _bucket(told: Mapping[str, Any]) -> str:
    low, high = told["from"], told["to"]
    if high is None:
        return f"over {low:g}"
    return f"under {high:g}" if not low else f"{low:g} to {high:g}"


def _length_plots(scorers: Mapping[str, Any]) -> list[str]:
    """Accuracy by the length of the preferred answer over the other one's, few scorers a plot."""
    told = [(name, one) for name, one in scorers.items() if one["by_length"]]
    plots = []
    for start in range(0, len(told), _SERIES):
        some = told[start : start + _SERIES]
        edges = {each["from"]: _bucket(each) for _, one in some for each in one["by_length"]}
        places = sorted(edges)
        series = []
        for place, (name, one) in enumerate(some, start):
            means = {each["from"]: each["accuracy"]["mean"] for each in one["by_length"]}
            values = [means.get(low, 0.0) for low in places]
            series.append((name, _colour(name, place), values))
        plots.append(
            svg.grouped_bars(
                [edges[low] for low in places], series, "Accuracy by length", width=svg.WIDE,
                tell=svg.percent, x_name="length of the preferred answer over that of the other",
            )
        )  # fmt: skip
    return plots


def _reliability(name: str, one: Mapping[str, Any]) -> str:
    points = [(each["confidence"], each["accuracy"]) for each in one["reliability"]]
    series = [
        ("as it should be", svg.GREY, [(0.5, 0.5), (1.0, 1.0)]),
        (name, svg.BLUE, points),
    ]
    return svg.lines(series, f"Reliability of {name}", x_name="probability by the scorer")


def _stratum(scorers: Mapping[str, Any], column: str) -> list[tuple[str, int, list[str]]]:
    """A line for each value: itself, its pairs, the accuracy of each scorer."""
    by_value: dict[str, dict[str, Any]] = {}
    for name, one in scorers.items():
        for each in one["strata"][column]:
            by_value.setdefault(each["value"], {})[name] = each["accuracy"]
    return [
        (value, max(one["n"] for one in told.values()), [interval(told.get(n)) for n in scorers])
        for value, told in by_value.items()
    ]
