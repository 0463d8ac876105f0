"""`databuild dedup`: near-duplicates of a file, without a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.errors import RecipeError, StoreError

if TYPE_CHECKING:
    from rich.console import RenderableType

_SUFFIXES = (".parquet", ".pq", ".jsonl", ".ndjson")
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE... OUT",
        help="Parquet or JSON Lines files, globs or folders of them; last the folder to write, new "
        "or empty.",
    ),
]
Threshold = Annotated[
    float, typer.Option(help="Jaccard similarity from which on rows are duplicates, in (0, 1].")
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME",
        help="Text column to compare; again for more, compared as one text. Without it the first "
        "of messages, conversations, prompt, instruction (with input), question, text, content.",
        show_default=False,
    ),
]
Prefer = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Keep the row with the highest value of this column; without it the first row.",
        show_default=False,
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Files of earlier rows: none of them is dropped, and rows near one of them are.",
        show_default=False,
    ),
]
Index = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="An index of earlier batches: rows near one of theirs are dropped, and the rows kept "
        "now are added. It is made where there is none.",
        show_default=False,
    ),
]
Ngram = Annotated[int, typer.Option(metavar="N", help="Tokens of an n-gram.")]
Recall = Annotated[
    float, typer.Option(help="Share of the pairs just at the threshold that must be found.")
]
Scheme = Annotated[
    str, typer.Option(help="fast, or datasketch: the signatures that datasketch 2 makes.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, help="Cores to use; all without it.",
                 show_default=False),
]  # fmt: skip


@command(
    "dedup",
    "Drop near-duplicate rows of files, without a recipe.",
    [
        "databuild dedup in.parquet out/ --threshold 0.7 --prefer quality",
        "databuild dedup 'data/*.parquet' out/ --column prompt --column response",
        "databuild dedup new.parquet out/ --against old.parquet",
        "databuild dedup monday.parquet out-monday/ --index seen/",
    ],
)
def dedup(  # noqa: PLR0913, PLR0917 -- one parameter per option
    words: Words,
    threshold: Threshold = 0.7,
    column: Column = None,
    prefer: Prefer = None,
    against: Against = None,
    index: Index = None,
    ngram: Ngram = 3,
    recall: Recall = 0.9995,
    scheme: Scheme = "fast",
    workers: Workers = None,
    as_json: asking.AsJson = False,
) -> None:
    """Drop rows that are equal or nearly equal to a better one; every drop is verified.

    Two rows are duplicates when the sets of n-grams of their texts (lower-cased, by words, by
    characters in Chinese and the like) have a Jaccard similarity of at least the threshold. Every
    dropped row has a kept row that near to it. OUT gets kept-*.parquet (one for each input file,
    all columns as they were), dropped/ (the same columns, and which row was kept instead, the
    similarity, the stage: exact, near or earlier), clusters.parquet and manifest.json.

    Stop it with Ctrl-C, or kill it, whenever you like: the same command goes on where it stopped.
    """
    from databuild.engine.local import cores

    inputs, out = _files_and_out(words)
    _check(threshold, recall, ngram, scheme)
    from databuild.cli.progress import Board
    from databuild.dedup.on_files import Asked, dedup_files

    asked = Asked(
        inputs, out, tuple(column or ()), threshold, ngram, recall, scheme, prefer,
        _listed(against or []), index, workers or cores(),
    )  # fmt: skip
    board = Board(3, telling.console(stderr=True))
    with board.shown():
        told = dedup_files(asked, board)
    if as_json:
        telling.write_json(told)
        return
    telling.say(*_summary(told, out))


def _check(threshold: float, recall: float, ngram: int, scheme: str) -> None:
    from pydantic import ValidationError

    from databuild.dedup.minhash import NearConfig

    given = {"threshold": threshold, "recall": recall, "ngram": ngram, "scheme": scheme}
    try:
        NearConfig.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]) if first["loc"] else "threshold"
        message = first["msg"].removeprefix("Value error, ")
        what = f"--{option} {given[option]}: {message[0].lower()}{message[1:]}"
        raise RecipeError("command line", what, fix="correct the option") from error


def _files_and_out(words: list[str]) -> tuple[tuple[Path, ...], Path]:
    if len(words) < 2:
        what = f"only {words[0]!r} is given: files first, and last the folder to write"
        raise RecipeError("command line", what, fix="write `databuild dedup in.parquet out/`")
    out = Path(words[-1])
    if out.suffix in _SUFFIXES:
        what = f"the last word, {words[-1]!r}, is to be the folder to write, and names a file"
        raise RecipeError("command line", what, fix="write `databuild dedup in.parquet out/`")
    return _listed(words[:-1]), out


def _listed(words: list[str]) -> tuple[Path, ...]:
    """The files that paths, globs and folders stand for, each once."""
    found: dict[Path, None] = {}
    for word in words:
        path = Path(word)
        if path.is_dir():
            some = sorted(p for p in path.rglob("*") if p.suffix in _SUFFIXES and p.is_file())
        elif any(sign in word for sign in "*?["):
            root = Path(path.anchor or ".")
            pattern = str(path.relative_to(root)) if path.anchor else word
            some = sorted(p for p in root.glob(pattern) if p.is_file())
        else:
            some = [path] if path.is_file() else []
        if not some:
            what = "there is no such file" if not path.is_dir() else f"no {', '.join(_SUFFIXES)}"
            raise StoreError(word, what, fix="correct the path")
        found |= dict.fromkeys(some)
    return tuple(found)


def _summary(told: dict[str, Any], out: Path) -> list[RenderableType]:
    """The outcome for a person: rows, what was dropped and why, the largest clusters, places."""
    from rich.text import Text

    rows, options, seconds = told["rows"], told["options"], told["seconds"]
    share = telling.percent(rows["dropped"] / rows["in"]) if rows["in"] else "none"
    stages = ", ".join(f"{n:,} {name}" for name, n in rows["by_stage"].items() if n)
    pieces: list[RenderableType] = [
        "",
        f"{rows['in']:,} rows: {rows['kept']:,} kept, {rows['dropped']:,} dropped ({share})"
        + (f": {stages}." if stages else "."),
        f"Compared: {', '.join(told['columns'])}; duplicates from Jaccard {options['threshold']} "
        f"of {options['ngram']}-grams on"
        + (f"; best {told['prefer']} kept." if told["prefer"] else "."),
    ]
    if told["skipped_pairs"]:
        pieces.append(
            f"{told['skipped_pairs']:,} pairs of kept rows at most were not compared: rows of one "
            f"template, more than {told['bucket_cap']} with one key; samples showed no duplicates."
        )
    if told["largest_clusters"]:
        listed = telling.table("rows", "kept row", "text", left=("text",))
        for one in told["largest_clusters"]:
            listed.add_row(f"{one['rows']:,}", f"{one['kept']:,}", Text(one["text"]))
        pieces += ["", "Largest clusters", listed]
    spent = (
        f"{telling.seconds(seconds['wall'])} ({seconds['cpu_to_verdicts']:.1f} CPU s to the "
        f"verdicts, {seconds['cpu']:.1f} with writing), peak {told['memory_mib']['peak']:,} MiB "
        f"(expected {told['memory_mib']['expected']:,})."
    )
    return [*pieces, "", spent, Text(f"written: {out}", no_wrap=True, overflow="ignore")]
