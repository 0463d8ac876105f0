"""`databuild annotate pull | export | import`: votes without a recipe, and without a tool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.annotating import annotate_command
from databuild.errors import RecipeError, StoreError, nearest

if TYPE_CHECKING:
    from databuild.annotate.log import VoteLog

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="The name of the data set.")]
_SUFFIXES = (".jsonl", ".parquet")
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="A team's Argilla.", show_default=False),
]


def _log(runs: Path, dataset: str) -> VoteLog:
    from databuild.annotate.log import VoteLog

    log = VoteLog(runs / "journals", dataset)
    if not log.path.exists():
        there = sorted(path.stem for path in log.path.parent.glob("*.jsonl"))
        if not there:
            what = f"nothing was put before people from {runs}"
            fix = "write `databuild annotate push DATASET TABLE`, or name another `--runs DIR`"
            raise StoreError(str(log.path), what, fix=fix)
        what = f"no vote log of that name; {nearest(dataset, there)}"
        raise StoreError(str(log.path), what, fix="name one of those, or `--runs DIR`")
    return log


def _progress(log: VoteLog) -> dict[str, int]:
    votes = log.read()
    counts = votes.counts()
    answered = sum(counts[name] >= one.wanted for name, one in votes.records.items())
    return {"records": len(counts), "answered": answered, "votes": sum(counts.values())}


def _say(log: VoteLog, new: int, note: str, *, as_json: bool) -> None:
    told = {"dataset": log.dataset, "new": new, **_progress(log), "note": note}
    if as_json:
        telling.write_json(told)
        return
    more = f" ({note})" if note else ""
    telling.say(
        f"{told['answered']} of {told['records']} records answered, {told['votes']} votes, "
        f"{new} of them new{more}"
    )


@annotate_command(
    "pull",
    "Bring new votes into the vote log.",
    [
        "databuild annotate pull helpfulness",
        "databuild annotate pull helpfulness --out votes.jsonl",
    ],
)
def pull(
    dataset: Dataset,
    server: Server = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            show_default=False,
            help="Also write every vote as a row, to a new .jsonl or .parquet file.",
        ),
    ] = None,
    tool: Annotated[
        str, typer.Option("--tool", help="argilla, or files or label_studio: its folder answers/.")
    ] = "argilla",
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Ask Argilla what people said, and append it to journals/votes/DATASET.jsonl.

    Where Argilla cannot be reached the log goes on alone, and the exit code is 5.
    """
    from databuild.annotate.desk import TOOLS, desk_of
    from databuild.annotate.fetching import fetch

    log = _log(runs, dataset)
    _check_out(out)
    if tool not in TOOLS:
        what = f"there is no tool {tool!r}; {nearest(tool, TOOLS)}"
        raise RecipeError("command line", what, fix="correct `--tool`")
    found = fetch(log, desk_of(tool, log, server))
    _say(log, found.new, replace(found, new=0).note, as_json=as_json)
    if out is not None:
        _write(log, out)
    if found.unreachable:
        raise typer.Exit(5)


def _check_out(out: Path | None) -> None:
    if out is None:
        return
    if out.suffix not in _SUFFIXES:
        what = f"the name ends in {out.suffix!r}"
        raise StoreError(str(out), what, fix=f"name a file that ends in {' or '.join(_SUFFIXES)}")
    if out.exists():
        raise StoreError(str(out), "this file exists", fix="name a new file")


def _write(log: VoteLog, out: Path) -> None:
    """Write the rows that `annotate.pull` makes of the log."""
    from databuild.annotate.table import votes_table
    from databuild.engine.store import writing

    votes = log.read()
    rows = votes_table(votes.task, votes.submitted(), votes.records, votes.rows)
    with writing(out):
        if out.suffix == ".parquet":
            rows.write_parquet(out)
        else:
            rows.write_ndjson(out)


@annotate_command(
    "export",
    "Write records as files to be answered: JSONL, CSV, Label Studio.",
    ["databuild annotate export helpfulness"],
)
def export(dataset: Dataset, runs: asking.RunsFolder = asking.RUNS) -> None:
    """Write every record of the vote log for people who answer in files or in Label Studio.

    The files lie in journals/votes/DATASET/; answered ones are read by `annotate import`.
    """
    from databuild.annotate.desk import Asked, desk_of
    from databuild.annotate.fetching import task_of

    log = _log(runs, dataset)
    votes = log.read()
    ordered = sorted(votes.records.values(), key=lambda one: (one.place, one.record))
    asked = Asked(dataset, task_of(votes), ordered)
    desk_of("files", log).push(asked)
    desk_of("label_studio", log).push(asked)
    telling.say_path(f"{len(ordered)} records", log.folder)


@annotate_command(
    "import",
    "Read answered files into the vote log.",
    ["databuild annotate import helpfulness ann.csv export.json"],
)
def bring_in(
    dataset: Dataset,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False)],
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Read answered CSV or JSONL files, or a JSON export; twice the same adds nothing."""
    from databuild.annotate.desk import Found
    from databuild.annotate.fetching import Fetched, checked, task_of
    from databuild.annotate.files import read_answers
    from databuild.annotate.label_studio import read_export

    log = _log(runs, dataset)
    votes = log.read()
    task, new, passed = task_of(votes), 0, Found()
    for path in files:
        found = Found()
        is_export = path.suffix == ".json"
        (read_export if is_export else read_answers)(path, task, found)
        good = checked(found, task, votes.records)
        new += log.hear(good, "label_studio" if is_export else "file")
        for reason, n in found.passed_over.items():
            passed.passed_over[reason] = passed.passed_over.get(reason, 0) + n
    _say(log, new, Fetched(0, passed.passed_over).note, as_json=as_json)
