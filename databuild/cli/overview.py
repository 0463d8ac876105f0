"""`databuild status` and `databuild env`: what was run here, and what this machine can run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from databuild.cli import asking, telling
from databuild.cli.application import command

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType


@command(
    "status",
    "Say what was run here and where the rows went.",
    ["databuild status", "databuild status --recipe quickstart", "databuild status --json"],
)
def status(
    recipe: asking.RecipeName = None,
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Say which recipes were run here, how the last run ended, and where its rows went.

    The table has a line per step: rows in, out, dropped and failed, and the commonest reasons.
    """
    from databuild.api import recipes_in
    from databuild.api import status as manifests_of
    from databuild.engine.store import Store

    names = [asking.recipe_name(runs, recipe)] if recipe else recipes_in(runs)
    if not names:
        asking.recipe_name(runs, None)  # raises, and says what to do
    told: dict[str, Any] = {}
    shown: list[RenderableType] = []
    for name in names:
        latest = Store(runs, name).latest()
        manifests = manifests_of(name, runs=runs)
        told[name] = {
            "run": latest["run"],
            "status": latest["status"],
            "folder": str(runs / name),
            "steps": {step: _plain(manifest) for step, manifest in manifests.items()},
        }
        shown += _overview(runs, name, latest, manifests)
    if as_json:
        telling.write_json({"runs": str(runs), "recipes": told})
        return
    telling.say(*shown)


def _plain(manifest: Any) -> dict[str, Any]:
    rows = manifest.rows.model_dump()
    return {
        "use": manifest.use,
        "status": manifest.status,
        "seconds": manifest.seconds,
        "rows": rows,
        "usage": {name: usage.model_dump() for name, usage in manifest.usage.items()},
        "stopped": manifest.stopped,
    }


def _overview(
    runs: Path, name: str, latest: dict[str, Any], manifests: Any
) -> list[RenderableType]:
    from rich.text import Text

    colour = {"complete": "green", "running": "cyan"}.get(latest["status"], "yellow")
    head = Text.assemble(
        (name, "bold"), f"  last run {latest['run']}: ", (latest["status"], colour)
    )
    made = telling.table(
        "step",
        "in",
        "out",
        "dropped",
        "failed",
        "time",
        "lost because",
        left=("step", "lost because"),
    )
    for step, manifest in manifests.items():
        rows = manifest.rows
        reasons = "; ".join(
            f"{n} {telling.clipped(why, 40)}" for why, n in [*rows.by_reason.items()][:2]
        )
        unfinished = "" if manifest.status == "complete" else " (unfinished)"
        made.add_row(
            Text(step + unfinished, "" if not unfinished else "yellow"),
            telling.number(rows.rows_in), telling.number(rows.rows_out),
            telling.number(rows.dropped), telling.number(rows.failed),
            telling.seconds(manifest.seconds), Text(manifest.stopped or reasons),
        )  # fmt: skip
    report = runs / name / "report.html"
    foot = [Text(f"Report: {report}")] if report.exists() else []
    return [head, made, *foot, Text()]


@command(
    "env", "Say what is installed and what is missing.", ["databuild env", "databuild env --json"]
)
def env(
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Say what this machine has, which extras are installed, and how to get those that are not."""
    from databuild.cli.environment import environment, render

    found = environment(runs)
    if as_json:
        telling.write_json(asdict(found))
        return
    telling.say(render(found))
