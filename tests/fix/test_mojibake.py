from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.errors import StepError
from databuild.fix.mojibake import MojibakeConfig, mend_mojibake


def mend(*texts):
    rows = pl.DataFrame({"row_id": [str(i) for i in range(len(texts))], "prompt": texts})
    return mend_mojibake(rows.cast({"prompt": pl.String}), MojibakeConfig()).rows


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("CafÃ© naÃ¯ve", "Café naïve"),
        ("â€œquotedâ€\x9d and itâ€™s", "“quoted” and it’s"),
        ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚\nschön", "привет\nschön"),
        ("twice: ÃƒÂ©tÃƒÂ©", "twice: été"),
        ("Mãe AÃ§ão", "Mãe Ação"),
    ],
)
def test_a_wrong_decoding_is_undone(text, wanted):
    assert mend(text)["prompt"][0] == wanted


@pytest.mark.parametrize(
    "text", ["schön, señor, ça, Ångström", "你好，世界！", "привет", "It’s “fine” – 5 €", "Não é São Paulo", "lost \ufffd", ""]
)  # fmt: skip
def test_what_is_right_or_lost_is_left(text):
    made = mend(text)
    assert made["prompt"][0] == text
    assert made["fixes"][0].to_list() == []


@given(
    st.text(alphabet=st.characters(min_codepoint=0xC0, max_codepoint=0x17F), min_size=4, max_size=8)
)
def test_latin_words_that_were_mangled_never_get_worse(word):
    from ftfy.badness import badness

    mangled = f"a {word.encode().decode('latin-1')} b"
    (made,) = mend(mangled)["prompt"]
    assert badness(made) <= badness(mangled)
    assert made == mangled or badness(made) < badness(mangled)


def test_the_note_counts_the_sequences_that_are_gone():
    assert mend("CafÃ©, naÃ¯ve, dÃ©jÃ")["fixes"][0][0]["n"] >= 3


def test_without_ftfy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ftfy", None)
    with pytest.raises(
        StepError, match=r"ftfy, which is not installed\. Fix: uv add 'databuild\[fix\]'"
    ):
        mend("x")
