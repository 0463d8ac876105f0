from __future__ import annotations

import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.fix.normalize import NormalizeConfig, normalize_text


def normalize(*texts: str | None) -> list[str | None]:
    rows = pl.DataFrame({"row_id": [str(i) for i in range(len(texts))], "prompt": texts})
    return (
        normalize_text(rows.cast({"prompt": pl.String}), NormalizeConfig()).rows["prompt"].to_list()
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cafe\u0301", "café"),
        (" a  b\u00a0\u3000c ", "a b c"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a \n\n\n\n b", "a\n\n b"),
        ("- a\n    - b  c", "- a\n    - b c"),
        (
            "x  y\n```py\nif  a:\n\tb  \n\n\n\n```\nz  z",
            "x y\n```py\nif  a:\n\tb  \n\n\n\n```\nz z",
        ),
        ("a  b ```never  closed", "a b ```never  closed"),
        ("", ""),
        (None, None),
    ],
)
def test_white_space_is_tidied_outside_code(text, wanted):
    assert normalize(text, "other  ```  text", text)[::2] == [wanted, wanted]


@given(st.text(alphabet=st.sampled_from("ab` \t\n\r\u00a0é\u0301"), max_size=30))
def test_a_second_time_changes_nothing_and_no_letter_is_lost(text):
    (once,) = normalize(text)
    assert normalize(once) == [once]
    assert "".join(once.split()) == "".join(unicodedata.normalize("NFC", text).split())


def test_every_row_has_one_child_and_other_columns_are_left_to_the_engine():
    rows = pl.DataFrame({"row_id": ["a", "b"], "p": ["x ", None], "q": [" y", "z"], "n": [1, 2]})
    made = normalize_text(rows, NormalizeConfig(columns=("p", "q")))
    assert made.rows.rows(named=True) == [
        {"parent_ids": ["a"], "p": "x", "q": "y"}, {"parent_ids": ["b"], "p": None, "q": "z"},
    ]  # fmt: skip


def test_no_columns_are_refused():
    with pytest.raises(ValueError, match="at least 1 item"):
        NormalizeConfig(columns=())
