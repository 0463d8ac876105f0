"""Tokens of a text in any script, as Polars expressions: no Python runs per row."""

from __future__ import annotations

import polars as pl

# Scripts that are written without spaces between words: every character stands for itself.
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
TOKEN = rf"[{UNSPACED}]|[\w--[{UNSPACED}]]+"


def tokens(text: pl.Expr) -> pl.Expr:
    r"""List the tokens of a text: runs of word characters, single characters where no spaces are.

    A word character is Unicode's `\w` (UTS #18). Unspaced scripts are Han, Hiragana, Katakana,
    Thai, Lao, Khmer and Myanmar. A null text has null tokens.

    Example:
        >>> pl.select(tokens(pl.lit("It's 世界 no. 12"))).item().to_list()
        ['It', 's', '世', '界', 'no', '12']
    """
    return text.str.extract_all(TOKEN)


def folded(text: pl.Expr) -> pl.Expr:
    """A text after Unicode NFKC (UAX #15) and lower-casing, so that widths and case do not count.

    Example:
        >>> pl.select(folded(pl.lit("ＡＢＣ Straße"))).item()
        'abc straße'
    """
    return text.str.normalize("NFKC").str.to_lowercase()


def trigrams(rows: pl.DataFrame, of: str) -> pl.DataFrame:
    r"""List the runs of three tokens of every row.

    Args:
        rows: n rows with the column `of: list[str]` of tokens.
        of: The column of tokens.

    Returns:
        `row: u32` (place of the row in `rows`) and `gram: str` (its tokens joined by U+001F), in
        order. A row of one or two tokens has one gram of them all, a row of none has none.

    Example:
        >>> rows = pl.DataFrame({"t": [["a", "b", "c", "d"], ["a", "b"], []]})
        >>> trigrams(rows, "t")["gram"].to_list()
        ['a\x1fb\x1fc', 'b\x1fc\x1fd', 'a\x1fb']
    """
    flat = (
        rows.select(pl.col(of).alias("token"))
        .with_row_index("row")
        .filter(pl.col("token").list.len() > 0)
        .explode("token")
    )
    row, token = pl.col("row"), pl.col("token")
    gram = pl.concat_str(
        [token, token.shift(-1), token.shift(-2)], separator="\x1f", ignore_nulls=True
    )
    is_first = (row != row.shift(1)).fill_null(value=True)
    short = pl.when(row == row.shift(-1)).then(
        pl.concat_str([token, token.shift(-1)], separator="\x1f")
    )
    kept = (
        pl.when(row == row.shift(-2))
        .then(gram)
        .when(is_first)
        .then(short.otherwise(token))
        .otherwise(None)
    )
    return flat.select("row", gram=kept).drop_nulls("gram")
