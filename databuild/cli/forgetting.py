"""`databuild uses` and `databuild withdraw`: what came of something, and taking it back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.errors import RecipeError

if TYPE_CHECKING:
    from databuild.release.purging import Purged
    from databuild.release.uses import Meant, Uses
    from databuild.release.withdrawing import Plan

Rows = Annotated[
    list[str] | None,
    typer.Option("--row", metavar="ID", help="A row, by its whole id.", show_default=False),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source", metavar="X", help="A source step, or a file that one read.", show_default=False
    ),
]
Annotators = Annotated[
    list[str] | None,
    typer.Option("--annotator", metavar="Y", help="Who voted.", show_default=False),
]
AskedModels = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="M", help="A model that answered.", show_default=False),
]
_SHOWN = 20


@command(
    "uses",
    "Say what came of a row, a source, an annotator or a model.",
    [
        "databuild uses 3fa94c",
        "databuild uses --source tickets.jsonl",
        "databuild uses --annotator ann --json",
    ],
)
def uses(
    row_id: Annotated[
        str | None, typer.Argument(metavar="ROW_ID", help="A row.", show_default=False)
    ] = None,
    row: Rows = None,
    source: Sources = None,
    annotator: Annotators = None,
    model: AskedModels = None,
    store: asking.Store = asking.STORE,
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Say everything that was made from something: rows per step, versions, trained models.

    The last run of every recipe of the runs folder and all versions of the store are looked
    through; either may be missing.
    """
    from databuild.release.uses import uses as found_of

    meant = _meant([*([row_id] if row_id else []), *(row or ())], source, annotator, model)
    if not meant:
        what = "nothing is named"
        raise RecipeError("uses", what, fix="name a row, or --source, --annotator or --model")
    found = found_of(store, runs, meant)
    if as_json:
        told = [one.model_dump(mode="json") for one in found.models]
        telling.write_json({**asdict(found), "models": told})
        return
    _tell_uses(found)


@command(
    "withdraw",
    "Make the next version without somebody's rows.",
    [
        "databuild withdraw support-bot@latest --source tickets.jsonl --why 'asked to' --dry-run",
        "databuild withdraw support-bot@1.2.0 --row 3fa94c… --as 1.3.0",
        "databuild withdraw support-bot@latest --annotator ann --purge --why 'left the project'",
    ],
)
def withdraw(  # noqa: PLR0913, PLR0917 -- options of a command
    name: asking.VersionName,
    row: Rows = None,
    source: Sources = None,
    annotator: Annotators = None,
    model: AskedModels = None,
    after: Annotated[
        str, typer.Option("--as", metavar="VERSION", help="The number of the next version.")
    ] = "auto",
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="The reason, which is kept.")
    ] = "not said",
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Erase the rows from older versions, runs and journals too."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="GATE=REASON", help="As of `databuild release`.", show_default=False
        ),
    ] = None,
    store: asking.Store = asking.STORE,
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Make the next version without any descendant of what is named; list the models that had it.

    The released files alone are enough. No later release brings the rows back: its gate
    `withdrawn` refuses. With --purge they are also erased from every older version, which stays
    listed and says what is gone, from the runs folder, its journals and vote logs. A purge that was
    interrupted is finished by the same command. Source files of your own, copies of versions
    elsewhere, and what Argilla holds are yours to clean.
    """
    from databuild.api import withdraw as take_out

    meant = _meant(row, source, annotator, model)
    allowed = dict(_gate(text) for text in allow or ())
    done = take_out(
        name, meant, after=after, why=why, purge=purge, dry_run=dry_run, allow=allowed,
        store=store, runs=runs,
    )  # fmt: skip
    if as_json:
        telling.write_json(done.plain())
        return
    _tell_plan(done.plan, dry_run=dry_run)
    if done.purged is not None:
        _tell_purge(done.purged, dry_run=dry_run)
    if done.folder is not None:
        telling.say_path("version", done.folder)


def _meant(
    row: list[str] | None,
    source: list[str] | None,
    annotator: list[str] | None,
    model: list[str] | None,
) -> list[Meant]:
    from databuild.release.uses import KINDS, Meant

    given = dict(zip(KINDS, (row, source, annotator, model), strict=True))
    return [Meant(kind, text) for kind, texts in given.items() for text in texts or ()]


def _gate(text: str) -> tuple[str, str]:
    name, _, reason = text.partition("=")
    if not reason.strip():
        what = f"--allow {text!r} gives no reason"
        raise RecipeError("command line", what, fix="write it as --allow leak='the reason'")
    return name.strip(), reason.strip()


def _tell_uses(found: Uses) -> None:
    telling.say(f"What came of {', '.join(found.what)}:", "")
    table = telling.table("in", "", "rows", left=("in", ""))
    for one in found.places:
        for step, n in one.steps.items():
            table.add_row(one.place, step, f"{n:,}")
        for split, n in one.splits.items():
            table.add_row(one.place, f"released in {split}", f"{n:,}")
    telling.say(table, "")
    for model in found.models:
        telling.say(f"model {model.identity} was trained on {', '.join(sorted(model.versions))}")
    for step, identity in found.trained.items():
        telling.say(f"model {identity} was trained by {step} on rows of it")
    if not found.models and not found.trained:
        telling.say("No model is known that was trained on it.")


def _tell_plan(plan: Plan, *, dry_run: bool) -> None:
    name = plan.version.name
    will = "would be" if dry_run else "is"
    if plan.after:
        telling.say(f"{name}@{plan.after} {will} {name}@{plan.version.version} without:", "")
    table = telling.table("split", "rows gone", "rows left", left=("split",))
    for split, left in plan.left.items():
        table.add_row(split, f"{plan.removed.get(split, 0):,}", f"{left:,}")
    telling.say(table, "")
    for version, splits in plan.having.items():
        told = ", ".join(f"{split} {n:,}" for split, n in splits.items())
        telling.say(f"{name}@{version} has {told or 'only rows that they came from'}")
    for model in plan.models:
        telling.say(f"model {model} was trained on a version that has them")
    if not plan.models:
        telling.say("No model is known that was trained on a version that has them.")


def _tell_purge(purged: Purged, *, dry_run: bool) -> None:
    telling.say("", "Would be erased:" if dry_run else "Erased:")
    for place, n in purged.rows.items():
        telling.say(f"  {place}: {n:,}")
    if not purged.rows:
        telling.say("  nothing that was not erased before")
    for warning in purged.left[:_SHOWN]:
        telling.say(f"  {warning}")
    if len(purged.left) > _SHOWN:
        telling.say(f"  and {len(purged.left) - _SHOWN} more (see --json)")
