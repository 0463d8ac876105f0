"""`databuild show`: the rows of a step, or what a train or deliver step left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from databuild.cli import asking, telling, values
from databuild.cli.application import command
from databuild.text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl
    from rich.console import RenderableType

    from databuild.engine.store import Manifest

_TABLE_COLUMNS = 5
_CELL_CHARS, _RECORD_CHARS = 60, 240
_INTERNAL = ("content_id", "parent_ids")
_FACT_ROWS = 20
_METRIC_CHARS = 100

StepName = Annotated[
    str,
    typer.Argument(
        metavar="STEP", help="A step, a part of it (split.train), or its losses (clean.dropped)."
    ),
]
HowMany = Annotated[int, typer.Option("-n", "--rows", metavar="N", min=0, help="How many rows.")]
ColumnNames = Annotated[
    str | None,
    typer.Option("--columns", metavar="A,B", help="Only these columns.", show_default=False),
]


@command(
    "show",
    "Show the rows, metrics or files of a step.",
    [
        "databuild show answers@1",
        "databuild show clean.dropped -n 20 --columns prompt,reason",
        "databuild show verdict@holdout",
    ],
)
def show(
    step: StepName,
    recipe: asking.RecipeName = None,
    n: HowMany = 5,
    columns: ColumnNames = None,
    runs: asking.RunsFolder = asking.RUNS,
    as_json: asking.AsJson = False,
) -> None:
    """Show rows of a step of the last run, or the metrics and files of a train or deliver step.

    `step.part` is one part of a selection, `step.dropped` and `step.failed` what was lost, and why.
    Long texts and ids are shortened; --json has them whole.
    """
    from databuild.cli import rows

    name = asking.recipe_name(runs, recipe)
    found = rows.open_step(runs, name, step)
    if found.manifest.kind in {"train", "deliver"}:
        _show_edge(found.folder, found.manifest, as_json=as_json)
        return
    wanted = tuple(part.strip() for part in columns.split(",")) if columns else None
    table, total = rows.first_rows(found, n, wanted)
    if as_json:
        facts = found.manifest.metrics
        telling.write_json(
            {"step": step, "n_rows": total, "rows": table.to_dicts(), "reported": facts}
        )
        return
    told = f"{step}: {total:,} rows" + (f", {table.height} shown" if table.height < total else "")
    reported = _reported(found.manifest.metrics) if step == found.manifest.step else []
    telling.say(told + ".", *_pretty(table, wanted), *reported)


def _reported(facts: dict[str, Any]) -> list[RenderableType]:
    """The facts that a step reported of its table: tables as such, the rest line by line."""
    from rich.text import Text

    pieces: list[RenderableType] = []
    for name, value in facts.items():
        is_table = isinstance(value, list) and value and isinstance(value[0], dict)
        if is_table:
            listed = telling.table(
                *value[0], left=[k for k, v in value[0].items() if isinstance(v, str)]
            )
            for row in value[:_FACT_ROWS]:
                listed.add_row(*(Text(telling.clipped(cell, _CELL_CHARS)) for cell in row.values()))
            more = len(value) - _FACT_ROWS
            pieces += ["", Text(name, "dim"), listed]
            pieces += [Text(f"{more:,} more (see --json)", "dim")] if more > 0 else []
        elif value not in ([], {}, None):
            pieces += ["", Text(f"{name}: {telling.clipped(value, _METRIC_CHARS)}")]
    return pieces


def _pretty(table: pl.DataFrame, wanted: Sequence[str] | None) -> list[RenderableType]:
    hidden = () if wanted else _INTERNAL
    shown = [name for name in table.columns if name not in hidden]
    if table.is_empty():
        return [f"Columns: {', '.join(shown)}"] if shown else []
    if len(shown) <= _TABLE_COLUMNS:
        return ["", _as_table(table.select(shown))]
    return [
        piece for row in table.select(shown).iter_rows(named=True) for piece in ("", _record(row))
    ]


def _as_table(table: pl.DataFrame) -> RenderableType:
    from rich.text import Text

    left = [name for name, dtype in table.schema.items() if not dtype.is_numeric()]
    made = telling.table(*map(printable, table.columns), left=map(printable, left))
    for row in table.iter_rows(named=True):
        made.add_row(*(Text(_cell(name, value, _CELL_CHARS)) for name, value in row.items()))
    return made


def _record(row: dict[str, Any]) -> RenderableType:
    """One row as a block of name and value; what is null is left out."""
    from rich.table import Table
    from rich.text import Text

    block = Table.grid(padding=(0, 2, 0, 0))
    block.add_column(no_wrap=True)
    block.add_column(overflow="fold")
    for name, value in row.items():
        if value is not None:
            style = "bold" if name == "row_id" else ""
            block.add_row(
                Text(printable(name), "dim"), Text(_cell(name, value, _RECORD_CHARS), style)
            )
    return block


def _cell(name: str, value: Any, length: int) -> str:
    if name.endswith("row_id") and isinstance(value, str):
        return telling.short_id(value)
    if name == "parent_ids":
        return ", ".join(telling.short_id(one) for one in value or ())
    return values.told(value, length)


def _show_edge(folder: Path, manifest: Manifest, *, as_json: bool) -> None:
    """What a train or deliver step left: metrics, model, files."""
    files = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.parts)
    }
    model = manifest.model.model_dump() if manifest.model else None
    if as_json:
        told = {"step": manifest.step, "use": manifest.use, "metrics": manifest.metrics}
        telling.write_json({**told, "model": model, "folder": str(folder), "files": files})
        return
    from rich.text import Text

    facts = telling.table("", "", left=("",))
    facts.show_header = False
    for name, value in _flat(manifest.metrics):
        facts.add_row(Text(name, "dim"), Text(telling.clipped(value, _METRIC_CHARS)))
    if model:
        facts.add_row(Text("model", "dim"), Text(telling.clipped(model["identity"], _METRIC_CHARS)))
    listed = telling.table("", "bytes", left=("",))
    for name, size in files.items():
        listed.add_row(Text(f"  {name}"), f"{size:,}")
    head = f"{manifest.step} ({manifest.use}), {telling.seconds(manifest.seconds)}"
    telling.say(head, "", facts, "", Text(str(folder)), listed)


def _flat(metrics: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Metrics with dotted names; lists by their length."""
    flat: list[tuple[str, Any]] = []
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
            flat.append((prefix + name, f"{len(value)} entries (see --json)"))
        else:
            flat.append((prefix + name, value))
    return flat
