"""What every fix that changes texts in place does: one child a row, and a note of each change.

The column `fixes` says what was changed, step after step: a list of `{column, fix, n}`, where `n`
counts as the fix defines it. A row that needed nothing gets no note and comes through byte for
byte. The column is an attribute: it says how a row was made and bears no identity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from pydantic import Field

from databuild.engine.step import Produced, Step, step
from databuild.errors import SchemaError
from databuild.fix.talks import Change, change_turns, reached, talk_columns
from databuild.recipe.options import Columns, StepConfig
from databuild.text.nested import CONTENT, Texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

NOTE = pl.Struct({"column": pl.String, "fix": pl.String, "n": pl.Int64})
NOTES = pl.List(NOTE)


class InPlaceConfig(StepConfig):
    """The options of every fix that changes texts in place."""

    columns: Columns = Field(default=("prompt",), min_length=1)
    """The columns of texts or messages to fix."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one: their turns follow, those of users,
    systems and tools where `prompt` is fixed, the assistant's where `response` is (`fix.talks`).
    Null (`~`) leaves it as it is."""


def in_place(name: str, *, version: int) -> Callable[[Callable[..., Produced]], Step]:
    """Declare a fix in place: a produce step with one child a row, which notes what it changed."""
    return step(
        name,
        kind="produce",
        sees="row",
        version=version,
        adds=lambda config: (*config.columns, "fixes"),
        also=lambda config: talk_columns(config.columns, config.messages),
        attributes=("fixes",),
        carries=True,
    )


def fixed(
    rows: pl.DataFrame,
    columns: Sequence[str],
    change: Change,
    where: str,
    messages: str | None = None,
) -> Produced:
    """Change the texts of columns, and of the conversations beside them; every row has one child.

    Args:
        rows: n rows with `row_id`, the columns, and `fixes` where an earlier fix noted something.
        columns: Columns of texts, of lists of texts, or of messages.
        change: See `Change`.
        where: The step, for errors.
        messages: The column of conversations that follow, where the rows have it; see `fix.talks`.

    Raises:
        SchemaError: A column holds no texts, or `fixes` is something else.
    """
    made = rows.select(pl.concat_list("row_id").alias("parent_ids"))
    notes = []
    for column in columns:
        held = Texts(rows[column], CONTENT, where)
        texts, counts = change(held.texts)
        made = made.with_columns(held.put(texts))
        notes.append(noted(held.rows, column, counts))
    for column, sides in reached(rows, columns, messages):
        held = Texts(rows[column], CONTENT, where)
        texts, places, counts = change_turns(held, rows[column], sides, change)
        made = made.with_columns(held.put(texts))
        notes.append(noted(places, column, counts))
    others = (name for name in talk_columns(columns, messages) if name in rows.columns)
    made = made.with_columns(rows[name] for name in others if name not in made.columns)
    return Produced(rows=made.with_columns(fixes=with_notes(rows, notes, where)))


def noted(
    rows: np.ndarray[tuple[int], np.dtype[np.int64]], column: str, counts: Mapping[str, pl.Series]
) -> pl.DataFrame:
    """List what was changed: `row`, `column`, `fix`, `n`, one line a row and fix, none for 0."""
    frames = [
        pl.DataFrame({"row": rows, "n": n.cast(pl.Int64)})
        .filter(pl.col("n") > 0)
        .group_by("row", maintain_order=True)
        .agg(pl.col("n").sum())
        .select("row", pl.lit(column).alias("column"), pl.lit(fix).alias("fix"), "n")
        for fix, n in counts.items()
    ]
    schema = {"row": pl.Int64, "column": pl.String, "fix": pl.String, "n": pl.Int64}
    return pl.concat([pl.DataFrame(schema=schema), *frames])


def with_notes(rows: pl.DataFrame, notes: Sequence[pl.DataFrame], where: str) -> pl.Series:
    """The column `fixes` of the children: the parent's notes, then the new ones.

    Raises:
        SchemaError: The rows have a column `fixes` that no fix has made.
    """
    before = rows["fixes"] if "fixes" in rows.columns else pl.Series([None] * rows.height)
    if before.dtype not in {NOTES, pl.Null}:
        what = f"the column 'fixes' is {before.dtype}, where the fixes note what they changed"
        raise SchemaError(where, what, fix="rename that column before")
    new = (
        pl.concat(notes)
        .group_by("row", maintain_order=True)
        .agg(new=pl.struct("column", "fix", "n"))
    )
    return (
        pl.DataFrame({"row": np.arange(rows.height), "old": before.cast(NOTES).fill_null([])})
        .join(new, on="row", how="left", maintain_order="left")
        .select(pl.col("old").list.concat(pl.col("new").cast(NOTES).fill_null([])))
        .to_series()
        .alias("fixes")
    )
