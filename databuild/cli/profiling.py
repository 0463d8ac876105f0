"""`databuild profile`: what is in a table, or what changed between two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.errors import DatabuildError

if TYPE_CHECKING:
    from databuild.profiling.facts import Difference, Profile

TableName = Annotated[
    str,
    typer.Argument(
        metavar="TABLE",
        help="A step of the last run (clean), a part of it (split.train, clean.dropped), a step of "
        "another recipe or runs folder (support/clean, old-runs/support/clean); or a file or "
        "folder of Parquet, JSON lines, JSON or CSV.",
    ),
]
OtherName = Annotated[
    str | None,
    typer.Argument(
        metavar="OTHER",
        help="A second table: then the answer is what changed from the first to it.",
        show_default=False,
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write the page with plots here; without it profile-<step>.html beside the run, and "
        "for files no page.",
        show_default=False,
    ),
]
Examples = Annotated[
    int, typer.Option("--limit", metavar="N", min=0, help="Examples for each finding.")
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B", help="Only these columns.", show_default=False),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="COLUMN",
        help="The column that names a row in both tables; without it key, row_id, the parent's "
        "row_id, content_id, or else the whole content.",
        show_default=False,
    ),
]
Personal = Annotated[
    bool,
    typer.Option(
        "--show-personal",
        help="Show examples of columns with spans of personal data (*_pii) as they are; without "
        "it, what is found in them is masked.",
    ),
]


@command(
    "profile",
    "Describe a table: faults, lengths, duplicates, strata.",
    [
        "databuild profile clean",
        "databuild profile split.train --columns prompt,response --limit 5",
        "databuild profile tickets.jsonl --html tickets.html",
        "databuild profile raw clean",
        "databuild profile old.parquet new.parquet --key ticket --json",
    ],
)
def profile(  # noqa: PLR0913, PLR0917 -- one parameter per option
    table: TableName,
    other: OtherName = None,
    html: Html = None,
    limit: Examples = 3,
    columns: Columns = None,
    key: Key = None,
    show_personal: Personal = False,
    recipe: asking.RecipeName = None,
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Describe a table, or two side by side: all rows are counted, and nothing is changed.

    One table: columns with types and missing values, languages, lengths, equal texts (exactly, and
    in their normal form), clusters of near duplicates (cluster_id), every fault that a measure
    found (columns *_is_*, *_has_*, *_faults, *_pii) with examples, what the steps before dropped
    and why, categories with small cells pointed out, numbers, conversations, preference pairs.

    Two tables: rows added, removed and changed; how far every distribution moved (for numbers the
    Kolmogorov-Smirnov distance, for categories the share that lies elsewhere; psi: stability index,
    above 0.25 large); faults before and after.
    """
    from databuild.api import profile as profile_of
    from databuild.cli.profile_view import view

    wanted = tuple(part.strip() for part in columns.split(",")) if columns else None
    found = profile_of(
        table, other, recipe=recipe, runs=runs, columns=wanted, key=key, limit=limit,
        show_personal=show_personal,
    )  # fmt: skip
    page, trouble = _page(found, html, other or table, runs, recipe)
    if as_json:
        telling.write_json({**found.as_plain(), "page": str(page) if page else None})
        return
    telling.say(*view(found, telling.console().width))
    if page:
        telling.say_path("page", page)
    elif trouble:
        telling.say(f"No page: {trouble}")


def _page(
    found: Profile | Difference, html: Path | None, named: str, runs: Path, recipe: str | None
) -> tuple[Path | None, str]:
    """Write the page where it was asked for, else beside the run; without a run, none."""
    from databuild.profiling.resolve import resolve
    from databuild.report.profile_page import write_profile

    folder = resolve(named, runs, recipe).folder
    if html is None and folder is None:
        return None, ""
    try:
        return write_profile(found, html or folder), ""  # type: ignore[arg-type]
    except DatabuildError as error:
        if html is not None:
            raise
        return None, f"{error.what}. Fix: {error.fix}."
