"""The plots of a card: small SVG files beside it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from databuild.pages import svg
from databuild.release.card import data_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from databuild.release.versions import Version

_MOST_BARS = 15
_MOST_STRATA = 3


def write_plots(version: Version, folder: Path) -> list[Path]:
    """Write `plots/*.svg`: the lengths and the strata of each configuration."""
    place = folder / "plots"
    written = []
    for name, drawn in plots(version):
        place.mkdir(exist_ok=True)
        path = place / f"{name}.svg"
        path.write_text(standalone(drawn), encoding="utf-8")
        written.append(path)
    return written


def plots(version: Version) -> Iterator[tuple[str, str]]:
    """Each plot's name and its SVG."""
    for config, told in data_of(version).items():
        if len(told.get("chars") or {}) > 1:
            yield f"{config}-lengths", _lengths(config, told)
        strata = sorted((told.get("strata") or {}).items(), key=lambda one: one[0] != "strength")
        for name, values in [one for one in strata if len(one[1]) > 1][:_MOST_STRATA]:
            rows = [(value[:30], float(n)) for value, n in list(values.items())[:_MOST_BARS]]
            title = f"{config}: rows by {name}"
            safe = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
            yield f"{config}-{safe}", svg.bars(rows, title, tell=svg.plain)


def standalone(drawn: str) -> str:
    """An SVG element as a file of its own, on white so that it is read in a dark page too."""
    head = '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" '
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    begun = drawn.replace("<svg ", head, 1)
    return begun.replace(">", f">{ground}", 1) + "\n"


def _lengths(config: str, told: Mapping[str, Any]) -> str:
    powers = {int(power): n for power, n in told["chars"].items()}
    bins = range(min(powers), max(powers) + 1)
    values = [float(powers.get(power, 0)) for power in bins]
    edges = [_short(2**power) for power in [*bins, bins[-1] + 1]]
    title = f"{config}: rows by length of {told['text']}"
    return svg.grouped_bars(
        [f"{a} to {b}" for a, b in pairwise(edges)],
        [("rows", svg.BLUE, values)], title,
        x_name=f"{config}: characters of {told['text']}", edges=edges,
    )  # fmt: skip


def _short(n: int) -> str:
    return f"{n // 1024}k" if n >= 1024 else str(n)
