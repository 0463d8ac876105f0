"""Which parts of a text are program code: by fences, and by the look of its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

FENCE = "```"
FENCED = r"(?s)```.*?(?:```|\z)"
CODE = rf"{FENCED}|`[^`\n]+`"
"""Fenced blocks, and spans of backticks within a line."""
# What every line of code below holds at least one of: most texts are passed over by these alone.
_HINTS = [
    "{",
    "}",
    ";",
    "(",
    "=",
    "</",
    "/>",
    "import ",
    "#include",
    "SELECT",
    "return ",
    ":\n",
    "```",
]
_LINE = "|".join(
    (
        r"[^\n]*[{}][ \t]*|[^\n]*(?:=|\w\(|\])[^\n]*;[ \t]*|[\w ]{1,30};[ \t]*",
        r"[^\n]*(?:\)[ \t]*:|=>|->|\);)[ \t]*(?://[^\n]*|#[^\n]*)?",
        r"(?:async |public |private |static |final )*(?:def|class|function|interface|"
            r"enum|struct|func|fn)[ \t]+\w+[^\n]*[:({][^\n]*",
        r"(?:from [\w.]+ )?import [\w.*, {}]+(?: as \w+)?(?: from [^\n]+)?",
        r"[#]\s*(?:include|define)[^\n]*|@\w[\w.]*(?:\([^\n]*\))?|//[^\n]*|/\*[^\n]*",
        r"(?:(?:var|let|const|int|float|double|char|bool|auto|string|String)[ "
            r"\t]+)?[\w.\[\]'\"]+[ \t]*(?:[-+*/|&%]?=|:=)[ \t]*(?:[^\n=]+|[^\n]*\w\([^\n]*|"
            r"[^\n]*[=!<>]=[^\n]*)",
        r"[\w.]+\([^\n]*\)",
        r"</?[a-zA-Z!][^<>\n]*>[^\n]*",
        r"(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|ALTER TABLE|FROM|WHERE|"
            r"ORDER BY|GROUP BY|(?:INNER |LEFT |RIGHT )?JOIN)(?-u:\b)[^\n]*",
        r"(?:if|for|while|elif|else|try|except|finally|with)(?-u:\b)[^\n]*:[ \t]*",
        r"(?:return|raise|yield|await)(?-u:\b)[^\n]*[^.\n]",
    )
)  # fmt: skip
_CODE_LINE = rf"(?m)^[ \t]*(?:{_LINE})\r?$"
_LINE_WITH_TEXT = r"(?m)^[ \t]*\S"


def code_ratio(texts: pl.Series) -> pl.Series:
    r"""Give the share of every text that is code, from 0 to 1; null and blank have 0.

    Characters between fences of three backticks are code. The others count by the share of their
    lines that look like code: a statement that ends in `;`, a line that ends in `{`, `}`,
    `):`; a definition, import, assignment to one name, call, tag, SQL clause in capitals, comment
    in C's style.

    Example:
        >>> code_ratio(pl.Series(["x = 1\nprint(x)", "Rain (and sun) make it.", None])).to_list()
        [1.0, 0.0, 0.0]
    """
    rows = pl.DataFrame({"text": texts}).with_row_index("row").drop_nulls("text")
    text = pl.col("text")
    likely = rows.filter(text.str.contains_any(_HINTS))
    chars = text.str.len_chars()
    found = likely.with_columns(rest=text.str.replace_all(FENCED, "")).select(
        "row", chars=chars, plain=pl.col("rest").str.len_chars(),
        lines=pl.col("rest").str.count_matches(_LINE_WITH_TEXT),
        code=pl.col("rest").str.count_matches(_CODE_LINE),
    )  # fmt: skip
    share = pl.min_horizontal(pl.col("code") / pl.max_horizontal("lines", 1), 1.0)
    plain = pl.when(pl.col("lines") > 0).then(pl.col("plain") / pl.col("chars")).otherwise(0.0)
    found = found.select("row", ratio=(1 - plain) + plain * share)
    ratios = pl.repeat(0.0, len(texts), eager=True)
    return ratios.scatter(found["row"], found["ratio"]).alias("code_ratio")


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
