"""A text as its bare words: what is left where width, case, marks and articles do not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def plain_words(text: pl.Expr) -> pl.Expr:
    """The words of a text with one space between them, after these steps, in order.

    Unicode NFKC; lower case; any run of white space is one space; at the ends of each word marks
    (Unicode P) are cut off, but for "%" and "#" behind and "-" before a word; the English articles
    are left out (as in SQuAD, Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1). What stands
    inside a word stays: "3.5", "don't".

    Example:
        >>> import polars as pl
        >>> texts = pl.Series("text", ["  The “Nile”, a RIVER!", "-3.5 %.", "北京。", "?!"])
        >>> texts.to_frame().select(plain_words(pl.col("text"))).to_series().to_list()
        ['nile river', '-3.5 %', '北京', '']
    """
    import polars as pl

    folded = text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", "  ")
    padded = pl.concat_str(pl.lit(" "), folded, pl.lit(" "))
    bare = padded.str.replace_all(r" [\p{P}&&[^\-%]]+", " ").str.replace_all(
        r"([%#\p{L}\p{N}\p{M}\p{S}])[\p{P}&&[^%#]]+ ", "$1 "
    )
    bare = bare.str.replace_all(r" \p{P}*[\p{P}&&[^%#]]\p{P}* ", " ")
    return bare.str.replace_all(r" (?:a|an|the) ", " ").str.replace_all(" +", " ").str.strip_chars()
