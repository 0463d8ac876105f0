from __future__ import annotations

import itertools
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.dedup.exact import ExactConfig, drop_exact_duplicates
from databuild.dedup.plain_forms import Plain, form_hashes, normal_form
from databuild.engine.parts import Parts
from databuild.errors import SchemaError


def kept(texts, **options) -> list[int]:
    n = len(texts)
    rows = pl.DataFrame({"row_id": [f"{i:02d}" for i in range(n)], "prompt": texts})
    out = drop_exact_duplicates(rows.cast({"prompt": pl.String}), ExactConfig(**options)).table
    return [int(i) for i in out.filter(pl.col("part") == "kept")["row_id"].sort()]


@pytest.mark.parametrize(
    ("option", "texts"),
    [
        ("width", ["ＡＢＣ", "ABC"]),
        ("case", ["Abc", "aBC"]),
        ("whitespace", ["a  b", " a\nb "]),
        ("punctuation", ["a, b!", "a b"]),
    ],
)
def test_what_counts_as_equal_is_an_option(option, texts):
    assert kept(texts, **{option: True}) == [0]
    assert kept(texts, **{option: False}) == [0, 1]


def test_composed_and_decomposed_letters_are_always_equal():
    assert kept(["é", "e\u0301"], width=False, case=False) == [0]


def test_null_text_is_never_a_duplicate():
    assert kept([None, None, "", ""]) == [0, 1, 2]


def test_texts_of_punctuation_alone_stay_different():
    assert kept(["?", "!", "?"], punctuation=True) == [0, 1]


def test_all_columns_must_agree_and_their_borders_count():
    rows = pl.DataFrame({
        "row_id": ["a", "b", "c", "d"], "p": ["x", "x", "xy", "x"], "q": ["yz", "yz", "z", None],
    })  # fmt: skip
    out = drop_exact_duplicates(rows, ExactConfig(columns=("p", "q"))).table.sort("row_id")
    assert out["part"].to_list() == ["kept", "dropped", "kept", "kept"]
    assert json.loads(out["evidence"][1]) == {"kept": "a", "rows": 2}


def test_the_preferred_row_stays_and_nan_never_wins():
    rows = pl.DataFrame({
        "row_id": ["a", "b", "c", "d"], "prompt": ["x"] * 4, "q": [float("nan"), None, 0.2, 0.1],
    })  # fmt: skip
    out = drop_exact_duplicates(rows, ExactConfig(prefer="q")).table
    assert out.filter(pl.col("part") == "kept")["row_id"].to_list() == ["c"]
    assert set(out["evidence"].drop_nulls()) == {'{"kept":"c","rows":4}'}


PIECES = st.sampled_from(
    ["a", "A", "ß", "é", "e\u0301", "Ａ", " ", "  ", "\t", "\u3000", "\u2028", "\x85", "\x1c", ".",
     "!", "。", "$", "世", "界", "🙂", "\x00", "\u0130", "ab", "σ", "Σ"]
)  # fmt: skip
TEXTS = st.lists(st.lists(PIECES, max_size=4).map("".join) | st.none(), min_size=2, max_size=30)


@given(TEXTS, st.tuples(*[st.booleans()] * 4))
def test_hashes_agree_where_polars_makes_the_same_normal_form(texts, options):
    plain, column = Plain(*options), pl.Series("t", texts, dtype=pl.String)
    forms = column.to_frame().select(normal_form(pl.col("t"), plain)).to_series().to_list()
    hashes = [tuple(row) for row in form_hashes([column], plain).tolist()]
    known = [(form, found) for form, found in zip(forms, hashes, strict=True) if form is not None]
    for (form, found), (other, also) in itertools.combinations(known, 2):
        assert (form == other) == (found == also), (form, other)


@given(TEXTS, TEXTS)
def test_how_rows_are_cut_into_parts_does_not_matter(first, second):
    rows = pl.DataFrame(
        {"row_id": [f"{n:03d}" for n in range(len(first) + len(second))],
         "prompt": pl.Series([*first, *second], dtype=pl.String)}
    ).with_columns(
        messages=pl.lit([{"role": "system", "content": "x"}, {"role": "user", "content": "y"}])
    )  # fmt: skip
    rows = rows.with_columns(messages=pl.when(pl.col("row_id") < "004").then("messages"))
    whole = drop_exact_duplicates(rows, ExactConfig()).table
    parts = Parts.of(rows.head(len(first)), rows.tail(len(second)))
    cut = pl.concat(drop_exact_duplicates.run(parts, ExactConfig()).frames)
    assert cut.equals(whole)


def test_facts_name_the_largest_groups():
    rows = pl.DataFrame({"row_id": list("abcde"), "prompt": ["x y", "X  y", "x y", "z", "Z"]})
    facts = drop_exact_duplicates(rows, ExactConfig()).facts
    assert (facts["rows"], facts["exact"]) == (5, 3)
    told = [(one["rows"], one["kept"], one["text"]) for one in facts["largest_clusters"]]
    assert told == [(3, "a", "x y"), (2, "d", "z")]


def test_a_column_that_is_not_text_is_refused():
    rows = pl.DataFrame({"row_id": ["a"], "prompt": [1]})
    with pytest.raises(SchemaError, match="'prompt' is of type Int64, not text"):
        drop_exact_duplicates(rows, ExactConfig())
