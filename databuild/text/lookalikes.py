"""Letters that look like ASCII letters, and characters that are not seen, taken back.

So that "cаfе" with Cyrillic letters is the word that a reader sees. Full-width letters, ligatures,
mathematical alphabets and the like are the business of Unicode NFKC (`text.tokens.folded`).
"""

from __future__ import annotations

import re

import polars as pl

# Letters that confusables.txt of Unicode Technical Standard 39 (15.1) maps to one ASCII letter and
# that NFKC leaves as they are: Cyrillic, Greek, Armenian, phonetic and small-capital Latin. Capital
# I and its likes stand for "I" here, where the file says "l"; digits and signs are left out.
_LETTERS = {
    "a": "аɑα", "b": "ЬƄ", "c": "сᴄϲⲥ", "d": "ԁ", "e": "еҽ", "g": "ɡց", "h": "һհ", "i": "іıɪɩιӏ",
    "j": "јϳ", "n": "ոռ", "o": "оοσօᴏᴑⲟ", "p": "рρⲣ", "q": "ԛգզ", "r": "гᴦ", "s": "ѕꜱƽ",
    "u": "υսᴜʋ", "v": "ѵνᴠ", "w": "ѡԝաɯᴡ", "x": "х", "y": "уүγɣʏ", "z": "ᴢ", "A": "АΑ", "B": "ВΒ", "C": "СϹ",
    "E": "ЕΕ", "G": "Ԍ", "H": "НΗ", "I": "ІΙӀ", "J": "ЈͿ", "K": "КΚ", "M": "МΜϺ", "N": "Ν",
    "O": "ОΟՕ", "P": "РΡ", "S": "ЅՏ", "T": "ТΤ", "U": "Ս", "V": "Ѵ", "W": "Ԝ", "X": "ХΧ", "Y": "УΥҮ", "Z": "Ζ",
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
# Soft hyphen, combining grapheme joiner, marks of direction, joiners, zero-width spaces, invisible
# operators, variation selectors, byte order mark, tags.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef"
)
_INVISIBLE = rf"[{INVISIBLE}]+"
_WORTH_IT = f"[{INVISIBLE}{''.join(map(chr, LOOKALIKES))}]"
_IS_INVISIBLE = re.compile(f"[{INVISIBLE}]")


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
    clean = some.str.replace_all(_INVISIBLE, "")
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
