from __future__ import annotations

import sys
import unicodedata

import pytest

from databuild.text import characters


def test_no_character_lies_where_none_is_looked_for():
    looked_at = {code for codes in characters._ASSIGNED for code in codes}
    beyond = (chr(code) for code in range(sys.maxunicode + 1) if code not in looked_at)
    assert {unicodedata.category(one)[0] for one in beyond} == {"C"}


@pytest.mark.parametrize(
    ("text", "kind"), [("É", 0), ("é", 1), ("漢", 2), ("٣", 3), ("，", 4), ("€", 5), ("\u3000", 6)]
)
def test_a_character_has_the_kind_of_its_unicode_category(text, kind):
    assert characters._kind_table()[ord(text)] == kind
    assert characters._kind_table()[0xF0000] == characters._kind_table()[0x7F]
