"""What a version must pass before it is released."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from databuild.release.versions import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import polars as pl

    from databuild.engine.lineage import Runs

NAMES = ("leak", "shortfall", "contamination", "personal", "licence", "preview")


def gates(
    prompts: Mapping[str, Mapping[str, pl.Series | None]],
    personal: Mapping[str, int],
    runs: Runs,
    behind: set[str],
    licence: Mapping[str, str | None],
    *,
    needs_licence: bool,
) -> Iterator[Gate]:
    """Say of each gate whether it is passed, and what was found.

    Args:
        prompts: The prompts of each split of each configuration.
        personal: How many released rows have spans in each `<column>_pii` that they have.
        runs: The finished steps.
        behind: The steps that the released rows came through.
        licence: The licence of each source, None where it is unknown.
        needs_licence: An unknown licence is a fault.
    """
    leak, of_people = data_gates(prompts, personal)
    yield leak
    short = {n: runs.manifests[n].metrics.get("shortfall") for n in sorted(behind)}
    told = [f"{name}: {one[0]['of']} has {one[0]['got']} of {one[0]['wanted']}"
            for name, one in short.items() if one]  # fmt: skip
    yield Gate(name="shortfall", passed=not told, told="; ".join(told) or "none")
    checked = [n for n in sorted(behind) if runs.manifests[n].use == "dedup.contamination"]
    cards = [str(runs.manifests[n].metrics.get("card", n)) for n in checked]
    yield Gate(
        name="contamination", passed=True if cards else None,
        told=" ".join(cards) or "no step dedup.contamination is behind these rows",
    )  # fmt: skip
    yield of_people
    limits = [n for name in behind if (n := runs.manifests[name].key_parts.get("limit"))]
    said = f"of a run with --limit {limits[0]}" if limits else "of a whole run"
    yield Gate(name="preview", passed=not limits, told=said)
    unknown = sorted(name for name, one in licence.items() if one is None)
    said = f"unknown of {', '.join(unknown)}" if unknown else "known of every source"
    yield Gate(name="licence", passed=not (unknown and needs_licence), told=said)


def data_gates(
    prompts: Mapping[str, Mapping[str, pl.Series | None]], personal: Mapping[str, int]
) -> tuple[Gate, Gate]:
    """The gates that look at the rows alone: `leak` and `personal`."""
    spans = [f"{n:,} rows with spans in {column}" for column, n in personal.items() if n]
    said = f"none in {', '.join(personal)}" if personal else "no step measure.pii is behind them"
    passed = not spans if personal else None
    return _leak(prompts), Gate(name="personal", passed=passed, told="; ".join(spans) or said)


def withdrawn(ids: pl.Series, forbidden: pl.Series) -> Gate:
    """Whether a row that was withdrawn is back; nothing can allow that.

    Args:
        ids: The released rows and all that they came from.
        forbidden: What was withdrawn from earlier versions.
    """
    n = int(ids.is_in(forbidden.implode()).sum())
    said = "none is back" if len(forbidden) else "nothing was withdrawn so far"
    told = f"{n:,} rows that were withdrawn are back, or rows made of them" if n else said
    return Gate(name="withdrawn", passed=not n, told=told)


def _leak(prompts: Mapping[str, Mapping[str, pl.Series | None]]) -> Gate:
    """Whether two splits of one configuration hold an equal prompt."""
    shared = []
    for config, splits in prompts.items():
        there = {split: texts for split, texts in splits.items() if texts is not None}
        for (a, left), (b, right) in combinations(sorted(there.items()), 2):
            n = left.unique().is_in(right.unique().implode()).sum()
            if n:
                shared.append(f"{n:,} prompts of {config}/{a} also stand in {config}/{b}")
    return Gate(name="leak", passed=not shared, told="; ".join(shared) or "none between splits")
