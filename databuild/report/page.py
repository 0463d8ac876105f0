"""`report.html`: one self-contained page about a recipe's last run."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from databuild.errors import StoreError
from databuild.pages import svg
from databuild.pages.writing import load, write_page
from databuild.report import numbers
from databuild.report.findings import Findings, find
from databuild.report.ledger import ledger_of
from databuild.schema.identity import digest_text
from databuild.schema.rows import STRENGTHS
from databuild.train import curves

if TYPE_CHECKING:
    from databuild.report.findings import Finished
    from databuild.report.numbers import Histogram

_SLOWEST = 15
_REASONS = 3
_HEAD_CHARS = 400
TEMPLATE = "report.html.j2"


def write_report(recipe: str, runs: str | Path = "runs") -> Path:
    """Write `<runs>/<recipe>/report.html` about the last run, from its files alone.

    Args:
        recipe: The recipe's name.
        runs: The runs folder.

    Returns:
        The page's path.

    Raises:
        ServiceError: jinja2 is not installed.
        StoreError: No step of the recipe was run here, or the page cannot be written.
    """
    template = load("databuild.report", TEMPLATE)
    findings = find(recipe, Path(runs))
    if not findings.steps:
        what = "no step of this recipe was run here"
        raise StoreError(str(Path(runs) / recipe), what, fix="run it, or name its runs folder")
    page = template.render(content(findings))
    path = Path(runs) / recipe / "report.html"
    write_page(path, page)
    return path


def is_current(recipe: str, runs: str | Path = "runs") -> bool:
    """Whether `report.html` is there and tells of the same step folders as the last run."""
    path = Path(runs) / recipe / "report.html"
    if not path.is_file():
        return False
    with path.open(encoding="utf-8") as page:
        return _stamp(find(recipe, Path(runs))) in page.read(_HEAD_CHARS)


def content(findings: Findings) -> dict[str, Any]:
    """Everything that the page says, by section."""
    return {
        "findings": findings,
        "stamp": _stamp(findings),
        "written": datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        "machine": _machine(findings),
        "verdicts": findings.verdicts,
        "verdict_plot": _verdict_plot(findings),
        "fluency": findings.fluency,
        "rounds": _rounds(findings),
        "round_plots": _round_plots(findings),
        "accounts": [_account(step) for step in findings.steps],
        "pair_plots": _pair_plots(findings),
        "score_plots": [_drawn(h, h.column) for h in numbers.score_histograms(findings)],
        "training": _training(findings),
        "time_plot": _time_plot(findings),
        "total_s": sum(step.manifest.seconds for step in findings.steps),
        "ledger": ledger_of(findings.recipe, findings.runs),
        "tokens": sum(step.manifest.rows.tokens_out for step in findings.steps),
        "options": [_options(step) for step in findings.steps],
        "models": _models(findings),
        "places": _places(findings),
    }


def _stamp(findings: Findings) -> str:
    """Stands for which step folders a page is about."""
    return digest_text(version("databuild"), *(step.folder.name for step in findings.steps))


def _machine(findings: Findings) -> dict[str, str]:
    manifest = findings.steps[-1].manifest
    return {
        "databuild": manifest.databuild or version("databuild"),
        **{name: str(value) for name, value in manifest.machine.items()},
    }


def _verdict_plot(findings: Findings) -> str:
    rows = []
    for verdict in findings.verdicts:
        for who, colour in (("base", svg.GREY), ("model", svg.BLUE)):
            told = verdict.facts[who]
            label = f"{verdict.part}, {'first model' if who == 'base' else 'best model'}"
            rows.append((label, colour, told["mean"], told["low"], told["high"]))
    return svg.intervals(rows, "Held-out means with 95 % intervals") if rows else ""


def _rounds(findings: Findings) -> list[dict[str, Any]]:
    return [
        {
            "promotion": one,
            "candidate_tokens": numbers.reply_tokens(findings, one.rows.get("rows", "")),
            "best_tokens": numbers.reply_tokens(findings, one.rows.get("best_rows", "")),
        }
        for one in findings.promotions
    ]


def _round_plots(findings: Findings) -> list[str]:
    rounds = _rounds(findings)
    if not rounds:
        return []
    names = [f"round {one['promotion'].round}" for one in rounds]
    metric = rounds[0]["promotion"].metric
    shares = all(
        0 <= v <= 1 for o in rounds for v in (o["promotion"].best, o["promotion"].candidate)
    )
    scores = [
        ("best so far", svg.GREY, [one["promotion"].best for one in rounds]),
        ("candidate", svg.BLUE, [one["promotion"].candidate for one in rounds]),
    ]
    tell = svg.percent if shares else svg.plain
    plots = [
        svg.grouped_bars(names, scores, f"{metric} on dev", tell=tell, x_name=f"{metric} on dev")
    ]
    if all(
        one["best_tokens"] is not None and one["candidate_tokens"] is not None for one in rounds
    ):
        tokens = [
            ("best so far", svg.GREY, [round(one["best_tokens"], 1) for one in rounds]),
            ("candidate", svg.BLUE, [round(one["candidate_tokens"], 1) for one in rounds]),
        ]
        plots.append(
            svg.grouped_bars(
                names, tokens, "Reply length", x_name="mean reply length on dev, tokens"
            )
        )
    return plots


def _account(step: Finished) -> dict[str, Any]:
    manifest = step.manifest
    reasons = list(manifest.rows.by_reason.items())[:_REASONS]
    return {
        "name": step.name, "use": manifest.use, "rows": manifest.rows, "seconds": manifest.seconds,
        "is_complete": manifest.status == "complete", "reasons": reasons,
        "more": max(0, len(manifest.rows.by_reason) - _REASONS), "is_table": manifest.n_parts > 0,
    }  # fmt: skip


def _pair_plots(findings: Findings) -> list[str]:
    told = numbers.strengths(findings)
    if not told:
        return []
    names = [name.removesuffix(" better").removesuffix("ly") for name in STRENGTHS]
    series = [
        (step, svg.COLOURS[i % len(svg.COLOURS)], counts) for i, (step, counts) in enumerate(told)
    ]
    plots = [svg.grouped_bars(names, series, "Pairs by strength", x_name="pairs by strength")]
    margins = numbers.margin_histogram(findings)
    return [*plots, _drawn(margins, "margin of chosen over rejected")] if margins else plots


def _drawn(found: Histogram, x_name: str) -> str:
    series = [
        (step, svg.COLOURS[i % len(svg.COLOURS)], counts)
        for i, (step, counts) in enumerate(found.series)
    ]
    edges = [svg.plain(edge) for edge in found.edges]
    title = f"Distribution of {x_name}"
    return svg.grouped_bars(found.bins, series, title, x_name=x_name, edges=edges)


def _training(findings: Findings) -> list[dict[str, Any]]:
    told = []
    for step in findings.of("train."):
        metrics = step.manifest.metrics
        facts = {
            name: metrics[name]
            for name in (
                "rows_used",
                "steps",
                "train_loss",
                "best_eval_loss",
                "best_step",
                "stopped_early",
                "resumed_from_step",
                "dtype",
                "device",
            )
            if metrics.get(name) not in (None, False)
        }
        plot = "".join(curves.drawn_plots(curves.plots_of(metrics), step.name))
        told.append({"name": step.name, "use": step.manifest.use, "plot": plot, "facts": facts})
    return told


def _time_plot(findings: Findings) -> str:
    rows = sorted(((s.manifest.seconds, s.name) for s in findings.steps), reverse=True)[:_SLOWEST]
    rows = [(seconds, name) for seconds, name in rows if seconds > 0]
    return (
        svg.bars([(name, s) for s, name in rows], "Seconds per step", tell=_seconds) if rows else ""
    )


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"


def _options(step: Finished) -> dict[str, Any]:
    manifest = step.manifest
    facts = {"inputs": manifest.inputs, "seed": manifest.seed, "key": manifest.key}
    if manifest.model is not None:
        facts["model"] = manifest.model.identity
    if manifest.kind in {"measure", "select", "produce"}:
        facts["reported"] = manifest.metrics
    told = {**{k: v for k, v in facts.items() if v not in (None, {})}, "options": manifest.config}
    return {
        "name": step.name,
        "use": manifest.use,
        "told": json.dumps(told, indent=1, ensure_ascii=False, default=str),
    }


def _models(findings: Findings) -> list[tuple[str, str]]:
    """The models that the run began with, then those that it made or chose."""
    made = [(s.name, s.manifest.model.identity) for s in findings.steps if s.manifest.model]
    known = {identity for _, identity in made}
    asked = [one for s in findings.steps for one in s.manifest.key_parts.get("models", {}).values()]
    given = [("at the start", one) for one in dict.fromkeys(asked) if one not in known]
    return [*given, *made]


def _places(findings: Findings) -> list[tuple[str, str]]:
    places = [(f"data set {step.name}", step.folder.name) for step in findings.exports]
    best = findings.best_model
    if best:
        where = os.path.relpath(best[1], findings.runs / findings.recipe) if best[1] else best[0]
        places.append(("best model", where))
    return places
