"""`databuild annotate pull | export | import`: votes without a recipe, and without a tool."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.annotating import annotate_command
from databuild.errors import StoreError

if TYPE_CHECKING:
    from databuild.annotate.log import VoteLog

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="The name of the data set.")]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="A team's Argilla.", show_default=False),
]


def _log(runs: Path, dataset: str) -> VoteLog:
    from databuild.annotate.log import VoteLog

    log = VoteLog(runs / "journals", dataset)
    if not log.path.exists():
        there = sorted(path.stem for path in log.path.parent.glob("*.jsonl"))
        what = f"no vote log of that name; there are {there}"
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
    "pull", "Bring new votes into the vote log.", ["databuild annotate pull helpfulness"]
)
def pull(
    dataset: Dataset,
    server: Server = None,
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Ask Argilla what people said, and append it to journals/votes/DATASET.jsonl."""
    from databuild.annotate.desk import desk_of
    from databuild.annotate.fetching import fetch

    log = _log(runs, dataset)
    found = fetch(log, desk_of("argilla", log, server))
    _say(log, found.new, found.note, as_json=as_json)


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
