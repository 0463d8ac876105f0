"""Normal forms of a text, as Polars expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_BLANK = r"[\p{Zs}\t]"


def collapsed(text: pl.Expr) -> pl.Expr:
    r"""One space for any run of white space, none at the ends: for comparing, not for keeping.

    Example:
        >>> import polars as pl
        >>> pl.select(collapsed(pl.lit("  a \n\t b  "))).item()
        'a b'
    """
    return text.str.replace_all(r"\s+", " ").str.strip_chars()


def tidied(text: pl.Expr) -> pl.Expr:
    r"""White space tidied, with lines and their indentation left standing.

    Line ends become `\n`; after the first visible character of a line, a run of blanks (Unicode
    Zs, tab) becomes one space; blanks at line ends go; three or more line ends become two.

    Example:
        >>> import polars as pl
        >>> pl.select(tidied(pl.lit("a  b \r\n\r\n\r\n  - c\td"))).item()
        'a b\n\n  - c d'
    """
    return (
        text.str.replace_all(r"\r\n?", "\n")
        .str.replace_all(rf"(\S){_BLANK}+", "$1 ")
        .str.replace_all(rf"{_BLANK}+\n", "\n")
        .str.replace_all(r"\n{3,}", "\n\n")
    )
