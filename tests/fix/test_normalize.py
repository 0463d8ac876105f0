from __future__ import annotations

import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.fix.normalize import NormalizeConfig, normalize_text


def normalize(*texts: str | None, **options: str) -> list[str | None]:
    rows = pl.DataFrame({"row_id": [str(i) for i in range(len(texts))], "prompt": texts})
    made = normalize_text(rows.cast({"prompt": pl.String}), NormalizeConfig(**options))
    return made.rows["prompt"].to_list()


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


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("\ufeffpass\u200bword\u00ad\x00\x1b", "password"),
        ("evil\u202etxt.exe \u2066x\u2069", "eviltxt.exe x"),
        ("שלום \u200fabc\u200e", "שלום \u200fabc\u200e"),
        ("👨\u200d👩\u200d👧 ❤\ufe0f\u200d🔥", "👨\u200d👩\u200d👧 ❤\ufe0f\u200d🔥"),
        ("می\u200cخواهم a\u200cb c\u200d", "می\u200cخواهم ab c"),
        ("क्\u200dष", "क्\u200dष"),
        ("a\U000e0041\U000e0042b 🏴\U000e0067\U000e007f", "ab 🏴\U000e0067\U000e007f"),
        ("a\x0bb\x0cc\u0085d\u2028e", "a\nb\nc\nd\ne"),
        ("x ```a\u200b\x00  b``` y\u200b", "x ```a\u200b\x00  b``` y"),
        ("a ```never  \n ", "a ```never  \n "),
        ("`\u200b``  a  b", "```  a  b"),
    ],
)
def test_what_is_not_seen_goes_where_it_does_no_work(text, wanted):
    assert normalize(text) == [wanted]
    assert normalize("\u200b", invisible="keep") == ["\u200b"]


def test_full_width_and_quotes_are_left_unless_asked():
    text = "ＡＢＣ１２，“It’s”，你好！！（对）ok！"
    assert normalize(text) == [text]
    narrowed = "ABC12,“It’s”，你好！！（对）ok!"
    assert normalize(text, full_width="narrow") == [narrowed]
    assert normalize(text, quotes="plain") == ['ＡＢＣ１２，"It\'s"，你好！！（对）ok！']


@given(st.text(alphabet=st.sampled_from("ab` \t\n\r\u00a0é\u0301"), max_size=30))
def test_a_second_time_changes_nothing_and_no_letter_is_lost(text):
    (once,) = normalize(text)
    assert normalize(once) == [once]
    assert "".join(once.split()) == "".join(unicodedata.normalize("NFC", text).split())


def test_every_row_has_one_child_and_other_columns_are_left_to_the_engine():
    rows = pl.DataFrame({"row_id": ["a", "b"], "p": ["x ", None], "q": [" y", "z"], "n": [1, 2]})
    made = normalize_text(rows, NormalizeConfig(columns=("p", "q")))
    note = {"fix": "white_space", "n": 1}
    assert made.rows.rows(named=True) == [
        {"parent_ids": ["a"], "p": "x", "q": "y", "fixes": [{"column": "p", **note}, {"column": "q", **note}]},
        {"parent_ids": ["b"], "p": None, "q": "z", "fixes": []},
    ]  # fmt: skip


def test_no_columns_are_refused():
    with pytest.raises(ValueError, match="at least 1 item"):
        NormalizeConfig(columns=())
