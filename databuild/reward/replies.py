"""What a judge said, read leniently: a score on a scale, or which of two answers is better."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_LABELLED = re.compile(
    r"(?:score|rating|grade|评分|分数|得分|打分)[\"*_`\s]*(?:is|of|为|是)?[\"*_`\s]*[:：=]?[\"*_`\s\[(]*"
    rf"{_NUMBER}(?!\s*(?:-|–|to|到|至)\s*\d)",
    re.IGNORECASE,
)
_BRACKETED = re.compile(rf"\[\[\s*{_NUMBER}\s*\]\]")
_ALONE = re.compile(
    rf"[\s*_`\"'(\[]*{_NUMBER}\s*(?:/\s*\d+|分|out of \d+|points?)?[\s*_`\"')\].。!]*",
    re.IGNORECASE,
)
_TORN = re.compile(r"\s*(?:```(?:json)?\s*)?\{")
_WORDS = {
    "a": "a",
    "b": "b",
    "c": "tie",
    "tie": "tie",
    "equal": "tie",
    "平局": "tie",
    "平手": "tie",
}
_WORD = r"(a|b|c|tie|equal|平局|平手)(?![A-Za-z])"
_VERDICT = re.compile(
    r"(?:verdict|winner|结论|胜者)[\"*_`\s]*(?:is|为|是)?[\"*_`\s]*[:：=]?[\"*_`\s\[(]*"
    rf"(?:answer\s+|回答\s*)?{_WORD}",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(rf"\[\[\s*{_WORD}\s*\]\]", re.IGNORECASE)
_ONE_WORD = re.compile(
    rf"[\s*_`\"'(\[]*(?:answer\s+|回答\s*)?{_WORD}[\s*_`\"')\].。!]*", re.IGNORECASE
)


class Said(NamedTuple):
    """What was read of a reply: a level or a verdict, and the reasons before it."""

    value: float | str
    reasons: str | None


def read_level(text: str, low: int, high: int) -> Said | None:
    r"""Read a score from `low` to `high`; None where there is none, or it is out of that range.

    In this order: the `score` of a JSON object; the last number that a word such as "Score:" or
    "评分：" stands before, or in "[[7]]"; a reply that is a number and nothing else ("7", "7/10").

    Example:
        >>> read_level('{"reasons": "Clear.", "score": 8}', 1, 10)
        Said(value=8.0, reasons='Clear.')
        >>> read_level("It is short.\nSCORE: 4", 1, 10), read_level("评分：3分", 1, 5).value
        (Said(value=4.0, reasons='It is short.'), 3.0)
        >>> read_level("11", 1, 10), read_level("I like 7 of them.", 1, 10)
        (None, None)
    """
    held = _json(text)
    if held is not None:
        return _in_range(held.get("score"), held.get("reasons"), low, high)
    if _TORN.match(text):
        return None
    found = [*_LABELLED.finditer(text), *_BRACKETED.finditer(text)]
    if found:
        last = max(found, key=lambda one: one.start())
        return _in_range(last[1], text[: last.start()], low, high)
    alone = _ALONE.fullmatch(text)
    return _in_range(alone[1], None, low, high) if alone else None


def read_verdict(text: str) -> Said | None:
    r"""Read which answer is better: "a" (the one shown first), "b" or "tie"; None where none is.

    In this order: the `verdict` of a JSON object; the last "Verdict: A", "结论：A" or "[[A]]"; a
    reply that is the verdict and nothing else. "C" is a tie, as in MT-bench.

    Example:
        >>> read_verdict("B"), read_verdict("A is right.\n**Verdict:** A").value
        (Said(value='b', reasons=None), 'a')
        >>> read_verdict("[[C]]").value, read_verdict("结论：平局").value, read_verdict("Both.")
        ('tie', 'tie', None)
    """
    held = _json(text)
    if held is not None:
        word = _WORDS.get(str(held.get("verdict")).strip().lower())
        return Said(word, _text(held.get("reasons"))) if word else None
    if _TORN.match(text):
        return None
    found = [*_VERDICT.finditer(text), *_IN_BRACKETS.finditer(text)]
    if found:
        last = max(found, key=lambda one: one.start())
        return Said(_WORDS[last[1].lower()], _text(text[: last.start()]))
    alone = _ONE_WORD.fullmatch(text)
    return Said(_WORDS[alone[1].lower()], None) if alone else None


def _json(text: str) -> dict[str, object] | None:
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return None
    try:
        held = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def _in_range(value: object, reasons: object, low: int, high: int) -> Said | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        level = float(value)
    except ValueError:
        return None
    return Said(level, _text(reasons)) if low <= level <= high else None


def _text(held: object) -> str | None:
    text = held.strip() if isinstance(held, str) else ""
    return text or None
