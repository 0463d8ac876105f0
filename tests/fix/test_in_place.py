"""What holds for every fix that changes texts in place, whatever the text."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.errors import SchemaError
from databuild.fix.html import HtmlConfig, turn_html_to_text
from databuild.fix.mojibake import MojibakeConfig, mend_mojibake
from databuild.fix.normalize import NormalizeConfig, normalize_text

FIXES = {
    "normalize": (normalize_text, NormalizeConfig, {}),
    "normalize-all": (
        normalize_text, NormalizeConfig, {"full_width": "narrow", "quotes": "plain"},
    ),
    "mojibake": (mend_mojibake, MojibakeConfig, {}),
    "html": (turn_html_to_text, HtmlConfig, {}),
}  # fmt: skip
PIECES = st.sampled_from(
    [
        "```", "`", "\u200b", "\u200d", "\ufeff", "\u202e", "\u2067", "א", "👨\u200d👩", "🏴\U000e0067\U000e007f",
        "\U000e0041", "\x00", "\x0b", "\u0085", "\u2028", "\u1fef", "｀", "ＡＢ！", "你好，", "“", "’", "e\u0301",
        " ", "\u00a0", "\n", "\r\n", "\t", "CafÃ©", "â€™", "Ã", "ÃƒÂ©", "schön", "привет", "Ð¿Ñ€", "\ufffd",
        "<p>", "</p>", "<b>x</b>", "<br>", "<pre> a\n  b</pre>", "<code>c  d</code>", "<li>", "<ul>", "</ul>",
        "<a href='https://x.org'>y</a>", "<td>", "</td>", "<!--z-->", "&amp;", "&lt;", "&gt;", "&#60;", "&nope;",
        "&amp;amp;", "&", "<", ">", "a<b", "<script>", "-", "1. ", "# ", "|", "\\",
    ]
)  # fmt: skip
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=9).map("".join)


def fix(which, texts):
    function, config, options = FIXES[which]
    rows = pl.DataFrame(
        {"row_id": [str(i) for i in range(len(texts))], "prompt": pl.Series(texts, dtype=pl.String)}
    )
    return function(rows, config(**options)).rows


@pytest.mark.parametrize("which", FIXES)
@given(st.lists(st.one_of(TEXTS, st.none()), min_size=1, max_size=4))
def test_a_second_time_changes_nothing_and_a_note_is_made_of_every_change(which, texts):
    once = fix(which, texts)
    made = once["prompt"].to_list()
    assert [(t is None) for t in made] == [(t is None) for t in texts]
    for before, after, notes in zip(texts, made, once["fixes"].to_list(), strict=True):
        assert (before != after) == bool(notes)
        assert all(note["n"] > 0 and note["column"] == "prompt" for note in notes)
    twice = fix(which, made)
    assert twice["prompt"].to_list() == made
    assert twice["fixes"].list.len().sum() == 0


@pytest.mark.parametrize("which", FIXES)
@settings(max_examples=30)
@given(TEXTS.filter(lambda text: "`" not in text and "\u1fef" not in text and "｀" not in text))
def test_a_code_block_comes_through_byte_for_byte(which, code):
    (made,) = fix(which, [f"say ```{code}``` done"])["prompt"]
    assert f"```{code}```" in made


@pytest.mark.parametrize("which", FIXES)
@settings(max_examples=15)
@given(st.lists(TEXTS, max_size=3))
def test_a_text_says_the_same_alone_among_others_and_in_messages(which, texts):
    together = fix(which, texts)["prompt"].to_list()
    assert together == [fix(which, [text])["prompt"][0] for text in texts]
    function, config, options = FIXES[which]
    turn = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
    turns = pl.Series([[{"role": "user", "content": text} for text in texts], None], dtype=turn)
    rows = pl.DataFrame({"row_id": ["a", "b"], "messages": turns})
    made = function(rows, config(columns="messages", **options)).rows["messages"].to_list()
    assert made == [[{"role": "user", "content": text} for text in together], None]


@pytest.mark.parametrize("which", FIXES)
def test_notes_of_earlier_fixes_are_kept(which):
    function, config, options = FIXES[which]
    earlier = [{"column": "x", "fix": "earlier", "n": 2}]
    notes = pl.Series(
        [earlier, []],
        dtype=pl.List(pl.Struct({"column": pl.String, "fix": pl.String, "n": pl.Int64})),
    )
    rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": ["<p>Ã©  x</p>", "fine"], "fixes": notes})
    made = function(rows, config(**options)).rows["fixes"].to_list()
    assert made[0][0] == earlier[0]
    assert len(made[0]) > 1
    assert made[1] == []


def test_a_column_fixes_that_is_something_else_is_refused():
    rows = pl.DataFrame({"row_id": ["a"], "prompt": ["x"], "fixes": ["mine"]})
    with pytest.raises(SchemaError, match="the column 'fixes' is String"):
        normalize_text(rows, NormalizeConfig())
