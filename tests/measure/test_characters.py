from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.measure.characters import CharactersConfig, measure_characters

KINDS = ("letter", "digit", "punctuation", "symbol", "space", "control")


def measure(*texts):
    rows = pl.DataFrame({"row_id": [str(i) for i in range(len(texts))], "t": texts})
    found = measure_characters(rows.cast({"t": pl.String}), CharactersConfig(column="t"))
    return found.drop("row_id").rename(lambda name: name[2:-6]).to_dicts()


def test_every_kind_has_its_share():
    [found] = measure("aB1!+ \u200b🙂")
    assert found == {
        "letter": 2 / 8, "digit": 1 / 8, "punctuation": 1 / 8, "symbol": 2 / 8, "space": 1 / 8,
        "control": 1 / 8, "upper": 1 / 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("雨", "letter"), ("e\u0301", "letter"), ("\u200d", "letter"), ("Ⅳ", "digit"), ("。", "punctuation"),
        ("€", "symbol"), ("\u3000", "space"), ("\t\r\n", "space"), ("\ufeff", "control"), ("\x07", "control"),
        ("\ue000", "control"),
    ],
)  # fmt: skip
def test_kinds_of_all_scripts(text, kind):
    assert measure(text)[0][kind] == 1


def test_case_counts_only_letters_that_have_one():
    assert [found["upper"] for found in measure("AB雨1", "ab", "雨")] == [1, 0, 0]


@given(st.lists(st.one_of(st.none(), st.text()), min_size=1, max_size=6))
def test_shares_sum_to_one_where_there_is_text(texts):
    for text, found in zip(texts, measure(*texts), strict=True):
        assert sum(found[kind] for kind in KINDS) == pytest.approx(1 if text else 0)
        assert 0 <= found["upper"] <= 1


def test_long_batches_are_counted_in_slices(monkeypatch):
    texts = ["Ab 1", None, "雨" * 50, "", "x" * 7] * 3
    whole = measure(*texts)
    monkeypatch.setattr("databuild.text.characters._SLICE_CHARS", 20)
    assert measure(*texts) == whole
