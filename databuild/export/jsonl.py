"""export.jsonl: rows as JSON lines in the formats that trainers read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from databuild.engine.step import step
from databuild.errors import StepError
from databuild.export.splits import SPLIT, together
from databuild.recipe.options import Columns, Names, StepConfig
from databuild.schema.rows import KINDS
from databuild.text.formats.registry import write_record
from databuild.text.formats.values import FaultError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

_SHOWN = 3


class JsonlConfig(StepConfig):
    """Options of `export.jsonl`."""

    format: Literal[
        "databuild",
        "alpaca",
        "sharegpt",
        "openai",
        "trl",
        "kto",
        "hh",
        "ultrafeedback",
        "answers",
        "vote",
    ] = "trl"
    """How a row is written. `trl` holds every kind but `response` and `vote`, `databuild` all;
    `alpaca`, `sharegpt`, `openai` hold `sft`; `kto` `feedback`; `hh` `preference`;
    `ultrafeedback` and `answers` hold `response`."""
    kind: Literal[
        "auto", "prompt", "response", "sft", "preference", "feedback", "steps", "document", "vote"
    ] = "auto"
    """What the rows are (`schemas/rows/`); with `auto` the column `row_kind` says it."""
    leave_out: Names = ()
    """Columns of the kind that the format may lose, such as `score` or `critique`."""
    keep: Columns = ()
    """Columns to write beside, under their own names, such as `row_id`."""
    split: str = Field(default="train", pattern=r"^\w+(\.\w+)*$")
    """The name of the file, before `.jsonl`, where there is one input. Of several, as in `from:
    {train: split.train, dev: split.dev}`, each gets the file of its name."""
    allow_empty: bool = False
    """Where there are no rows, write an empty file and go on; else the run stops with an error."""


@step(
    "export.jsonl",
    kind="deliver",
    sees="table",
    version=3,
    reads=lambda config: (*(("row_kind",) if config.kind == "auto" else ()), "*"),
)
def write_jsonl(
    rows: pl.DataFrame | None, config: JsonlConfig, *, out: Path, **others: pl.DataFrame
) -> dict[str, Any]:
    r"""Write every row as one line of JSON that reads back as the same row.

    What is written is read again and compared: a row that the format cannot hold is left out and
    named, with what would be lost. Keys without a value are left out. The lines are in the order of
    row_id.

    Args:
        rows: n rows with `row_id` and the columns of their kind.
        config: See `JsonlConfig`.
        out: An empty folder; gets `<split>.jsonl`.
        others: Further splits by name; each gets a file.

    Returns:
        `rows` and `files`, with several splits `splits` (rows by name); `rows_skipped` names the
        rows that the format cannot hold.

    Raises:
        StepError: There are no rows to write, or none that the format can hold.

    Cost:
        Row by row, twice: written and read again.

    Example:
        >>> import tempfile
        >>> import polars as pl
        >>> from pathlib import Path
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["Hi"], "response": ["Hello!"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     facts = write_jsonl(rows, JsonlConfig(kind="sft"), out=Path(folder))
        ...     (Path(folder) / "train.jsonl").read_text()
        '{"prompt": "Hi", "completion": "Hello!"}\n'
    """
    tables = _by_split(rows, config, others)
    counts: dict[str, int] = {}
    skipped: list[dict[str, str]] = []
    for split, table in tables.items():
        lost: list[dict[str, str]] = []
        counts[split] = _write(table, config, out / f"{split}.jsonl", lost)
        if not counts[split] and not (config.allow_empty and table.is_empty()):
            name = f" in the split {split!r}" if len(tables) > 1 else ""
            raise _nothing_to_write(table, name, lost)
        skipped += lost
    facts: dict[str, Any] = {
        "rows": sum(counts.values()), "files": [f"{split}.jsonl" for split in tables],
    }  # fmt: skip
    if len(tables) > 1:
        facts["splits"] = counts
    return {**facts, "rows_skipped": skipped} if skipped else facts


def _by_split(
    rows: pl.DataFrame | None, config: JsonlConfig, others: Mapping[str, pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    if rows is not None and not others:
        return {config.split: rows}
    table, splits = together(rows, config.split, others, "export.jsonl")
    return {split: table.filter(table[SPLIT] == split).drop(SPLIT) for split in splits}


def _write(
    rows: pl.DataFrame, config: JsonlConfig, path: Path, skipped: list[dict[str, str]]
) -> int:
    """Write the rows that the format can hold, and add the others to `skipped`."""
    written = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows.sort("row_id").iter_rows(named=True):
            try:
                made = _record(row, config)
            except FaultError as error:
                skipped.append({"row_id": row["row_id"], "reason": str(error)})
                continue
            file.write(json.dumps(made, ensure_ascii=False, default=str) + "\n")
            written += 1
    return written


def _nothing_to_write(
    rows: pl.DataFrame, split: str, skipped: Sequence[Mapping[str, str]]
) -> StepError:
    what = f"no rows to write{split}"
    if skipped:
        ids = [row["row_id"] for row in skipped[:_SHOWN]]
        what = f"{what}: {skipped[0]['reason']} (as {ids})"
    fix = "choose another `format`, or name what it may lose under `leave_out`"
    if rows.is_empty():
        fix = "look at the steps before with `databuild show`, or set `allow_empty: true`"
    return StepError("export.jsonl", what, fix=fix)


def _record(row: Mapping[str, Any], config: JsonlConfig) -> dict[str, Any]:
    kind = row["row_kind"] if config.kind == "auto" else config.kind
    if kind not in KINDS:
        msg = f"unknown kind: row_kind is {kind!r}, known are {', '.join(KINDS)}"
        raise FaultError(msg)
    own = {name: held for name, held in row.items() if name not in config.leave_out}
    lacking = [name for name in KINDS[kind].required if own.get(name) is None]
    if lacking:
        msg = f"no value: {lacking[0]} is null"
        raise FaultError(msg)
    made = write_record(own, kind, config.format)
    clash = sorted(set(config.keep) & made.keys())
    if clash:
        what = f"`keep` names {clash[0]!r}, which {config.format} writes itself"
        raise StepError("export.jsonl", what, fix="leave it out of `keep`")
    return {**made, **{name: row[name] for name in config.keep if row[name] is not None}}
