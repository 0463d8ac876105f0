"""Letters that look like ASCII letters, and characters that are not seen, taken back.

So that "cаfе" with Cyrillic letters is the word that a reader sees. Full-width letters, ligatures,
mathematical alphabets and the like are the business of Unicode NFKC (`text.tokens.folded`).
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Letters that confusables.txt of Unicode Technical Standard 39 (15.1) maps to one ASCII letter and
# that NFKC leaves as they are: Cyrillic, Greek, Armenian, phonetic and small-capital Latin. Capital
# I and its likes stand for "I" here, where the file says "l"; digits and signs are left out.
_LETTERS = {
    "a": "аɑα", "b": "ЬƄ", "c": "сᴄⲥ", "d": "ԁ", "e": "еҽ", "g": "ɡց", "h": "һհ",
    "i": "іıɪɩιӏ", "j": "јϳ", "n": "ոռ", "o": "оοσօᴏᴑⲟ", "p": "рρⲣ", "q": "ԛգզ", "r": "гᴦ",
    "s": "ѕꜱƽ", "u": "υսᴜʋ", "v": "ѵνᴠ", "w": "ѡԝաɯᴡ", "x": "х", "y": "уүγɣʏ", "z": "ᴢ",
    "A": "АΑ", "B": "ВΒ", "C": "С", "E": "ЕΕ", "G": "Ԍ", "H": "НΗ", "I": "ІΙӀ", "J": "ЈͿ",
    "K": "КΚ", "M": "МΜϺ", "N": "Ν", "O": "ОΟՕ", "P": "РΡ", "S": "ЅՏ", "T": "ТΤ", "U": "Ս",
    "V": "Ѵ", "W": "Ԝ", "X": "ХΧ", "Y": "УΥҮ", "Z": "Ζ",
}  # fmt: skip
LOOKALIKES = {ord(like): letter for letter, likes in _LETTERS.items() for like in likes}
# Those whose two cases look like the two cases of one letter: taken back wherever they stand, case
# stays case. Others (В looks like B, в like nothing) only in a word that has an ASCII letter too.
_EVERYWHERE = {
    code: letter
    for code, letter in LOOKALIKES.items()
    if all(
        LOOKALIKES.get(ord(c), letter).lower() == letter.lower() and ord(c) in LOOKALIKES
        for c in (chr(code).lower(), chr(code).upper())
    )
}
_ANY = f"[{''.join(map(chr, LOOKALIKES))}]"
_MIXED = re.compile(rf"\w*(?:[A-Za-z]\w*{_ANY}|{_ANY}\w*[A-Za-z])\w*")
_MIXED_POLARS = rf"[A-Za-z]\w*{_ANY}|{_ANY}\w*[A-Za-z]"
# Soft hyphen, grapheme joiner, mark of direction, Hangul and Khmer fillers, Mongolian selectors,
# zero-width spaces and joiners, directions, invisible operators, variation selectors, byte order
# mark, tags and more selectors.
_UNSEEN = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180E), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xE0000, 0xE01EF),
)  # fmt: skip
_INVISIBLE = f"[{''.join(f'{chr(a)}-{chr(b)}' for a, b in _UNSEEN)}]"
_IS_INVISIBLE = re.compile(_INVISIBLE)
_WORTH_IT = f"{_INVISIBLE}|{_ANY}"


@functools.cache
def masking() -> NDArray[np.uint8]:
    """1 for every code point that `unmasked` may change, else 0.

    Example:
        >>> [int(masking()[ord(c)]) for c in "eе\u200b"]
        [0, 1, 1]
    """
    table = np.zeros(0x110000, dtype=np.uint8)
    table[list(LOOKALIKES)] = 1
    for first, last in _UNSEEN:
        table[first : last + 1] = 1
    return table


def unmasked(texts: pl.Series) -> pl.Series:
    """Texts with look-alike letters as ASCII letters, and without invisible characters.

    Look-alikes are those of Unicode Technical Standard 39 that stand for one ASCII letter
    (Cyrillic, Greek, Armenian, phonetic). Where both cases of a letter look like the two cases of
    an ASCII letter it is replaced everywhere, so Russian text changes too, always in the same way:
    the result is for comparing, never for keeping. Others are replaced in words that have an ASCII
    letter. Texts of ASCII alone are not looked at.

    Example:
        >>> unmasked(pl.Series(["Tһe wеatһ\u200ber", "Вот дом", None])).to_list()
        ['The weather', 'Вoт дoм', None]
    """
    places = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    places = places.filter(texts.gather(places).str.contains(_WORTH_IT))
    if places.is_empty():
        return texts
    some = texts.gather(places)
    clean = some.str.replace_all(f"{_INVISIBLE}+", "")
    mixed = clean.str.contains(_MIXED_POLARS).arg_true()
    if len(mixed):
        made = [_MIXED.sub(_as_ascii, text) for text in clean.gather(mixed)]
        clean = clean.scatter(mixed, pl.Series(made, dtype=pl.String))
    plain = pl.select(clean.str.replace_many(_replacements())).to_series()
    return texts.clone().scatter(places, plain)


def visible_places(text: str) -> list[int]:
    """The places of the characters of a text that `unmasked` keeps.

    Example:
        >>> visible_places("a\u200bb")
        [0, 2]
    """
    return [place for place, c in enumerate(text) if not _IS_INVISIBLE.match(c)]


def _as_ascii(match: re.Match[str]) -> str:
    return match[0].translate(LOOKALIKES)


def _replacements() -> dict[str, str]:
    return {chr(code): letter for code, letter in _EVERYWHERE.items()}
