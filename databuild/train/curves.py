"""What a training logged, as curves: loss, reward margins, pairs preferred rightly, drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from databuild.pages import svg

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Points = list[tuple[float, float]]
_HEIGHT = 230
"""Of one plot, in pixels; see `databuild.pages.svg.lines`."""


class Plot(NamedTuple):
    """One plot: its title and, by name, curves of (optimiser step, value)."""

    title: str
    series: list[tuple[str, Points]]


def plots_of(metrics: Mapping[str, Any]) -> list[Plot]:
    """The plots that a training's log has numbers for.

    Loss on the training rows and on those held out. For a reward model also the mean margin of
    chosen over rejected, and the share of pairs whose chosen answer has the larger reward. For
    preferences the same, with reward = beta * log-ratio of model and start model, and the drift
    from the start model: the mean of -log-ratio over both answers of a pair in nats per answer.
    Drift estimates KL(start || model) without bias where the answers are the start model's own
    samples, and not otherwise; where the model likes the answers better than its start did, it is
    negative.

    Args:
        metrics: `history`, as the trainer logged it, and `options` with `beta`.

    Example:
        >>> told = {"step": 1, "loss": 0.5, "rewards/chosen": -0.1, "rewards/rejected": -0.3}
        >>> plots = plots_of({"history": [told], "options": {"beta": 0.1}})
        >>> [(plot.title, plot.series) for plot in plots][-1]
        ('drift from the start, nats per answer', [('training', [(1.0, 2.0)])])
    """
    history = metrics.get("history") or []
    beta = (metrics.get("options") or {}).get("beta") or 0.1
    wanted: dict[str, Callable[[Mapping[str, Any], str], float | None]] = {
        "loss": lambda one, of: one.get(f"{of}loss"),
        "reward margin": lambda one, of: one.get(f"{of}rewards/margins", one.get(f"{of}margin")),
        "share of pairs preferred rightly": lambda one, of: one.get(
            f"{of}rewards/accuracies", one.get(f"{of}accuracy")
        ),
        "drift from the start, nats per answer": lambda one, of: _drift(one, of, beta),
    }
    plots = []
    for title, value in wanted.items():
        series = []
        for of, name in (("", "training"), ("eval_", "held-out rows")):
            points = [
                (float(one["step"]), float(found))
                for one in history
                if "step" in one and (found := value(one, of)) is not None
            ]
            if points:
                series.append((name, points))
        if series:
            plots.append(Plot(title, series))
    return plots


def _drift(one: Mapping[str, Any], of: str, beta: float) -> float | None:
    rewards = [one.get(f"{of}rewards/{side}") for side in ("chosen", "rejected")]
    if any(reward is None for reward in rewards):
        return None
    return -sum(float(reward) for reward in rewards if reward is not None) / (2 * beta)


def drawn_plots(plots: Sequence[Plot], of: str) -> list[str]:
    """Each plot as SVG."""
    colours = (svg.BLUE, svg.ORANGE)
    return [
        svg.lines(
            [(name, colours[i], points) for i, (name, points) in enumerate(plot.series)],
            f"{plot.title.capitalize()} of {of}",
            x_name=f"{plot.title}, by optimiser step",
        )
        for plot in plots
    ]


def drawn(metrics: Mapping[str, Any], of: str) -> str:
    """All plots, one under the other, as an SVG file."""
    plots = drawn_plots(plots_of(metrics), of)
    placed = "".join(
        plot.replace("<svg ", f'<svg y="{_HEIGHT * i}" ', 1) for i, plot in enumerate(plots)
    )
    size = f'width="{svg.HALF}" height="{_HEIGHT * len(plots)}"'
    font = 'font-family="sans-serif"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>{placed}</svg>\n'
