"""ingest.rows: the records of a table as typed rows, whatever shape each of them has."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl
from pydantic import Field, field_validator

from databuild.engine.step import Produced, step
from databuild.errors import SchemaError, nearest
from databuild.ingest.plan import ATTRIBUTES, Plan
from databuild.ingest.typed import read_frame
from databuild.recipe.options import StepConfig
from databuild.text.formats.registry import NAMES

_FAILED: dict[str, Any] = {"parent_ids": pl.List(pl.String), "error": pl.String}
Wanted = Literal[
    "auto", "prompt", "response", "sft", "preference", "feedback", "steps", "document", "vote"
]


class RowsConfig(StepConfig):
    """Options of `ingest.rows`."""

    kind: Wanted = "auto"
    """The kind of row that every record shall become; with `auto` it is the one that it reads as,
    and `row_kind` says which."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Columns that have other names than the known ones: `{prompt: question, response: answer}`.
    With it, no other columns are looked at."""

    @field_validator("columns")
    @classmethod
    def _must_be_known(cls, columns: dict[str, str]) -> dict[str, str]:
        return known_columns(columns)


def known_columns(columns: dict[str, str]) -> dict[str, str]:
    """Refuse names that no format knows.

    Raises:
        ValueError: One is unknown.
    """
    for name in columns:
        if name not in NAMES:
            msg = f"no format knows a column {name!r}; {nearest(name, NAMES)}"
            raise ValueError(msg)
    return columns


def _plan(config: RowsConfig) -> Plan:
    return Plan(config.kind, config.columns, is_carried=True)


@step(
    "ingest.rows",
    kind="produce",
    sees="row",
    version=1,
    reads=lambda config: tuple(config.columns.values()),
    adds=lambda config: tuple(_plan(config).schema),
    attributes=tuple(ATTRIBUTES),
    carries=True,
)
def read_rows(rows: pl.DataFrame, config: RowsConfig) -> Produced:
    r"""Read every record of a table as a row of a kind (`schemas/rows/`), by its own shape.

    Known are Alpaca, ShareGPT, OpenAI messages, TRL, HH transcripts, KTO labels, UltraFeedback,
    lists of answers with scores or ranks, votes, step labels, plain texts, and what databuild
    writes; conversations and lists may be JSON text. A record with several answers becomes several
    rows.

    Args:
        rows: n records with `row_id`.
        config: See `RowsConfig`.

    Returns:
        Rows with one parent: the columns of the kind (with `auto`, of all kinds), `row_kind`,
        `source_format`, `repaired_chars` (lone surrogates that became U+FFFD) and `extra` (JSON
        text: what the row does not hold and no carried column has). The parent's columns with other
        names are carried. A record, or a part of it, that is no such row is in `failed`, with
        `<fault>: <detail>`.

    Raises:
        SchemaError: `columns` names a column that the table lacks.

    Cost:
        Questions and answers in two or three columns of text are read column by column; all other
        records one by one.

    Example:
        >>> rows = pl.DataFrame({
        ...     "row_id": ["a", "b"], "instruction": ["Add.", "Add."], "input": ["2, 3", None],
        ...     "output": ["5", " "],
        ... })
        >>> made = read_rows(rows, RowsConfig(kind="sft"))
        >>> made.rows.select("prompt", "response", "source_format").rows()
        [('Add.\n\n2, 3', '5', 'alpaca')]
        >>> made.failed["error"].to_list()
        ['empty: output is blank']
    """
    lacking = [name for name in config.columns.values() if name not in rows.columns]
    if lacking:
        what = f"no column {lacking[0]!r}; {nearest(lacking[0], rows.columns)}"
        raise SchemaError("ingest.rows", what, fix="correct `columns`")
    ids = rows["row_id"]
    own = ("row_id", "content_id", "parent_ids", "key", "source_file", "source_record")
    records = rows.drop(own, strict=False)
    made, faults = read_frame(records, _plan(config))
    parents = ids[made["number"]] if made.height else ids.clear()
    failed = [([ids[number]], told) for number, told in faults]
    return Produced(
        rows=made.drop("number").with_columns(parent_ids=pl.concat_list(parents)),
        failed=pl.DataFrame(failed, schema=_FAILED, orient="row"),
    )
