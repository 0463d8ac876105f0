"""When do two values count as the same text? One answer for every step that compares prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from databuild.text.tokens import folded
from databuild.text.whitespace import collapsed

if TYPE_CHECKING:
    from collections.abc import Callable


def normal_form(text: pl.Expr) -> pl.Expr:
    r"""A text after Unicode NFKC (UAX #15), lower-casing, and one space for any run of white space.

    What `dedup.exact` compares by default. Null stays null.

    Example:
        >>> pl.select(normal_form(pl.lit(" ＡＢＣ \n def"))).item()
        'abc def'
    """
    return collapsed(folded(text))


def normal_forms(text: pl.Series) -> pl.Series:
    r"""The normal form of many texts, four times as fast where most are ASCII.

    Example:
        >>> normal_forms(pl.Series(["Ａ  b\n", "a B", None])).to_list()
        ['a b', 'a b', None]
    """
    return by_script(
        text,
        # ASCII needs no NFKC; single characters are faster to replace than runs.
        lambda plain: (
            plain.str.to_lowercase()
            .str.replace_all(r"[\t-\r]", " ")
            .str.replace_all(r"  +", " ")
            .str.strip_chars(" ")
        ),
        lambda other: other.to_frame("t").select(normal_form(pl.col("t")))["t"],
    )


def by_script(
    text: pl.Series,
    plain: Callable[[pl.Series], pl.Series],
    other: Callable[[pl.Series], pl.Series],
) -> pl.Series:
    """Treat texts of nothing but ASCII one way and all others another way, in order.

    Example:
        >>> upper = lambda texts: texts.str.to_uppercase()
        >>> by_script(pl.Series(["a", "é", None]), upper, lambda texts: texts).to_list()
        ['A', 'é', None]
    """
    is_plain = (text.str.len_bytes() == text.str.len_chars()).fill_null(value=False)
    if is_plain.all():
        return plain(text)
    places = pl.int_range(text.len(), dtype=pl.UInt32, eager=True)
    done = pl.concat([plain(text.filter(is_plain)), other(text.filter(~is_plain))])
    return done.gather(pl.concat([places.filter(is_plain), places.filter(~is_plain)]).arg_sort())


def compared(rows: pl.DataFrame, column: str) -> pl.Expr:
    """A column of any type as the text by which its values are compared; null stays null.

    Texts are compared in their normal form; numbers and truth values as they print; lists and
    structs (as `messages`) by the normal form of their JSON.

    Example:
        >>> rows = pl.DataFrame({"m": [["Hi  all"], ["hi all"]], "n": [1, 2]})
        >>> rows.select(compared(rows, "m"), compared(rows, "n")).rows()
        [('{"m":["hi all"]}', '1'), ('{"m":["hi all"]}', '2')]
    """
    value, dtype = pl.col(column), rows.schema[column]
    if dtype == pl.String:
        return normal_form(value)
    if dtype.is_nested():
        return pl.when(value.is_not_null()).then(
            normal_form(pl.struct(column).struct.json_encode())
        )
    return (value.fill_nan(None) if dtype.is_float() else value).cast(pl.String)
