"""`databuild checkout` and `databuild gc`: take a version out of the store, clear the store out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.cli.progress import bytes_shown

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new or empty.")]


@command(
    "checkout",
    "Copy a version out of the store, checked.",
    [
        "databuild checkout support-bot@1.2.0 data/support-bot",
        "databuild checkout support-bot@best train-set --config sft --split train",
        "databuild checkout support-bot data/latest --store s3://our-bucket/releases",
    ],
)
def checkout(
    name: asking.VersionName,
    folder: Folder,
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="NAME", help="Only this one.", show_default=False),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Only this one.", show_default=False),
    ] = None,
    store: asking.Store = asking.STORE,
    as_json: asking.AsJson = False,
) -> None:
    """Copy a version into an ordinary folder that `datasets.load_dataset` reads.

    Every file is compared with its checksum while it is copied; a file that is missing or damaged
    is named, and the folder is not there then. After a kill the same command goes on where it was.
    """
    from databuild.release.checkout import check_out
    from databuild.release.naming import read_reference
    from databuild.release.versions import Versions

    meant = read_reference(name)
    with bytes_shown("copying") as tick:
        made = check_out(
            Versions(store, meant.name), meant.version, folder,
            config=config, split=split, tick=tick,
        )  # fmt: skip
    if as_json:
        telling.write_json({"version": f"{made.name}@{made.version}", "folder": str(folder)})
        return
    telling.say(f"{made.name}@{made.version}, every file as it was released.")
    telling.say_path("folder", folder)


@command(
    "gc",
    "Remove files that no version needs, and old versions.",
    [
        "databuild gc --dry-run",
        "databuild gc support-bot",
        "databuild gc support-bot --keep 5 --keep-days 90",
    ],
)
def gc(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A data set.", show_default=False)
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            metavar="N",
            min=1,
            help="Also remove versions but the newest N, where nothing needs them.",
            show_default=False,
        ),
    ] = None,
    keep_days: Annotated[
        float, typer.Option("--keep-days", metavar="DAYS", min=0, help="Younger versions stay.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    store: asking.Store = asking.STORE,
    as_json: asking.AsJson = False,
) -> None:
    """Remove what killed releases left and files that no version has, and say how much it was.

    With --keep, old versions go too, unless `latest`, `best` or a tag points at them, a model was
    trained on them, or another version or model names them. Their numbers are never given again.
    Nothing is removed while a release is under way.
    """
    from databuild.errors import StoreError
    from databuild.release.clearing import ALL, clear
    from databuild.release.versions import Versions, names_in

    there = names_in(store)
    if not there or (name and name not in there):
        Versions(store, name or "").find("latest")  # says what is near
        raise StoreError(
            str(store), f"no data set {name!r} is here", fix="see `databuild versions`"
        )
    found = [
        clear(Versions(store, one), keep=keep or ALL, keep_days=keep_days, dry_run=dry_run)
        for one in ([name] if name else there)
    ]
    if as_json:
        telling.write_json([{**asdict(one), "dry_run": dry_run} for one in found])
        return
    verb = "would go" if dry_run else "removed"
    for one in found:
        for version, why in one.kept.items():
            telling.say(f"{one.name}@{version} stays: {why}.")
        for version in one.versions:
            telling.say(f"{one.name}@{version}: {verb}.")
        left = f" and {one.leftovers:,} files of killed releases" if one.leftovers else ""
        telling.say(f"{one.name}: {one.objects:,} objects{left}, {one.bytes:,} bytes: {verb}.")
