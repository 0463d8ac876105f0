"""generate.chunk: a document becomes chunks along its structure, each an exact span of it."""

from __future__ import annotations

from typing import Any, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Produced, step
from databuild.errors import SchemaError
from databuild.recipe.options import Column, StepConfig
from databuild.text.chunks import cut_into_chunks

SPAN: dict[str, Any] = {
    "chunk_start": pl.Int64,
    "chunk_end": pl.Int64,
    "chunk_index": pl.Int64,
    "chunk_headings": pl.List(pl.String),
}
"""Where a chunk stands in its document: its span in characters, its place from 0, and the titles
above it, the highest first."""


class ChunkConfig(StepConfig):
    """Options of `generate.chunk`.

    Lengths are in words as `text.borders.word_starts` counts them: runs of letters and digits,
    single Chinese, Japanese or Thai characters, runs of punctuation.
    """

    column: Column = "text"
    """The column of documents, which holds the chunks afterwards."""
    target_words: int = Field(default=200, ge=1)
    """Length of a chunk, at best."""
    longest_words: int | None = Field(default=None, ge=1)
    """The longest list, table, paragraph or block of code that stays whole; twice the target where
    it is not given."""
    overlap_words: int = Field(default=0, ge=0)
    """The most that a chunk repeats of the one before it, in whole sentences or blocks of the same
    section."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.longest < self.target_words:
            msg = f"longest_words {self.longest} is less than target_words {self.target_words}"
            raise ValueError(msg)
        if self.overlap_words >= self.target_words:
            msg = f"overlap_words {self.overlap_words} is not less than {self.target_words} words"
            raise ValueError(msg)
        return self

    @property
    def longest(self) -> int:
        """The longest block that stays whole, in words."""
        return 2 * self.target_words if self.longest_words is None else self.longest_words


@step(
    "generate.chunk",
    kind="produce",
    sees="row",
    version=1,
    adds=lambda config: (config.column, *SPAN),
    attributes=tuple(SPAN),
    carries=True,
)
def chunk_documents(rows: pl.DataFrame, config: ChunkConfig) -> Produced:
    r"""Cut every document into chunks; see `text.chunks.cut_into_chunks`.

    Headings of Markdown and of books, paragraphs, lists, tables and blocks of code are kept whole
    where they fit; what is too long is cut after sentences. `document[chunk_start:chunk_end]` is
    the chunk, and without overlap every character of the document that is not blank is in exactly
    one chunk.

    Args:
        rows: n rows with `row_id` and `config.column: str`.
        config: See `ChunkConfig`.

    Returns:
        One or more rows a document, which is their only parent: the chunk in `config.column` and
        the attributes `chunk_start`, `chunk_end` (characters), `chunk_index` (from 0) and
        `chunk_headings`. A document that is null or blank is dropped.

    Raises:
        SchemaError: The column is not text.

    Cost:
        Python for every document: 1.3 million characters of books take about one second of one
        core (tests/bench/chunks.json).

    Example:
        >>> text = "# Tea\n\nIt is warm.\n\n# Ink\n\nBlack."
        >>> rows = pl.DataFrame({"row_id": ["a"], "text": [text]})
        >>> made = chunk_documents(rows, ChunkConfig(target_words=6)).rows
        >>> made.select("text", "chunk_start", "chunk_headings").rows()
        [('# Tea\n\nIt is warm.', 0, ['Tea']), ('# Ink\n\nBlack.', 20, ['Ink'])]
    """
    kind = rows.schema[config.column]
    if kind not in {pl.String, pl.Null}:
        what = f"the column {config.column!r} is {kind}, not text"
        raise SchemaError("generate.chunk", what, fix="name a column of text")
    made: list[tuple[Any, ...]] = []
    blank: list[tuple[str, str]] = []
    for row_id, text in rows.select("row_id", config.column).iter_rows():
        chunks = cut_into_chunks(
            text or "",
            target=config.target_words,
            longest=config.longest,
            overlap=config.overlap_words,
        )
        if not chunks:
            blank.append((row_id, "no text"))
        made += (
            ([row_id], text[one.start : one.end], one.start, one.end, number, list(one.headings))
            for number, one in enumerate(chunks)
        )
    schema = {"parent_ids": pl.List(pl.String), config.column: pl.String, **SPAN}
    dropped = pl.DataFrame(blank, schema={"row_id": pl.String, "reason": pl.String}, orient="row")
    return Produced(rows=pl.DataFrame(made, schema=schema, orient="row"), dropped=dropped)
