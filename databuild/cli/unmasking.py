"""`databuild unmask`: masked values put back, for who has the secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.errors import SchemaError, StoreError

if TYPE_CHECKING:
    import polars as pl

_SUFFIXES = (".parquet", ".jsonl")
Table = Annotated[
    str,
    typer.Argument(
        metavar="STEP|FILE",
        help="A step of the last run or a part of it, or a file (.parquet, .jsonl).",
    ),
]
KeyEnv = Annotated[
    str,
    typer.Option(
        "--key-env",
        metavar="VARIABLE",
        help="Environment variable with the secret that the values were sealed with.",
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="Where the rows go: a new .parquet or .jsonl file."),
]
Also = Annotated[
    str | None,
    typer.Option(
        "--also",
        metavar="A,B",
        help="Other columns in which stand-ins occur, such as answers to masked prompts.",
        show_default=False,
    ),
]


@command(
    "unmask",
    "Put masked personal data back.",
    [
        "databuild unmask masked --key-env PII_KEY --out original.jsonl",
        "databuild unmask answers --key-env PII_KEY --also response --out original.parquet",
    ],
)
def unmask(
    table: Table,
    key_env: KeyEnv,
    out: Out,
    also: Also = None,
    recipe: asking.RecipeName = None,
    runs: asking.RunsFolder = asking.RUNS,
) -> None:
    """Write the rows of a step or file with the values that fix.mask replaced.

    The step must have run with `mapping_key_env`. The secret comes from the environment only; the
    file that is written can be read by you alone.
    """
    from databuild.fix.unmask import unmask_rows
    from databuild.text.sealing import Seal, secret_of

    _check_out(out)
    seal = Seal(secret_of(key_env, "unmask"), "unmask")
    rows = _read(table, recipe, runs)
    others = tuple(name.strip() for name in also.split(",")) if also else ()
    _write(unmask_rows(rows, seal, others), out)
    telling.say(f"{rows.height:,} rows in {out}: handle them as personal data.")


def _check_out(out: Path) -> None:
    if out.suffix not in _SUFFIXES:
        what = f"the name ends in {out.suffix!r}"
        raise StoreError(str(out), what, fix=f"name a file that ends in {' or '.join(_SUFFIXES)}")
    if out.exists():
        raise StoreError(str(out), "this file exists", fix="name a new file")


def _read(table: str, recipe: str | None, runs: Path) -> pl.DataFrame:
    import polars as pl

    path = Path(table)
    if path.suffix not in _SUFFIXES:
        from databuild.cli import rows

        found = rows.open_step(runs, asking.recipe_name(runs, recipe), table)
        counts = found.manifest.rows
        return rows.first_rows(found, counts.rows_in + counts.rows_out + 1, None)[0]
    try:
        return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ndjson(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        what = f"this table cannot be read: {str(error).splitlines()[0]}"
        raise SchemaError(
            table, what, fix="name a step, or a Parquet or JSON Lines file"
        ) from error


def _write(rows: pl.DataFrame, out: Path) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        if out.suffix == ".parquet":
            rows.write_parquet(handle)
        else:
            rows.write_ndjson(handle)
