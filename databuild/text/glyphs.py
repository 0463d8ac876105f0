"""Characters that should not be there, or not in this shape, as Polars expressions."""

from __future__ import annotations

import re

import polars as pl

# Scripts whose letters need no joiner: Indic, Arabic and others need U+200C and U+200D, emoji too.
_NO_JOINER = r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Common}--"
_NO_JOINER += r"[\p{Extended_Pictographic}\x{FE0F}\x{1F3FB}-\x{1F3FF}]]"
_RIGHT_TO_LEFT = r"[\p{Hebrew}\p{Arabic}\p{Syriac}\p{Thaana}\p{Nko}]"
# C0 without tab and line ends, DEL, C1 without next line; soft hyphen, Mongolian vowel separator,
# zero-width space, line and paragraph direction overrides, word joiner to invisible plus, BOM,
# interlinear annotation marks.
_NEVER = (
    r"[\x00-\x08\x0E-\x1F\x7F-\x{84}\x{86}-\x{9F}\x{AD}\x{180E}\x{200B}\x{202D}\x{202E}"
    r"\x{2060}-\x{2064}\x{206A}-\x{206F}\x{FEFF}\x{FFF9}-\x{FFFB}]+"
)
_DIRECTIONS = r"[\x{061C}\x{200E}\x{200F}\x{202A}-\x{202C}\x{2066}-\x{2069}]+"
# Tags spell out the flags of England and its like after a black flag; elsewhere they hide text.
_TAGS = r"(\x{1F3F4}[\x{E0020}-\x{E007F}]+)|[\x{E0000}-\x{E007F}]+"
# U+2E80 to U+9FFF are the Han and kana blocks with their punctuation, U+AC00 to U+D7AF Hangul.
_WIDE = re.compile(
    r"((?<=[\u2e80-\u2fff\u3001-\u9fff\uac00-\ud7af\uf900-\ufaff”’…—])[！，．：；？（）]+)"
    r"|[\uff01-\uff5e\u3000]"
)
_ASCII = {0x3000: " ", **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}}


def visible(text: pl.Expr) -> pl.Expr:
    r"""Without characters that are not seen and do no work.

    Gone: control characters (vertical tab, form feed and U+0085 become `\n`), soft hyphens,
    zero-width spaces, byte order marks, direction overrides, invisible operators, tags; marks of
    direction where the text has no letter of a right-to-left script; U+200C and U+200D at the
    beginning, at the end, and after a character that cannot join (Latin, Greek, Cyrillic, Han,
    kana, Hangul, digits, signs; not after emoji). U+2028 and U+2029 become `\n`.

    Example:
        >>> pl.select(visible(pl.lit("\ufeffpa\u200bss\u00adword\x00 👨\u200d👩\u200d👧"))).item()
        'password 👨\u200d👩\u200d👧'
    """
    clean = text.str.replace_all(r"[\x0B\x0C\x{85}\x{2028}\x{2029}]", "\n")
    clean = clean.str.replace_all(_NEVER, "").str.replace_all(_TAGS, "$1")
    clean = (
        pl.when(clean.str.contains(_RIGHT_TO_LEFT))
        .then(clean)
        .otherwise(clean.str.replace_all(_DIRECTIONS, ""))
    )
    joined = clean.str.replace_all(rf"({_NO_JOINER})[\x{{200C}}\x{{200D}}]+", "$1")
    return joined.str.strip_chars("\u200c\u200d")


def narrow(texts: pl.Series) -> pl.Series:
    """Full-width ASCII (U+FF01 to U+FF5E) as ASCII, and the ideographic space as a space.

    Signs of punctuation are left where a Han, kana or Hangul character or its punctuation stands
    before them: there they are right. Texts that have any are changed one by one.

    Example:
        >>> narrow(pl.Series(["ＡＢＣ１２３，你好！！", None])).to_list()
        ['ABC123,你好！！', None]
    """
    has_any = texts.str.contains(r"[\x{FF01}-\x{FF5E}\x{3000}]").fill_null(value=False)
    made = [_WIDE.sub(_as_ascii, text) for text in texts.filter(has_any)]
    return texts.clone().scatter(has_any.arg_true(), pl.Series(made, dtype=pl.String))


def _as_ascii(match: re.Match[str]) -> str:
    return match[0] if match[1] else match[0].translate(_ASCII)


def plain_quotes(text: pl.Expr) -> pl.Expr:
    """Curly quotation marks, apostrophes and primes as the straight single and double ones.

    Example:
        >>> print(pl.select(plain_quotes(pl.lit("“It’s”"))).item())
        "It's"
    """
    single, double = "‘’‚‛′", "“”„‟″"
    return text.str.replace_many([*single, *double], ["'"] * 5 + ['"'] * 5)
