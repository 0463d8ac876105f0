"""Counts, years and dates in a text that contradict each other, as Polars expressions."""

from __future__ import annotations

import polars as pl

_B = r"(?-u:\b)"
_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER = rf"(\d{{1,2}}|{'|'.join(_WORDS)})"
_ITEM = r"(?m)^(?:[-*•–]|\(?\d{1,2}[.):、]|\*\*\d{1,2}[.)])[ \t]*\S"
# "List five rivers", "Give me 3 ways to ...": asked for at the very beginning.
_ASKED = (
    rf"(?i)^\s*(?:please )?(?:can you |could you )?(?:list|name|give|provide|suggest|"
    rf"generate|write|create|brainstorm|identify|describe|tell|make|state|mention|"
    rf"come up with|make a list of|create a list of|generate a list of|provide a "
    rf"list of|write a list of|compile a list of)(?: (?:me|us|out))?(?: the)?(?: "
    rf"(?:top|main|best|first))? {_NUMBER} (?:[a-z][\w'’-]*)"
)
_ASKED_ZH = (
    r"^\s*请?(?:列出|给出|提供|写出|举出|说出|列举)(\d{1,2}|[二两三四五六七八九十])[个种条点项]"
)
_INEXACT = (
    r"(?i) and (?:\d|two|three|four|five)|pros and cons|at least|at most|up to|or "
    r"more|more than|minimum|maximum|each|per |words?|sentences?|lines?|paragraphs?|"
    r"steps?|syllab|characters|letters|digit|minutes?|hours?|pages?|stanzas?|"
    r"verses?|to \d|-\d|至少|以上|字"
)
_HEADED = (
    rf"(?im)^(?:[^\n]*{_B}(?:here are|these|are|following|includes?|into|the) "
    rf")?(?:the )?{_NUMBER} (?:[a-z][\w'’-]* ){{0,4}}[a-z][\w'’-]*(?: (?:are|include|"
    rf"is))?[ \t]*[:：][ \t]*\n\s*(?:[-*•–]|1[.)])[ \t]*\S"
)
_VALUES = {word: i for i, word in enumerate(_WORDS, 2)} | {
    "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10,
}  # fmt: skip
_RANGE = (
    r"(?:\(|from |between |born (?:in )?)(?:[A-Z][a-z]+ \d{1,2}, )?(1\d{3}|20\d\d) "
    r"?(?:-|–|—|to|and|until|till) ?(?:[A-Z][a-z]+ \d{1,2}, )?(1\d{3}|20\d\d)(?:\)|"
    r"[ .,;]|$)"
)
_LIFE = (
    r"(?i)born (?:in|on)?[^.\n]{0,30}?(1\d{3}|20\d\d)[^\n]{0,80}?(?:died|passed "
    r"away|death) (?:in|on)?[^.\n]{0,30}?(1\d{3}|20\d\d)"
)
_BEFORE_CHRIST = r"\bB\.?C\.?(?:E\.?)?\b"
_IMPOSSIBLE = (
    rf"(?i){_B}(?:february|feb\.?) (?:30|31)(?:st|th)?{_B}|{_B}(?:30|31)(?:st|th)? "
    rf"(?:of )?february{_B}"
    rf"|{_B}(?:april|june|september|november) 31(?:st)?{_B}|{_B}31(?:st)? (?:of "
    rf")?(?:april|june|september|november){_B}"
    rf"|{_B}(?:january|february|march|april|may|june|july|august|september|october|"
    rf"november|december) (?:3[2-9]|[4-9]\d)(?:st|nd|rd|th)?,? (?:1\d|20)\d\d{_B}"
    rf"|(?:^|[^\d-])(?:19|20)\d\d-(?:(?:1[3-9]|[2-9]\d|00)-(?:0[1-9]|[12]\d|3[01])|"
    rf"(?:0[1-9]|1[0-2])-(?:3[2-9]|[4-9]\d|00))(?:[^\d-]|$)"
    r"|(?:^|\D)0?(?:2月3[01]|(?:[469]|11)月31)[日号]"
)


def _count(text: pl.Expr, pattern: str) -> pl.Expr:
    found = text.str.extract(pattern, 1).str.to_lowercase()
    named = found.replace_strict(_VALUES, default=None, return_dtype=pl.Int64)
    return pl.coalesce(found.cast(pl.Int64, strict=False), named)


def has_wrong_count(task: pl.Expr, answer: pl.Expr) -> pl.Expr:
    r"""The answer is a list, and of another length than was asked for or than it says itself.

    Asked for is a number from 2 to 30 right after the first verb of the task, without "at least",
    words, lines and the like. Items are lines that begin, without indentation, with a bullet or a
    number; there must be two or more. A line that ends in a colon and holds a number word, right
    above the only list of the answer, counts as what it says itself.

    Example:
        >>> task, answer = pl.lit("List three teas."), pl.lit("1. Mint\n2. Assam")
        >>> pl.select(has_wrong_count(task, answer)).item()
        True
    """
    items = answer.str.count_matches(_ITEM)
    asked = pl.coalesce(_count(task, _ASKED), _count(task, _ASKED_ZH))
    exact = ~task.str.contains(_INEXACT) & asked.is_between(2, 30)
    said = _count(answer, _HEADED).is_between(2, 30)
    is_one_list = answer.str.count_matches(r"(?m)^(?:\(?1[.):、]|\*\*1[.)])") <= 1
    contradicts_itself = (
        said
        & (_count(answer, _HEADED) != items)
        & ~answer.str.contains(r"(?m)^[^\n]*[:：][ \t]*\n[\s\S]*\n[^\n]*[:：][ \t]*\n")
    )
    return (
        (items >= 2)
        & is_one_list
        & (
            (exact & (items != asked)).fill_null(value=False)
            | contradicts_itself.fill_null(value=False)
        )
    )


def has_reversed_years(text: pl.Expr) -> pl.Expr:
    """A span of years ends before it begins: "(1940-1890)", "from 1990 to 1980", born and died.

    A text with "BC" is left alone.

    Example:
        >>> pl.select(has_reversed_years(pl.lit("He lived long (1940-1890)."))).item()
        True
    """
    pairs = [
        text.str.extract(pattern, 2).cast(pl.Int64) < text.str.extract(pattern, 1).cast(pl.Int64)
        for pattern in (_RANGE, _LIFE)
    ]
    return pl.any_horizontal(pairs).fill_null(value=False) & ~text.str.contains(_BEFORE_CHRIST)


def has_impossible_date(text: pl.Expr) -> pl.Expr:
    """It names a day that no calendar has, such as 30 February, 31 June or 2021-13-01.

    Example:
        >>> pl.select(has_impossible_date(pl.lit("Due on February 30, 2021."))).item()
        True
    """
    return text.str.contains(_IMPOSSIBLE)
