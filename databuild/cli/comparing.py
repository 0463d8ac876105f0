"""`databuild diff` and `databuild browse`: what people look at of versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.cli.secrets import KeyEnv, KeyFile, secret_of
from databuild.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from databuild.release.differences import Changes

_MEANS, _COLUMNS, _SHOWN = 8, 12, 2
_WORDS = {
    "added": "only in the version after",
    "removed": "only in the version before",
    "changed": "other text or content",
    "regraded": "other verdict: grade, strength, vote, or which answer is chosen",
    "rescored": "other measures",
    "relinked": "made from other rows, else the same",
    "moved": "in another split",
}


@command(
    "diff",
    "Say which rows changed between two versions.",
    [
        "databuild diff support-bot@1.0.0 support-bot@1.1.0",
        "databuild diff support-bot@1.0.0 support-bot --by language --limit 5",
        "databuild diff support-bot@1.0.0 support-bot --html difference.html",
    ],
)
def diff(  # noqa: PLR0913, PLR0917 -- one parameter for each option
    before: asking.VersionName,
    after: asking.VersionName,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="Count by this column; may be repeated.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str, typer.Option("--key", metavar="COLUMN", help="Your own name of a row.")
    ] = "key",
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=0,
            show_default=False,
            help="Examples of each kind: 3, in a page 20.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page.", show_default=False),
    ] = None,
    key_env: KeyEnv = None,
    key_file: KeyFile = None,
    store: asking.Store = asking.STORE,
    as_json: asking.AsJson = False,
) -> None:
    """Say which rows were added, removed, changed, graded or scored anew, or moved.

    A row is the same where its content and its parents are. Else a row stands for another where
    one of these is the same: your key, what annotators were shown, the content, the two answers of
    a pair, the parents. A page (`--html`) is one file, with the words that changed marked.
    """
    from dataclasses import asdict

    from databuild.api import difference

    shown = limit if limit is not None else 20 if html else 3
    found = difference(
        before, after, by=by or (None if html else ()), key=key, limit=shown, store=store,
        secret=secret_of(key_env, key_file),
    )  # fmt: skip
    if html:
        from databuild.release.diff_page import write_diff_page

        write_diff_page(html, before, after, found)
    if as_json:
        telling.write_json([{**asdict(one), "same": one.same} for one in found])
        return
    for one in found:
        tell_changes(one, min(shown, 3))
    if html:
        telling.say_path("page", html)


def tell_changes(found: Changes, limit: int) -> None:
    """Tell of one configuration, in the terminal."""
    from rich.text import Text

    from databuild.release.differences import KINDS

    table = telling.table("", "rows", " ", left=("", " "))
    table.show_header = False
    for kind in KINDS:
        if found.counts[kind]:
            table.add_row(kind, f"{found.counts[kind]:,}", Text(_WORDS[kind], "dim"))
    table.add_row("same", f"{found.same:,}", "")
    head = f"{found.config}: {found.before:,} -> {found.after:,} rows"
    if found.before and found.after == found.counts["added"]:
        head += ", none of them in both"
    telling.say(Text(head, "bold"), table)
    for word, names in (("new", found.new_columns), ("gone", found.gone_columns)):
        if names:
            telling.say(f"{word} columns: {', '.join(map(printable, names))}")
    if found.columns:
        told = ", ".join(f"{printable(c)} {n:,}" for c, n in list(found.columns.items())[:_COLUMNS])
        telling.say(f"differ in: {told}")
    _tell_means(found)
    _tell_strata(found, [kind for kind in KINDS if found.counts[kind]])
    for kind, rows in found.examples.items():
        for row in rows[:limit]:
            told = "; ".join(_pieces(kind, row))
            telling.say(Text(f"  {kind} {telling.short_id(row['row_id'])}  {told}"))
    telling.say("")


def _tell_means(found: Changes) -> None:
    """The means that moved most, relative to themselves."""
    moved = sorted(found.means, key=lambda one: -_by_how_much(one))[:_MEANS]
    if moved:
        table = telling.table("mean of", "before", "after", left=("mean of",))
        for one in moved:
            table.add_row(printable(one["column"]), f"{one['before']:.4g}", f"{one['after']:.4g}")
        telling.say(table)


def _by_how_much(one: Mapping[str, Any]) -> float:
    before, after = float(one["before"]), float(one["after"])
    return abs(after - before) / max(abs(before), abs(after), 1e-12)


def _tell_strata(found: Changes, kinds: list[str]) -> None:
    for column in dict.fromkeys(one["column"] for one in found.strata):
        totals = ["before", "after"]
        table = telling.table(column, *totals, *kinds, left=(column,))
        for one in found.strata:
            if one["column"] == column:
                told = ("" if one[name] is None else f"{one[name]:,}" for name in totals)
                table.add_row(
                    printable(one["stratum"]), *told, *(telling.number(one[k]) for k in kinds)
                )
        telling.say(table)


def _pieces(kind: str, row: Mapping[str, Any]) -> Iterator[str]:
    if kind == "moved":
        yield f"{row['split']} -> {row['split_after']}"
        return
    for name, value in list((row.get("differs") or {}).items())[:_SHOWN]:
        told = [telling.clipped(one, 40) for one in value]
        yield f"{printable(name)}: {told[0]} -> {told[1]}"
    if not row.get("differs"):
        from databuild.schema.rows import COLUMNS

        texts = [n for n in COLUMNS if isinstance(row["row"].get(n), str)] or list(row["row"])
        for name in [n for n in texts if n != "model"][:2]:
            yield f"{printable(name)}: {telling.clipped(row['row'][name], 60)}"


@command(
    "browse",
    "Write a version as a page to read, search and filter.",
    [
        "databuild browse support-bot@1.1.0",
        "databuild browse support-bot --out support-bot.html --rows 500",
    ],
)
def browse(
    name: asking.VersionName,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The page; without it NAME-VERSION.html here.",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, help="At most so many rows, drawn by id.")
    ] = 5000,
    key_env: KeyEnv = None,
    key_file: KeyFile = None,
    store: asking.Store = asking.STORE,
    as_json: asking.AsJson = False,
) -> None:
    """Write one HTML file, which needs no server: rows, grades and where they come from.

    Of a version with more rows it holds a sample, of each split the same share, and says so.
    """
    from databuild.release.browsing import browse as write
    from databuild.release.naming import read_reference
    from databuild.release.versions import at

    versions, version = at(store, read_reference(name), secret_of(key_env, key_file))
    path = out or Path(f"{version.name}-{version.version}.html")
    n_rows = write(versions, version, path, rows)
    if as_json:
        telling.write_json({"page": str(path), "rows": n_rows})
        return
    size = path.stat().st_size
    telling.say(f"{version.name}@{version.version}: {n_rows:,} rows, {size:,} bytes.")
    telling.say_path("page", path)
