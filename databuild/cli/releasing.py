"""`databuild release` and what one asks of versions: list, verify."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path  # noqa: TC003 -- typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.cli.progress import bytes_shown
from databuild.errors import RecipeError, StoreError

if TYPE_CHECKING:
    from databuild.release.versions import Version

NewName = Annotated[
    str,
    typer.Argument(
        metavar="NAME@VERSION", help="What to call it: support-bot@1.2.0, or support-bot@auto."
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="GATE=REASON",
        help="Release though a gate is not passed; the card repeats the reason.",
        show_default=False,
    ),
]


@command(
    "release",
    "Publish the last run's data sets as a version.",
    [
        "databuild release support-bot@1.0.0",
        "databuild release support-bot@auto recipe.yaml --store /data/releases",
        "databuild release support-bot@auto --store s3://our-bucket/releases",
        "databuild release support-bot@1.0.0 --round 1",
        "databuild release support-bot@1.1.0 --allow shortfall='few French tickets so far'",
    ],
)
def release(
    name: NewName,
    recipe: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECIPE",
            help="The recipe's YAML file; without it recipe.yaml, or the only *.yaml file here.",
            show_default=False,
        ),
    ] = None,
    allow: Allow = None,
    turn: Annotated[
        int | None,
        typer.Option(
            "--round",
            metavar="N",
            min=1,
            help="Of steps that repeat, this round's tables; without it the last one's.",
            show_default=False,
        ),
    ] = None,
    store: asking.Store = asking.STORE,
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Publish the tables that the recipe names under `release:` as an immutable version.

    The folder has the layout of Hugging Face data sets (`datasets.load_dataset` reads it), with a
    card, checksums, the lineage of every row and the recipe beside the data. Files that an earlier
    version has are shared with it. The gates `leak` (equal prompts in two splits), `shortfall`,
    `contamination`, `personal`, `agreement` (of the people whose votes the rows rest on), `licence`
    and `preview` must be passed, or be allowed with a reason.
    """
    from databuild.api import release as publish
    from databuild.release.sending import Sent

    path, _ = asking.recipe_and_overrides([str(recipe)] if recipe else None)
    allowed = dict(_gate(text) for text in allow or ())
    sent = Sent()
    with bytes_shown("sending") as tick:
        made, folder = publish(
            path, name, allow=allowed, turn=turn, store=store, runs=runs, sent=sent, sending=tick
        )
    if as_json:
        told_json = {"folder": str(folder), **made.model_dump(mode="json"), "sent": asdict(sent)}
        telling.write_json(told_json)
        return
    if not sent.new_files + sent.shared_files:
        telling.say(f"{made.name}@{made.version} has all of this already: no new version is made.")
        telling.say_path("version", folder)
        return
    _tell(made)
    telling.say(
        f"new: {sent.new_files:,} files, {sent.new_bytes:,} bytes; in the store already: "
        f"{sent.shared_files:,} files, {sent.shared_bytes:,} bytes"
    )
    telling.say_path("version", folder)


def _tell(made: Version) -> None:
    """Print the tables of a version, and what its gates found."""
    table = telling.table(
        "configuration", "split", "rows", "from", left=("configuration", "split", "from")
    )
    for config, splits in made.configs.items():
        for split, of in splits.items():
            table.add_row(config, split, f"{of.rows:,}", of.step)
    told = [f"{gate.name}: {gate.told}" + (f" (allowed: {gate.override})" if gate.override else "")
            for gate in made.gates]  # fmt: skip
    telling.say(f"{made.name}@{made.version}", "", table, "", *told, "")


@command(
    "versions",
    "List released versions.",
    ["databuild versions", "databuild versions support-bot --json"],
)
def versions(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A data set.", show_default=False)
    ] = None,
    store: asking.Store = asking.STORE,
    as_json: asking.AsJson = False,
) -> None:
    """List the versions of a data set, or of all, and the names that point at them."""
    from databuild.release.versions import Versions, names_in

    there = [name] if name else names_in(store)
    if not there:
        what = "no version has been released here"
        raise StoreError(
            str(store), what, fix="publish one with `databuild release`, or name `--store DIR`"
        )
    found = []
    for data_set in there:
        of = Versions(store, data_set)
        if not of.known():
            of.find("latest")
        names = of.pointers()
        found += [
            (of.read(one), sorted(n for n, at in names.items() if at == one)) for one in of.known()
        ]
    if as_json:
        telling.write_json([{**_short(one), "names": at} for one, at in found])
        return
    table = telling.table(
        "version", "released", "rows", "run", "names", left=("version", "run", "names")
    )
    for version, tags in found:
        told = _short(version)
        table.add_row(
            f"{version.name}@{version.version}", version.created[:16].replace("T", " "),
            f"{told['rows']:,}", version.run, ", ".join(tags),
        )  # fmt: skip
    telling.say(table)


@command(
    "verify",
    "Hash a version again and compare.",
    ["databuild verify support-bot@1.2.0", "databuild verify support-bot --json"],
)
def verify(
    name: asking.VersionName, store: asking.Store = asking.STORE, as_json: asking.AsJson = False
) -> None:
    """Compare every file of a version with its checksum; exit code 6 where one differs."""
    from databuild.release.naming import read_reference
    from databuild.release.verifying import verify as check
    from databuild.release.versions import Versions

    meant = read_reference(name)
    with bytes_shown("verifying") as tick:
        found = check(Versions(store, meant.name), meant.version, tick)
    named = f"{found.version.name}@{found.version.version}"
    if as_json:
        telling.write_json({"version": named, "files": found.files, "bytes": found.bytes,
                            "faults": found.faults, "intact": found.intact})  # fmt: skip
    elif not found.faults:
        telling.say(
            f"{named}: {found.files} files, {found.bytes:,} bytes, all as they were released."
        )
    if found.faults:
        some = ", ".join(f"{path} ({what})" for path, what in list(found.faults.items())[:5])
        left = ", ".join(f"{split} {n:,} rows" for split, n in found.intact.items())
        what = f"{len(found.faults)} of {found.files} files are not as released: {some}"
        what += f"; still whole: {left or 'nothing'}"
        raise StoreError(named, what, fix="take those files from a copy, or release again")


def _gate(text: str) -> tuple[str, str]:
    name, _, reason = text.partition("=")
    if not reason.strip():
        what = f"--allow {text!r} gives no reason"
        raise RecipeError("command line", what, fix="write it as --allow shortfall='the reason'")
    return name.strip(), reason.strip()


def _short(version: Version) -> dict[str, object]:
    rows = sum(split.rows for splits in version.configs.values() for split in splits.values())
    return {"name": version.name, "version": version.version, "created": version.created,
            "rows": rows, "run": version.run, "fingerprint": version.fingerprint}  # fmt: skip
