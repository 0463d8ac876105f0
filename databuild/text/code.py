"""Which parts of a text are code, so that prose can be changed and code left as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

FENCE = "```"


def outside_code(texts: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    r"""Change the prose of texts; what stands in code blocks comes through byte for byte.

    Code is what stands between the 1st and 2nd, 3rd and 4th ... fence of three backticks; a fence
    that never closes reaches to the end.

    Args:
        texts: The texts; null stays null.
        change: From a series of pieces of prose to one of as many changed pieces. A piece may begin
            or end anywhere, so what it does at the ends must hold in the middle of a text.

    Example:
        >>> up = lambda pieces: pieces.str.to_uppercase()
        >>> outside_code(pl.Series(["a ```b``` c", "d", None]), up).to_list()
        ['A ```b``` C', 'D', None]
    """
    name = texts.name
    with_code = texts.str.contains(FENCE, literal=True).fill_null(value=False)
    if not with_code.any():
        return change(texts).alias(name)
    rest = (~with_code).arg_true()
    made = texts.clone().scatter(rest, change(texts.gather(rest)))
    pieces = (
        pl.DataFrame({"row": with_code.arg_true(), "piece": texts.filter(with_code)})
        .with_columns(pl.col("piece").str.split(FENCE))
        .explode("piece")
        .with_columns(is_prose=pl.int_range(pl.len()).over("row") % 2 == 0)
    )
    prose = pieces["is_prose"].arg_true()
    changed = pieces["piece"].scatter(prose, change(pieces["piece"].gather(prose)))
    joined = (
        pieces.select("row", changed.alias("piece"))
        .group_by("row", maintain_order=True)
        .agg(pl.col("piece").str.join(FENCE))
    )
    return made.scatter(joined["row"], joined["piece"]).alias(name)


def ends_in_code(text: pl.Expr) -> pl.Expr:
    """Whether the last fence of a text never closes.

    Example:
        >>> pl.select(ends_in_code(pl.lit("a ``` b"))).item()
        True
    """
    return text.str.count_matches(FENCE, literal=True) % 2 == 1
