"""`databuild ledger`: what the models of a run were asked, what it cost, what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databuild.cli import asking, telling
from databuild.cli.application import command

if TYPE_CHECKING:
    from databuild.report.ledger import Entry

_NAME_CHARS = 28


@command(
    "ledger",
    "Say what asking models has cost.",
    ["databuild ledger", "databuild ledger --recipe quickstart --json"],
)
def ledger(
    recipe: asking.RecipeName = None,
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Say what each step of the last run asked of each model: requests, tokens, seconds, cost.

    Paid is what the step asked itself, in this run or an earlier one; reused what was in the
    journal already. The cost follows from `prices` in the recipe, and is unknown (?) without them.
    Accepted is the share of the rows made that still count at the end.
    """
    from databuild.api import ledger as ledger_of

    found = ledger_of(asking.recipe_name(runs, recipe), runs=runs)
    rounds = [one for one in found.by("round") if one.round]
    models = found.by("model")
    if as_json:
        told = {"steps": found.entries, "rounds": rounds, "models": models}
        plain: dict[str, Any] = {name: [_plain(one) for one in of] for name, of in told.items()}
        telling.write_json({"recipe": found.recipe, **plain, "total": _plain(found.total)})
        return
    if not found.entries:
        telling.say(f"{found.recipe}: no step of the last run asked a model.")
        return
    from rich.text import Text

    table = telling.table(
        "", "model", "paid", "reused", "in", "out", "time", "cost", "accepted", left=("", "model")
    )
    for entry in found.entries:
        mark = " (unfinished)" if entry.unfinished else ""
        _add(table, entry, entry.step + mark)
    if len(found.entries) > 1:
        table.add_section()
        for one in rounds:
            _add(table, one, f"round {one.round}")
        for one in models if len(models) > 1 else []:
            _add(table, one, "model")
        _add(table, found.total, "all")
    stopped = [Text(entry.unfinished) for entry in found.entries if entry.unfinished]
    telling.say(f"{found.recipe}:", "", table, *stopped)


def _add(table: Any, entry: Entry, name: str) -> None:
    from rich.text import Text

    usage = entry.usage
    cost = "?" if entry.cost is None else f"{entry.cost:.4g}"
    share = "" if entry.accept_rate is None else telling.percent(entry.accept_rate)
    table.add_row(
        Text(name), Text(telling.clipped(entry.model, _NAME_CHARS) if entry.model else ""),
        telling.number(usage.paid), telling.number(usage.reused),
        telling.number(usage.tokens_in), telling.number(usage.tokens_out),
        telling.seconds(usage.seconds), cost, share,
    )  # fmt: skip


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "step": entry.step,
        "round": entry.round,
        "model": entry.model,
        **entry.usage.model_dump(),
        "cost": entry.cost,
        "made": entry.made,
        "accepted": entry.accepted,
        "accept_rate": entry.accept_rate,
        "unfinished": entry.unfinished,
    }
