from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.errors import SchemaError
from databuild.text.nested import CONTENT, CONTENT_AND_MORE, Texts

TURN = pl.Struct(
    {
        "role": pl.String,
        "content": pl.String,
        "tool_calls": pl.List(pl.Struct({"id": pl.String, "arguments": pl.String})),
    }
)
text = st.one_of(st.none(), st.text(max_size=3))
call = st.fixed_dictionaries({"id": text, "arguments": text})
turn = st.fixed_dictionaries(
    {"role": text, "content": text, "tool_calls": st.one_of(st.none(), st.lists(call, max_size=2))}
)
COLUMNS = st.one_of(
    st.lists(text, max_size=5).map(lambda v: pl.Series("c", v, dtype=pl.String)),
    st.lists(st.one_of(st.none(), st.lists(text, max_size=3)), max_size=5).map(
        lambda v: pl.Series("c", v, dtype=pl.List(pl.String))
    ),
    st.lists(
        st.one_of(st.none(), st.lists(st.one_of(st.none(), turn), max_size=3)), max_size=5
    ).map(lambda v: pl.Series("c", v, dtype=pl.List(TURN))),
)


@given(COLUMNS, st.integers(0, 3))
def test_what_is_taken_out_goes_back_to_its_place(column, start):
    column = column[start:]
    held = Texts(column, CONTENT_AND_MORE)
    assert held.put(held.texts).equals(column, check_dtypes=True, null_equal=True)
    again = Texts(held.put(held.texts + "!"), CONTENT_AND_MORE)
    assert again.texts.to_list() == [None if t is None else t + "!" for t in held.texts]
    assert len(held.rows) == len(held.items) == len(held.texts)


def test_only_contents_move_and_every_text_knows_its_row_and_turn():
    turns = [
        [{"role": "user", "content": "a", "tool_calls": None}],
        None,
        [
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "arguments": "{}"}]},
            {"role": "tool", "content": "b", "tool_calls": []},
        ],
    ]
    column = pl.Series("m", turns, dtype=pl.List(TURN))
    prose = Texts(column, CONTENT)
    assert list(zip(prose.texts, prose.rows, prose.items, strict=True)) == [
        ("a", 0, 0), (None, 2, 0), ("b", 2, 1),
    ]  # fmt: skip
    more = Texts(column, CONTENT_AND_MORE)
    assert ("{}", 2, 0) in list(zip(more.texts, more.rows, more.items, strict=True))


@pytest.mark.parametrize("column", [pl.Series("n", [1]), pl.Series("n", [[1.5]])])
def test_a_column_without_texts_is_refused(column):
    with pytest.raises(SchemaError, match="the column 'n' holds no texts"):
        Texts(column)
