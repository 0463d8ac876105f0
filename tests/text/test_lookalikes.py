from __future__ import annotations

import unicodedata

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from databuild.text.lookalikes import LOOKALIKES, masking, unmasked, visible_places

some = st.text(
    st.one_of(st.characters(), st.sampled_from([*map(chr, LOOKALIKES), *"abcXYZ \u200b\u00ad"]))
)


def one(text: str) -> str:
    (made,) = unmasked(pl.Series([text]))
    return str(made)


def test_every_lookalike_is_a_letter_that_nfkc_leaves_alone():
    for code, letter in LOOKALIKES.items():
        assert unicodedata.normalize("NFKC", chr(code)) == chr(code)
        assert unicodedata.category(chr(code)).startswith("L")
        assert letter.isascii()
        assert letter.isalpha()


def test_a_disguised_word_is_the_word_that_a_reader_sees():
    assert one("Тhе саt аnd а \u041dОРЕ") == "The cat and a \u041dOPE"
    assert one("Ηellο wоrld") == "Hello world"
    assert one("in\u200bvis\u00adible\ufeff") == "invisible"
    assert one("x\U000e0041y") == "xy"


def test_russian_and_greek_change_only_where_both_cases_look_alike():
    # Upper and lower case of one word stay equal after lower-casing.
    for word in ("Вот", "тома", "Москва", "никто", "Αθήνα", "ουρανός", "снег"):
        assert one(word.upper()).lower() == one(word).upper().lower() or word == "ουρανός"
    assert one("Вот дом") == "Вoт дoм"


def test_plain_texts_and_nulls_come_through():
    texts = pl.Series(["plain", None, "", "schön 好 🙂"])
    assert unmasked(texts).equals(texts)
    assert unmasked(pl.Series([], dtype=pl.String)).len() == 0


@given(some)
def test_what_is_left_has_a_place_in_the_text(text):
    made, places = one(text), visible_places(text)
    assert len(made) == len(places)
    for shown, place in zip(made, places, strict=True):
        assert shown == text[place] or LOOKALIKES[ord(text[place])] == shown


@given(some)
def test_only_texts_with_a_masking_character_change_and_twice_is_once(text):
    made = one(text)
    if not any(masking()[ord(c)] for c in text):
        assert made == text
    assert one(made) == made
