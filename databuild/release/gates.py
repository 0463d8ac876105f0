"""What a version must pass before it is released."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from databuild.release.about import agreement
from databuild.release.contents import steps_behind
from databuild.release.licences import combine, refusals
from databuild.release.versions import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import polars as pl

    from databuild.engine.lineage import Runs
    from databuild.recipe.model import Release
    from databuild.release.contents import Tables

NAMES = ("leak", "shortfall", "contamination", "personal", "agreement", "licence", "preview")


def gates(
    prompts: Mapping[str, Mapping[str, pl.Series | None]],
    personal: Mapping[str, int],
    runs: Runs,
    tables: Tables,
    release: Release,
    licence: Mapping[str, str | None],
) -> Iterator[Gate]:
    """Say of each gate whether it is passed, and what was found.

    Args:
        prompts: The prompts of each split of each configuration.
        personal: How many released rows have spans in each `<column>_pii` that they have.
        runs: The finished steps.
        tables: What is released.
        release: What the recipe says.
        licence: The licence of each source, None where it is unknown.
    """
    behind = steps_behind(runs, tables)
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
    yield _agreement(runs, tables)
    limits = [n for name in behind if (n := runs.manifests[name].key_parts.get("limit"))]
    said = f"of a run with --limit {limits[0]}" if limits else "of a whole run"
    yield Gate(name="preview", passed=not limits, told=said)
    yield _licence(release, licence)


def _agreement(runs: Runs, tables: Tables) -> Gate:
    """Whether it is known how far the people agree whose votes each table rests on.

    Of every step `annotate.pull` behind a table there must be an alpha: of an `annotate.gate` that
    the votes went through, or of an `annotate.agreement` on them. A gate's limit was kept, or the
    run would have stopped.
    """
    stated: dict[str, None] = {}
    missing: dict[str, None] = {}
    for config, splits in tables.items():
        behind = steps_behind(runs, {config: splits})
        found = [one for one in agreement(runs, behind) if one["alpha"] is not None]
        for pull in sorted(n for n in behind if runs.manifests[n].use == "annotate.pull"):
            of = [one for one in found if pull in one["votes"]]
            if not of:
                missing[
                    f"nobody knows how far the voters of {pull} agree, on whom {config} rests"
                ] = None
            for one in of:
                stated[f"{one['step']}: {in_words(one)}"] = None
    if not stated and not missing:
        return Gate(
            name="agreement", passed=None, told="no step annotate.pull is behind these rows"
        )
    return Gate(name="agreement", passed=not missing, told="; ".join([*missing, *stated]))


def in_words(one: Mapping[str, object]) -> str:
    """An alpha with its interval and its limit.

    Example:
        >>> in_words({"alpha": 0.426, "low": 0.21, "high": 0.62, "n_units": 48, "least": None})
        'alpha 0.43 [0.21, 0.62] over 48 records, no limit asked for'
    """
    between = f" [{one['low']:.2f}, {one['high']:.2f}]" if one.get("low") is not None else ""
    least = one.get("least")
    asked = "no limit asked for" if least is None else f"at least {least:g} asked for"
    return f"alpha {one['alpha']:.2f}{between} over {one['n_units']:,} records, {asked}"


def _licence(release: Release, licence: Mapping[str, str | None]) -> Gate:
    """Whether a licence that is asked for is missing, or one that is refused is there."""
    found = combine(licence)
    missing = sorted(name for name, one in licence.items() if one is None)
    wrong = [f"unknown of {', '.join(missing)}"] if missing and release.needs_licence else []
    wrong += [f"refused: {one}" for one in refusals(licence, release.refuse_licences)]
    told = [*(f"unknown of {one}" for one in found.unknown), *found.conflicts]
    if found.strictest:
        told.append(f"strictest together: {' and '.join(found.strictest)}")
    return Gate(name="licence", passed=not wrong, told="; ".join(wrong or told) or "no source")


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
        there = {
            split: texts.alias("prompt").to_frame().unique()
            for split, texts in splits.items()
            if texts is not None
        }
        for (a, left), (b, right) in combinations(sorted(there.items()), 2):
            n = left.join(right, on="prompt", how="semi").height
            if n:
                shared.append(f"{n:,} prompts of {config}/{a} also stand in {config}/{b}")
    return Gate(name="leak", passed=not shared, told="; ".join(shared) or "none between splits")
