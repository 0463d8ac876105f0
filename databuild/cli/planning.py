"""`databuild check` and `databuild plan`: what is asked, and what it would do."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command

if TYPE_CHECKING:
    from rich.table import Table

    from databuild.engine.plan import Planned

_COLOURS = {"cached": "dim", "run": "green", "resume": "yellow", "retry": "yellow", "later": "cyan"}
ShowWhy = Annotated[
    bool, typer.Option("--why", help="Say of every step why it will run; list what changed.")
]


@command(
    "check",
    "Check a recipe without running it.",
    ["databuild check", "databuild check recipes/quickstart.yaml answers.k=8"],
)
def check(words: asking.Words = None, as_json: asking.AsJson = False) -> None:
    """Check a recipe without running anything.

    Every step, option, column, input, model and file is looked up. What is wrong is told with
    file, line and the nearest known name.
    """
    from databuild.api import check as check_recipe

    path, overrides = asking.recipe_and_overrides(words)
    checked = check_recipe(path, overrides)
    rounds = checked.recipe.flywheel.rounds if checked.recipe.flywheel else 0
    if as_json:
        steps = [
            {"step": node.name, "use": node.use, "round": node.round} for node in checked.nodes
        ]
        told = {"recipe": checked.recipe.name, "path": str(path), "rounds": rounds, "steps": steps}
        telling.write_json(told)
        return
    around = f" in {rounds} round{'s' * (rounds > 1)}" if rounds else ""
    telling.say(
        f"{path}: recipe {checked.recipe.name!r} is right: {len(checked.nodes)} steps{around}.",
        f"Next: databuild plan {path}",
    )


@command(
    "plan",
    "List every step of a run, without running it.",
    ["databuild plan", "databuild plan recipe.yaml answers.k=8 --why", "databuild plan --limit 20"],
)
def plan(
    words: asking.Words = None,
    why: ShowWhy = False,
    runs: asking.RunsFolder = asking.RUNS,
    limit: asking.Limit = None,
    as_json: asking.AsJson = False,
) -> None:
    """Say what a run would do, step by step, without doing it.

    Rounds are unrolled. `cached` is done and taken as it is; `run` will run; `resume` was
    interrupted and goes on; `retry` asks its failed requests again; `later` cannot be known before
    other steps are done.
    """
    from databuild.api import plan as plan_recipe

    path, overrides = asking.recipe_and_overrides(words)
    steps = plan_recipe(path, overrides, runs=runs, limit=limit)
    if as_json:
        telling.write_json({"steps": [asdict(step) for step in steps]})
        return
    counts = Counter(step.status for step in steps)
    told = ", ".join(f"{n} {status}" for status, n in counts.items())
    telling.say(_table(steps, why=why), f"\n{len(steps)} steps: {told}.")


def _table(steps: list[Planned], *, why: bool) -> Table:
    from rich.text import Text

    known = any(step.rows is not None for step in steps)
    numbers = ("rows", "seconds") if known else ()
    made = telling.table(
        "step", "use", "status", *numbers, *(("why",) if why else ()),
        left=("step", "use", "status", "why"),
    )  # fmt: skip
    for step in steps:
        cells = [Text(step.name), Text(step.use), Text(step.status, _COLOURS[step.status])]
        if known:
            rows = "" if step.rows is None else f"{step.rows:,}"
            cells += [Text(rows), Text(telling.seconds(step.seconds))]
        made.add_row(*cells, *([Text(step.reason)] if why else ()))
    return made
