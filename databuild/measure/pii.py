"""measure.pii: where personal data and secrets stand in a column."""

from __future__ import annotations

import numpy as np
import polars as pl
from pydantic import Field, field_validator

from databuild.engine.step import step
from databuild.recipe.options import Column, Names, StepConfig
from databuild.text.faults import known_names
from databuild.text.nested import CONTENT_AND_MORE, Texts
from databuild.text.pii import TYPES, find_in


class PiiConfig(StepConfig):
    """Options of `measure.pii`."""

    column: Column = "prompt"
    """The column of texts or messages to measure; the new columns begin with its name."""
    types: Names = Field(default=TYPES, min_length=1)
    """What to look for; all types that `text.pii` knows."""

    @field_validator("types")
    @classmethod
    def _must_be_known(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        return known_names(types, TYPES, "type")


def _names(config: PiiConfig) -> tuple[str, ...]:
    return tuple(f"{config.column}_pii{end}" for end in ("", "_count", "_types"))


@step("measure.pii", kind="measure", sees="row", version=1, adds=_names)
def measure_pii(rows: pl.DataFrame, config: PiiConfig) -> pl.DataFrame:
    """Find personal data and secrets, by pattern, check digit and context: see `text.pii`.

    With `<c>` for the column: `<c>_pii` the spans in order, each `{type, start, end}` in Unicode
    code points (start from 0, end exclusive; they do not overlap); `<c>_pii_count` how many;
    `<c>_pii_types` their types, sorted, each once. In a column of messages (or of lists of texts) a
    span is `{type, item, start, end}` with the place of the turn, from 0; its contents, names,
    arguments of tool calls and reasoning are searched. A null text has no spans.

    Names, postal addresses and what else has no form of its own are not found.

    Args:
        rows: n rows with `row_id` and the column.
        config: See `PiiConfig`.

    Returns:
        n rows with `row_id` and the three columns, in order.

    Raises:
        SchemaError: The column holds no texts.

    Cost:
        One text after another for rows that pass a gate in Polars; `tests/bench/pii.json`.

    Example:
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": ["I am ann@lee.org", "Hi"]})
        >>> measure_pii(rows, PiiConfig())["prompt_pii"].to_list()
        [[{'type': 'email', 'start': 5, 'end': 16}], []]
    """
    held = Texts(rows[config.column], CONTENT_AND_MORE, "measure.pii")
    found = [
        (int(held.rows[at]), span.type, int(held.items[at]), span.start, span.end)
        for at, spans in find_in(held.texts, config.types)
        for span in spans
    ]
    fields = ["type", "start", "end"] if held.is_flat else ["type", "item", "start", "end"]
    schema = {
        "_row": pl.UInt32, "type": pl.String, "item": pl.Int64, "start": pl.Int64, "end": pl.Int64,
    }  # fmt: skip
    spans = (
        pl.DataFrame(found, schema=schema, orient="row")
        .group_by("_row")
        .agg(
            spans=pl.struct(fields).sort_by("item", "start", "end"),
            types=pl.col("type").unique().sort(),
        )
    )
    places = pl.DataFrame({"_row": np.arange(rows.height, dtype=np.uint32)})
    whole = places.join(spans, on="_row", how="left", maintain_order="left").with_columns(
        pl.col("spans", "types").fill_null([])
    )
    name, count, types = _names(config)
    return rows.select("row_id").with_columns(
        whole["spans"].alias(name),
        whole["spans"].list.len().cast(pl.Int64).alias(count),
        whole["types"].alias(types),
    )
