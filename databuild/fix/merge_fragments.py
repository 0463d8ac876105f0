"""fix.merge_fragments: the rows of a group become one row, in order."""

from __future__ import annotations

import polars as pl
from pydantic import Field

from databuild.engine.step import Produced, step
from databuild.errors import SchemaError
from databuild.fix.record import NOTES
from databuild.recipe.options import Column, Columns, StepConfig


class MergeFragmentsConfig(StepConfig):
    """Options of `fix.merge_fragments`."""

    by: Columns = Field(min_length=1)
    """Columns whose equal values make a group: the document, the conversation."""
    order: Columns = Field(min_length=1)
    """Columns that say the order of fragments, such as a page; null comes last, then row_id."""
    column: Column = "text"
    """What is joined: texts, or lists (messages)."""
    separator: str = "\n\n"
    """What goes between two texts."""
    keep: Columns = ()
    """Other columns to keep: the first value that is not null, in order. The rest does not come
    along: rows that differ there are one row now."""


@step(
    "fix.merge_fragments",
    kind="produce",
    sees="group",
    version=1,
    adds=lambda config: (*config.by, config.column, *config.keep, "n_fragments", "fixes"),
    group=lambda config: config.by,
    attributes=("fixes", "n_fragments"),
)
def merge_fragments(rows: pl.DataFrame, config: MergeFragmentsConfig) -> Produced:
    r"""Join the rows of each group into one row whose parents are all of them.

    A row with a null in `by` belongs to no group and stays alone. Null and empty texts add nothing,
    not even a separator; a group of nothing else has null. Lists are joined end to end.

    Args:
        rows: Rows of one or more groups, with `row_id` and the columns that `config` names.
        config: See `MergeFragmentsConfig`.

    Returns:
        One row a group: `by`, the joined column, `keep`, `n_fragments` (rows of the group), and
        `fixes`, which notes `merge_fragments` with that number where it is above 1.

    Raises:
        SchemaError: The column holds neither texts nor lists.

    Example:
        >>> columns = {"doc": [1, 1], "page": [2, 1], "text": ["B", "A"]}
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], **columns})
        >>> made = merge_fragments(rows, MergeFragmentsConfig(by="doc", order="page"))
        >>> made.rows["text"].to_list(), made.rows["parent_ids"].to_list()
        (['A\n\nB'], [['b', 'a']])
    """
    kind = rows.schema[config.column]
    value = pl.col(config.column)
    if kind in {pl.String, pl.Null}:
        said = value.cast(pl.String).filter(value.cast(pl.String).str.len_bytes() > 0)
        joined = pl.when(said.len() > 0).then(said.str.join(config.separator))
    elif isinstance(kind, pl.List):
        joined = pl.when(value.is_not_null().any()).then(
            value.explode(empty_as_null=False, keep_nulls=False)
        )
    else:
        what = f"the column {config.column!r} is {kind}, neither texts nor lists"
        raise SchemaError("fix.merge_fragments", what, fix="name a column of texts or messages")
    alone = pl.when(pl.any_horizontal(pl.col(config.by).is_null())).then("row_id")
    made = (
        rows.with_columns(_alone=alone)
        .sort(*config.order, "row_id", nulls_last=True)
        .group_by(*config.by, "_alone", maintain_order=True)
        .agg(
            pl.col("row_id").alias("parent_ids"),
            joined.alias(config.column),
            *(pl.col(name).drop_nulls().first() for name in config.keep),
            n_fragments=pl.len().cast(pl.Int64),
        )
    )
    note = pl.struct(
        column=pl.lit(config.column), fix=pl.lit("merge_fragments"), n=pl.col("n_fragments")
    )
    notes = pl.when(pl.col("n_fragments") > 1).then(pl.concat_list(note)).otherwise([])
    return Produced(
        rows=made.select(
            "parent_ids", *config.by, config.column, *config.keep, "n_fragments",
            fixes=notes.cast(NOTES),
        )
    )  # fmt: skip
