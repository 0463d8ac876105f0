"""`databuild annotate push`: put a file, or the rows of a run, before people, without a recipe."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from databuild.cli import asking, telling
from databuild.cli.annotating import annotate_command
from databuild.errors import RecipeError, SchemaError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

    from databuild.annotate.push import PushConfig

Dataset = Annotated[
    str, typer.Argument(metavar="DATASET", help="The data set to make, or to add to.")
]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="TABLE [KEY=VALUE]...",
        help="A file or folder (Parquet, JSON lines, JSON, CSV), or a step of the last run (pairs, "
        "split.train, recipe/step); then options of annotate.push, such as task=rating "
        "votes_per_record=2 annotators=[ann,bob] margins=[rm,judge] assist=true language=zh; of a "
        "file also rename, rows, columns, encoding and types of ingest.files.",
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server", metavar="URL", help="A team's Argilla; the key is in ARGILLA_API_KEY.",
        show_default=False,
    ),
]  # fmt: skip
Gold = Annotated[
    str | None,
    typer.Option(
        "--gold", metavar="TABLE", help="Gold questions, with the expected grade in `gold`.",
        show_default=False,
    ),
]  # fmt: skip
Seed = Annotated[int, typer.Option("--seed", help="Of the order of answers and of records.")]
_SHOWN_REASONS = 5
_READING = ("rename", "rows", "columns", "encoding", "types")
"""Options that are those of `ingest.files`, for a file."""


@annotate_command(
    "push",
    "Put rows of a file or of a run before people.",
    [
        "databuild annotate push helpful pairs.jsonl",
        "databuild annotate push helpful pairs annotators=[ann,bob,cai] votes_per_record=2",
        "databuild annotate push facts qa.parquet task=verification --server https://team.example",
        "databuild annotate push helpful pairs.csv tool=files",
    ],
)
def push(
    dataset: Dataset,
    words: Words,
    server: Server = None,
    gold: Gold = None,
    seed: Seed = 0,
    recipe: asking.RecipeName = None,
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Put rows before people as a step annotate.push does, with the same options.

    Rows that are there already stay, with their votes. What is asked is kept in the vote log
    journals/votes/DATASET.jsonl of the runs folder; `annotate pull` adds the votes to it.
    """
    from databuild.annotate.push import put_before_people

    table, *overrides = words
    given = {"dataset": dataset, **({"server": server} if server else {})}
    options = _values(overrides)
    reading = {name: options.pop(name) for name in _READING if name in options}
    config = _config({**given, **options})
    rows = _checked(_rows(table, runs, recipe, reading), config, table)
    golden = None if gold is None else _rows(gold, runs, recipe, reading)
    with tempfile.TemporaryDirectory(prefix="databuild-push-") as out:
        told = put_before_people(
            rows, config, golden, out=Path(out), journals=runs / "journals",
            files=tuple(Path(name) for name in config.files), seed=seed,
        )  # fmt: skip
    if as_json:
        telling.write_json(told)
        return
    _say(told, runs)
    if config.tool == "argilla" and config.annotators:
        _say_strangers(config)


def _say_strangers(config: PushConfig) -> None:
    """Say whose records wait for somebody who cannot log in."""
    from databuild.annotate.argilla import ArgillaDesk

    to = f" --server {config.server}" if config.server else ""
    for name in ArgillaDesk(config.server).strangers(config.annotators):
        told = f"{name} has no account there: databuild annotate add-user {name}{to}"
        telling.say(told, stderr=True)


def _values(overrides: Iterable[str]) -> dict[str, Any]:
    """Options from `key=value`; a value is YAML, as in a recipe.

    Raises:
        RecipeError: One is no such thing.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    options: dict[str, Any] = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            what = f"{override!r} is not key=value: one table, then options"
            raise RecipeError("command line", what, fix="write for example `task=rating`")
        try:
            options[name] = YAML(typ="safe", pure=True).load(text)
        except YAMLError as error:
            what = f"the value of {override!r} is not valid YAML"
            raise RecipeError(
                "command line", what, fix="quote it, as in `'key=\"a: b\"'`"
            ) from error
    return options


def _config(options: dict[str, Any]) -> PushConfig:
    """The options of the step.

    Raises:
        RecipeError: One is unknown, or has a wrong value.
    """
    from pydantic import ValidationError

    from databuild.annotate.push import PushConfig
    from databuild.recipe.validate import likeliest

    try:
        return PushConfig.model_validate(options)
    except ValidationError as error:
        first = likeliest(error)
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            what = f"annotate.push has no option {name!r}; {nearest(name, PushConfig.model_fields)}"
            raise RecipeError("command line", what, fix="correct the option's name") from error
        message = first["msg"].removeprefix("Value error, ")
        where = f"{name}: " if name else ""
        what = f"{where}{message[0].lower()}{message[1:]}"
        raise RecipeError("command line", what, fix="correct the option's value") from error


def _rows(table: str, runs: Path, recipe: str | None, reading: dict[str, Any]) -> pl.DataFrame:
    """The rows of a step of a run, or of a file; a file's are those that `ingest.files` makes.

    So their ids are the ones that the same file has in a recipe.
    """
    from databuild.api import run, show
    from databuild.profiling.resolve import resolve

    named = resolve(table, runs, recipe)
    if named.runs is not None:
        return show(named.step, named.recipe, runs=named.runs)
    assert named.path is not None
    path = named.path.resolve()
    paths = str(path / "**/*") if path.is_dir() else str(path)
    rows = {"use": "ingest.files", "path": paths, **reading}
    read = {"name": "push", "steps": {"rows": rows}}
    with tempfile.TemporaryDirectory(prefix="databuild-push-") as name:
        folder = Path(name)
        (folder / "push.yaml").write_text(json.dumps(read), encoding="utf-8")
        run(folder / "push.yaml", runs=folder / "runs", workers=1)
        return show("rows", "push", runs=folder / "runs")


def _checked(rows: pl.DataFrame, config: PushConfig, table: str) -> pl.DataFrame:
    """The rows, where they have every column that the options name.

    Raises:
        SchemaError: They have not.
    """
    from databuild.annotate.push import put_before_people

    for column in put_before_people.columns_read(config, "rows"):
        if column != "*" and column not in rows.columns:
            what = f"it has no column {column!r}; {nearest(column, rows.columns)}"
            fix = "name your column, as in `response_a=first_answer`, or choose another `task`"
            raise SchemaError(table, what, fix=fix)
    return rows


def _say(told: dict[str, Any], runs: Path) -> None:
    from rich.text import Text

    asked = f"{told['records']:,} records of {told['dataset']} are before people"
    if told["gold"]:
        asked += f", {told['gold']:,} of them gold questions"
    counts = [f"{told[name]:,} {name}" for name in ("new", "changed", "there") if told.get(name)]
    telling.say(f"{asked} ({', '.join(counts)}).")
    reasons = Counter(one["reason"] for one in told["rows_skipped"])
    for reason, n in reasons.most_common(_SHOWN_REASONS):
        telling.say(f"{n:,} rows skipped: {reason}.")
    at = told["answer_at"].items()
    places = {name: place.replace("journals/", f"{runs}/journals/", 1) for name, place in at}
    if list(places) == [""]:
        telling.say(Text(f"Answer at {places['']}", no_wrap=True, overflow="ignore"))
    else:
        for name, place in places.items():
            telling.say(Text(f"{name} answers at {place}", no_wrap=True, overflow="ignore"))
    tool = "" if told["tool"] == "argilla" else f" --tool {told['tool']}"
    telling.say(f"Votes: databuild annotate pull {told['dataset']}{tool}")
