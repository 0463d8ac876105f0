"""The closing summary of a run, for a person and for a program."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from databuild.cli import telling
from databuild.report.findings import Findings, Promotion, Verdict, find
from databuild.report.ledger import ledger_of

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType
    from rich.table import Table

    from databuild.engine.run import Ran, RunResult


def as_plain(result: RunResult, runs: Path, report: Path | None, trouble: str) -> dict[str, Any]:
    """The whole outcome as plain values."""
    findings = find(result.recipe, runs)
    best = findings.best_model
    return {
        "recipe": result.recipe,
        "run": result.run,
        "folder": result.folder,
        "seconds": round(result.seconds, 2),
        "steps": [_plain_step(step) for step in result.steps],
        "promotions": [{**asdict(one), "rows": dict(one.rows)} for one in findings.promotions],
        "verdicts": {one.part: dict(one.facts) for one in findings.verdicts},
        "fluency": {step.name: step.manifest.metrics for step in findings.fluency},
        "contamination": findings.contamination,
        "exports": {step.name: str(step.folder) for step in findings.exports},
        "best_model": {"identity": best[0], "folder": str(best[1] or "")} if best else None,
        "report": str(report) if report else None,
        "report_trouble": trouble or None,
    }


def summary(
    result: RunResult, runs: Path, report: Path | None, trouble: str
) -> list[RenderableType]:
    """The outcome in 80 columns: steps, decisions, verdicts, and where everything lies."""
    findings = find(result.recipe, runs)
    cached = sum(step.cached for step in result.steps)
    n_steps = len(result.steps)
    head = f"{result.recipe}: {n_steps} steps in {telling.seconds(result.seconds)}"
    pieces: list[RenderableType] = [
        "",
        f"{head}, {cached} of them cached." if cached else f"{head}.",
    ]
    if cached < n_steps:
        pieces += ["", _steps(result.steps)]
    if findings.contamination:
        pieces += ["", *findings.contamination]
    if findings.promotions:
        pieces += ["", "Rounds, on dev", *map(_promotion, findings.promotions)]
    if findings.verdicts:
        pieces += ["", "Held out: the first model -> the best, 95 % intervals over prompts"]
        pieces += [line for verdict in findings.verdicts for line in _verdict(verdict)]
    pieces += [line for step in findings.fluency for line in _fluency(step.manifest.metrics)]
    pieces += _asked(result.recipe, runs)
    return [*pieces, *_places(findings, report, trouble)]


def _plain_step(step: Ran) -> dict[str, Any]:
    manifest = step.manifest
    return {
        "step": step.name,
        "use": step.use,
        "status": "cached" if step.cached else "done",
        "rows": manifest.rows.model_dump(),
        "seconds": round(manifest.seconds, 2),
        "folder": step.folder,
    }


def _steps(steps: list[Ran]) -> Table:
    from rich.text import Text

    made = telling.table("step", "in", "out", "dropped", "failed", "time", "", left=("step", ""))
    for step in steps:
        rows = step.manifest.rows
        style = "dim" if step.cached else ""
        made.add_row(
            Text(step.name, style), telling.number(rows.rows_in), telling.number(rows.rows_out),
            Text(telling.number(rows.dropped)), Text(telling.number(rows.failed), "red"),
            telling.seconds(step.manifest.seconds), Text("cached" if step.cached else "", style),
        )  # fmt: skip
    return made


def _promotion(one: Promotion) -> RenderableType:
    from rich.text import Text

    word = ("promoted", "green") if one.is_promoted else ("not promoted", "yellow")
    return Text.assemble(
        f"  round {one.round}: {one.metric} best {telling.percent(one.best)}, candidate "
        f"{telling.percent(one.candidate)} ({100 * one.gain:+.1f}, {one.n_prompts} prompts): ",
        word,
        *(f"\n    {why}" for why in one.refused),
    )


def _verdict(one: Verdict) -> list[str]:
    facts = one.facts
    gain, tokens = facts["difference"], facts.get("reply_tokens") or {}
    sure = "excludes" if facts["excludes_zero"] else "does not exclude"
    lines = [
        f"  {one.part}: {facts['metric']} {interval(facts['base'])} -> {interval(facts['model'])}",
        f"    difference {100 * gain['mean']:+.1f} [{100 * gain['low']:+.1f}, "
        f"{100 * gain['high']:+.1f}] points, {sure} zero; {facts['n_prompts']} prompts",
    ]
    if won := facts.get("win_rate"):
        lines.append(f"    wins {interval(won)} (ties half), p = {facts['p_value']:.3g}")
    if tokens:
        lines.append(f"    reply length {tokens['base']:.0f} -> {tokens['model']:.0f} tokens")
    if repeated := facts.get("repetition"):
        shares = [telling.percent(repeated[who]) for who in ("base", "model")]
        lines.append(f"    repeated 3-grams {shares[0]} -> {shares[1]}")
    if lost := facts.get("worse_in"):
        lines.append(f"    worse in: {', '.join(lost)}")
    return lines


def interval(facts: dict[str, float]) -> str:
    """A mean with its interval.

    Example:
        >>> interval({"mean": 0.35, "low": 0.285, "high": 0.415})
        '35.0 % [28.5, 41.5]'
    """
    return f"{telling.percent(facts['mean'])} [{100 * facts['low']:.1f}, {100 * facts['high']:.1f}]"


def _asked(recipe: str, runs: Path) -> list[str]:
    """One line on what asking models has cost, where one was asked."""
    total = ledger_of(recipe, runs).total
    usage = total.usage
    if not usage.paid + usage.reused:
        return []
    cost = "" if total.cost is None else f", cost {total.cost:.4g}"
    reused = f"; {usage.reused:,} answers were in the journal" if usage.reused else ""
    paid = f"{usage.paid:,} answers, {usage.tokens_in:,} tokens in, {usage.tokens_out:,} out{cost}"
    return ["", f"Asked of models: {paid}{reused}. More: databuild ledger"]


def _fluency(facts: dict[str, Any]) -> list[str]:
    told = facts["perplexity"]
    if told["base"] is None or told["model"] is None:
        return ["  perplexity: no text could be read"]
    return [f"  perplexity on ordinary text {told['base']:.2f} -> {told['model']:.2f}"]


def _places(findings: Findings, report: Path | None, trouble: str) -> list[RenderableType]:
    """One path a line, never wrapped or cut, so that it can be copied."""
    from rich.text import Text

    best = findings.best_model
    lines = [("data set", f"{step.folder}") for step in findings.exports]
    if best:
        lines.append(("best model", str(best[1]) if best[1] else f"{best[0]} (not beaten)"))
    if report:
        lines.append(("report", str(report)))
    texts = [
        Text(f"{label + ':':<12}{path}", no_wrap=True, overflow="ignore") for label, path in lines
    ]
    if trouble:
        texts.append(Text(f"No report: {trouble}"))
    return [Text(), *texts] if texts else []
