"""The numbers behind the report's plots, read from the tables of the last run, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

from databuild.engine.store import part_path
from databuild.schema.rows import STRENGTHS

if TYPE_CHECKING:
    from databuild.report.findings import Findings, Finished

_BINS = 10
_MOST_ROUNDS = 4


@dataclass(frozen=True)
class Histogram:
    """Counts of values in equal bins, one series per step."""

    column: str
    edges: tuple[float, ...]
    series: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def bins(self) -> list[str]:
        """The bins, by both edges."""
        return [f"{low:.2g} to {high:.2g}" for low, high in pairwise(self.edges)]


def column(step: Finished, *names: str) -> pl.DataFrame | None:
    """Columns of what a step itself stored; None where it stored nothing of that name."""
    parts = [part_path(step.folder, index) for index in range(step.manifest.n_parts)]
    if not parts or any(name not in step.manifest.columns for name in names):
        return None
    return (
        pl.scan_parquet(parts, missing_columns="insert", extra_columns="ignore")
        .select(names)
        .collect()
    )


def score_histograms(findings: Findings) -> list[Histogram]:
    """The scores that `reward.*` steps gave to the candidates of each round, per score."""
    scored = [step for step in findings.of("reward.") if _is_candidates(step)][-_MOST_ROUNDS:]
    names = {n for s in scored for n in s.manifest.columns if n.endswith("_score")}
    return [found for name in sorted(names) if (found := _histogram(scored, name))]


def margin_histogram(findings: Findings) -> Histogram | None:
    """The margins of the graded pairs of each round."""
    return _histogram(findings.of("pairs.graded")[-_MOST_ROUNDS:], "margin")


def strengths(findings: Findings) -> list[tuple[str, list[int]]]:
    """How many pairs of each strength each step made, strongest first."""
    told = []
    for step in findings.of("pairs.graded")[-_MOST_ROUNDS:]:
        rows = column(step, "strength")
        if rows is not None:
            counts = dict(rows.group_by("strength").len().iter_rows())
            told.append((step.name, [int(counts.get(name, 0)) for name in STRENGTHS]))
    return told


def reply_tokens(findings: Findings, reference: str) -> float | None:
    """The mean reply length of an exam, in tokens, given a reference to one of its later steps."""
    by_name = {step.name: step for step in findings.steps}
    name = reference.partition(".")[0]
    while name in by_name:
        step = by_name[name]
        rows = column(step, "completion_tokens")
        if rows is not None:
            mean = rows["completion_tokens"].mean()
            return float(mean) if isinstance(mean, int | float) else None
        name = next(iter(step.manifest.inputs.values()), "").partition(".")[0]
    return None


def _is_candidates(step: Finished) -> bool:
    """Whether a step is of a round (`scored@2`) and no exam (`marks@2-best`), or of no round."""
    _, at, tag = step.name.partition("@")
    return not at or tag.isdigit()


def _histogram(steps: list[Finished], name: str) -> Histogram | None:
    tables: list[tuple[str, pl.Series]] = []
    for step in steps:
        rows = column(step, name)
        known = rows[name].drop_nulls().cast(pl.Float64) if rows is not None else pl.Series()
        known = known.filter(known.is_finite()) if known.len() else known
        if known.len():
            tables.append((step.name, known))
    if not tables:
        return None
    everything = pl.concat([values for _, values in tables])
    low, high = float(everything.min()), float(everything.max())  # type: ignore[arg-type]
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    size = (high - low) / _BINS or 1.0
    series = []
    for title, values in tables:
        numbers = ((values - low) / size).floor().clip(0, _BINS - 1).cast(pl.Int64)
        counts = dict(numbers.value_counts().iter_rows())
        series.append((title, tuple(int(counts.get(index, 0)) for index in range(_BINS))))
    edges = tuple(low + size * index for index in range(_BINS + 1))
    return Histogram(name, edges, tuple(series))
