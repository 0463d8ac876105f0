"""Chunks as rows: exact spans of their documents, nothing lost."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from databuild.errors import SchemaError
from databuild.generate.chunk import ChunkConfig, chunk_documents


def chunk(texts, **options):
    rows = pl.DataFrame(
        {"row_id": [f"r{n}" for n in range(len(texts))], "text": texts},
        schema_overrides={"text": pl.String},
    )
    return chunk_documents(rows, ChunkConfig(**options))


@given(st.lists(st.text(max_size=80) | st.none(), max_size=5))
def test_a_span_is_the_chunk_and_every_document_has_chunks_or_is_dropped(texts):
    made = chunk(texts, target_words=4, overlap_words=2)
    for row in made.rows.iter_rows(named=True):
        (parent,) = row["parent_ids"]
        document = texts[int(parent[1:])]
        assert document[row["chunk_start"] : row["chunk_end"]] == row["text"]
    blank = [f"r{n}" for n, text in enumerate(texts) if not (text or "").strip()]
    assert made.dropped["row_id"].to_list() == blank
    assert set(made.dropped["reason"]) <= {"no text"}
    held = {parent for parents in made.rows["parent_ids"] for parent in parents}
    assert held == {f"r{n}" for n in range(len(texts))} - set(blank)


def test_chunks_are_numbered_and_know_the_titles_above_them():
    made = chunk(["# A\n\none two three\n\n## B\n\nfour five six"], target_words=4).rows
    assert made["chunk_index"].to_list() == [0, 1]
    assert made["chunk_headings"].to_list() == [["A"], ["A", "B"]]


def test_a_table_stays_whole_up_to_the_longest_length():
    table = "\n".join("| a | b |" for _ in range(6))  # 30 words
    assert chunk([table], target_words=15).rows["text"].to_list() == [table]
    assert len(chunk([table], target_words=15, longest_words=20).rows) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target_words": 0}, "greater than or equal to 1"),
        ({"target_words": 9, "longest_words": 8}, "longest_words 8 is less than target_words 9"),
        ({"target_words": 9, "overlap_words": 9}, "overlap_words 9 is not less than 9 words"),
    ],
)
def test_lengths_that_contradict_each_other_are_refused(options, told):
    with pytest.raises(ValidationError, match=told):
        ChunkConfig(**options)


def test_a_column_of_numbers_is_refused_and_one_of_nulls_is_dropped():
    with pytest.raises(SchemaError, match="'text' is Int64, not text"):
        chunk_documents(pl.DataFrame({"row_id": ["a"], "text": [1]}), ChunkConfig())
    made = chunk_documents(pl.DataFrame({"row_id": ["a"], "text": [None]}), ChunkConfig())
    assert made.dropped.rows() == [("a", "no text")]
