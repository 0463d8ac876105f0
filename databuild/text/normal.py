"""When do two values count as the same text? One answer for every step that compares prompts."""

from __future__ import annotations

import polars as pl

from databuild.text.tokens import folded
from databuild.text.whitespace import collapsed


def normal_form(text: pl.Expr) -> pl.Expr:
    r"""A text after Unicode NFKC (UAX #15), lower-casing, and one space for any run of white space.

    What `dedup.exact` compares by default. Null stays null.

    Example:
        >>> pl.select(normal_form(pl.lit(" ＡＢＣ \n def"))).item()
        'abc def'
    """
    return collapsed(folded(text))


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
