"""`databuild release` and what one does with versions: list, compare, verify, name, go back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.cli.secrets import KeyEnv, KeyFile, secret_of
from databuild.errors import RecipeError, StoreError

if TYPE_CHECKING:
    from databuild.release.differences import Changes
    from databuild.release.versions import Version

Store = Annotated[
    Path, typer.Option("--store", metavar="DIR", help="Where released versions are kept.")
]
Name = Annotated[
    str, typer.Argument(metavar="NAME@VERSION", help="A version: 1.2.0, a tag, latest or best.")
]
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
STORE = Path("releases")


@command(
    "release",
    "Publish the last run's data sets as a version.",
    [
        "databuild release support-bot@1.0.0",
        "databuild release support-bot@auto recipe.yaml --store /data/releases",
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
    store: Store = STORE,
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Publish the tables that the recipe names under `release:` as an immutable version.

    The folder has the layout of Hugging Face data sets (`datasets.load_dataset` reads it), with a
    card, checksums, the lineage of every row and the recipe beside the data. Files that an earlier
    version has are shared with it. The gates `leak` (equal prompts in two splits), `shortfall`,
    `contamination`, `personal`, `licence` and `preview` must be passed, or be
    allowed with a reason.
    """
    from databuild.api import release as publish

    path, _ = asking.recipe_and_overrides([str(recipe)] if recipe else None)
    allowed = dict(_gate(text) for text in allow or ())
    made, folder = publish(path, name, allow=allowed, store=store, runs=runs)
    if as_json:
        telling.write_json({"folder": str(folder), **made.model_dump(mode="json")})
        return
    table = telling.table(
        "configuration", "split", "rows", "from", left=("configuration", "split", "from")
    )
    for config, splits in made.configs.items():
        for split, of in splits.items():
            table.add_row(config, split, f"{of.rows:,}", of.step)
    told = [f"{gate.name}: {gate.told}" + (f" (allowed: {gate.override})" if gate.override else "")
            for gate in made.gates]  # fmt: skip
    telling.say(f"{made.name}@{made.version}", "", table, "", *told, "")
    telling.say_path("version", folder)


@command(
    "versions",
    "List released versions.",
    ["databuild versions", "databuild versions support-bot --json"],
)
def versions(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A data set.", show_default=False)
    ] = None,
    store: Store = STORE,
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
    "diff",
    "Say which rows changed between two versions.",
    [
        "databuild diff support-bot@1.0.0 support-bot@1.1.0",
        "databuild diff support-bot@1.0.0 support-bot --by language --limit 5",
    ],
)
def diff(  # noqa: PLR0913, PLR0917 -- one parameter for each option of the command
    before: Name,
    after: Name,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="COLUMN", help="Count by this column.", show_default=False),
    ] = None,
    key: Annotated[
        str, typer.Option("--key", metavar="COLUMN", help="Your own name of a row.")
    ] = "key",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Examples of each kind.")
    ] = 3,
    key_env: KeyEnv = None,
    key_file: KeyFile = None,
    store: Store = STORE,
    as_json: asking.AsJson = False,
) -> None:
    """Say which rows were added, removed, changed, scored anew or moved to another split.

    A row is the same where its content and its parents are. A changed row has another content
    under the same key, or the same parents.
    """
    from dataclasses import asdict

    from databuild.api import difference

    found = difference(
        before, after, by=by, key=key, limit=limit, store=store, secret=secret_of(key_env, key_file)
    )
    if as_json:
        telling.write_json([{**asdict(one), "same": one.same} for one in found])
        return
    for one in found:
        _tell_changes(one)


@command(
    "verify",
    "Hash a version again and compare.",
    ["databuild verify support-bot@1.2.0", "databuild verify support-bot --json"],
)
def verify(name: Name, store: Store = STORE, as_json: asking.AsJson = False) -> None:
    """Compare every file of a version with its checksum; exit code 6 where one differs."""
    from databuild.release.naming import read_reference
    from databuild.release.verifying import verify as check
    from databuild.release.versions import Versions

    meant = read_reference(name)
    found = check(Versions(store, meant.name), meant.version)
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


@command(
    "tag",
    "Give a version a name.",
    ["databuild tag support-bot@1.2.0 production", "databuild tag support-bot@1.2.0 best"],
)
def tag(
    name: Name,
    word: Annotated[str, typer.Argument(metavar="TAG", help="Letters, digits, -, _ and dots.")],
    store: Store = STORE,
) -> None:
    """Give a version a name that may be moved later, such as `best` or `production`."""
    import re

    from databuild.release.naming import numbers, read_reference
    from databuild.release.versions import at

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,59}", word) or numbers(word) or word == "auto":
        raise RecipeError("tag", f"{word!r} can be no tag", fix="begin with a letter, as in `best`")
    versions, version = at(store, read_reference(name))
    versions.point(**{word: version.version})
    telling.say(f"{version.name}@{word} is {version.version}.")


@command(
    "rollback",
    "Make an earlier version the latest again.",
    ["databuild rollback support-bot@1.1.0"],
)
def rollback(name: Name, store: Store = STORE) -> None:
    """Move `latest` (and `best`, where it points at a later version) back to a version.

    No version is removed; the next one is numbered after all that there are.
    """
    from databuild.release.naming import numbers, read_reference
    from databuild.release.versions import at

    versions, version = at(store, read_reference(name))
    pointers = {"latest": versions.known()[-1], **versions.pointers()}
    here = numbers(version.version) or (0, 0, 0)
    names = [n for n in ("latest", "best") if (numbers(pointers.get(n, "")) or here) > here]
    versions.point(**dict.fromkeys(names or ["latest"], version.version))
    for one in names:
        telling.say(f"{version.name}@{one} is {version.version} (was {pointers[one]}).")
    if not names:
        telling.say(f"{version.name}@latest is {version.version} already.")


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


def _tell_changes(found: Changes) -> None:
    from rich.text import Text

    from databuild.release.differences import KINDS
    from databuild.text.printable import printable

    table = telling.table("", "rows", left=("",))
    table.show_header = False
    for kind in KINDS:
        if found.counts[kind]:
            table.add_row(kind, f"{found.counts[kind]:,}")
    table.add_row("same", f"{found.same:,}")
    telling.say(Text(f"{found.config}: {found.before:,} -> {found.after:,} rows", "bold"), table)
    if found.columns:
        told = ", ".join(f"{column} {n:,}" for column, n in list(found.columns.items())[:12])
        telling.say(f"differ in: {told}")
    if found.strata:
        strata = telling.table("stratum", *KINDS, left=("stratum",))
        for one in found.strata:
            strata.add_row(printable(one["stratum"]), *(f"{one[kind]:,}" for kind in KINDS))
        telling.say(strata)
    for kind, rows in found.examples.items():
        for row in rows:
            shown = row.get("differs") or row.get("row") or {}
            pieces = [
                f"{name}: {telling.clipped(value[0], 60)} -> {telling.clipped(value[1], 60)}"
                if "differs" in row
                else f"{name}: {telling.clipped(value, 80)}"
                for name, value in list(shown.items())[:3]
            ]
            if kind == "moved":
                pieces = [f"{row['split']} -> {row['split_after']}"]
            telling.say(Text(f"  {kind} {telling.short_id(row['row_id'])}  {'; '.join(pieces)}"))
    telling.say("")
