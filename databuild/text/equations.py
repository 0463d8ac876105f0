"""Equations between numbers in plain text: found, worked out, and compared with what they claim.

Standard library only; `eval` is never used. Only what is plainly decidable is judged: a side with a
letter, an unknown sign, a decimal comma or a unit between its numbers is passed over.
"""

from __future__ import annotations

import operator
import re
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNS = str.maketrans({
    "−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "²": "^2", "³": "^3",
    "$": " ", "€": " ", "£": " ", "¥": " ", "\t": " ", "\u00a0": " ", "{": "(", "}": ")",
})  # fmt: skip
_ANNOTATION = re.compile(r"<<[^<>]*>>")  # GSM8K's notes for a calculator
_TIMES = re.compile(r"(?<=[\d)])(\s*)[xX](?=\s*[\d(])")
_CHAIN = re.compile(r"[-+*/^().,%\d ]*\d[-+*/^().,%\d ]*(?:=[-+*/^().,%\d ]*\d[-+*/^().,%\d ]*)+")
_PART = re.compile(r"\s*(?:(\d+(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)|(\*\*|[-+*/^()%]))")
_DECIMAL_COMMA = re.compile(r"\d,(?!\d{3}(?!\d))\d")
# "10 / 1/2" means a fraction, "0900 - 0130" times of day.
_FRACTION = re.compile(r"\d+\s*/\s*\d+")
_UNSURE = re.compile(r"/[^=()+*-]*/|(?<![\d.,])0\d")
_PERCENT_CHANGE = re.compile(r"[-+]\s*\d+(?:\.\d+)?\s*%")
# What may not touch an end of a chain: it belongs to a name, a time, a bigger number, a factorial.
_BEFORE = re.compile(r"[\w:_|\]]$|[\^/\\√<>!=~≈]\s*$")
_AFTER = re.compile(
    r"^(?:[\w(^:!√|\[=~≈_/\\]|\s*(?:million|billion|thousand|hundred|r(?:emainder|"
    r"\d|\b)|mod\b|and \d+/|\d|[*/^x×]))",
    re.I,
)
_OPERATOR = re.compile(r"(?<=[\d)%])\s*(?:[-+*/^]|\()")
_MAX_EXPONENT, _MAX_CHARS, _MAX_BITS = 64, 400, 512
_DO: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip
_RANK = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}


def work_out(text: str) -> Fraction | None:
    """Work out an expression of numbers, `+ - * / ^ ( ) %`; None where it cannot be.

    Thousands may be separated by commas, `**` is `^`, a number before a bracket multiplies it, `%`
    divides by 100. Powers are up to 64 and whole, results have up to 512 bits.

    Example:
        >>> work_out("2(3 + 4)^2 / 7"), work_out("1,200 * 5%"), work_out("1 +"), work_out("1 / 0")
        (Fraction(14, 1), Fraction(60, 1), None, None)
    """
    parts = _parts(text)
    if not parts:
        return None
    try:
        value, at = _climb(parts, 0, 1)
    except (ValueError, IndexError, ZeroDivisionError, OverflowError, RecursionError):
        return None
    is_small = max(value.numerator.bit_length(), value.denominator.bit_length()) <= _MAX_BITS
    return value if at == len(parts) and is_small else None


def equations(line: str) -> Iterator[tuple[str, bool]]:
    """Yield every decidable equation of one line, and whether it holds.

    A chain `a = b = c` is judged side by side; the left one must have an operator. The right one
    may be rounded or cut off in its last digit, or be the left one as a percentage.

    Example:
        >>> list(equations("So 3 x 4 = 12, and 10 / 3 = 3.33; but 7 + 8 = 14 is 2x + 1 = 9."))
        [('3 * 4 = 12', True), ('10 / 3 = 3.33', True), ('7 + 8 = 14', False)]
    """
    plain = _ANNOTATION.sub("", line[:_MAX_CHARS])
    plain = _TIMES.sub(r"\1*", plain.translate(_SIGNS))
    for chain in _CHAIN.finditer(plain):
        text = chain.group().lstrip(" ,").rstrip(" .,(")
        start = chain.start() + chain.group().index(text)
        sides = text.split("=")
        before = plain[:start].rstrip()[-1:]
        is_rest = text[0] in "*/^+" or (text[0] == "-" and (before.isalnum() or before == ")"))
        if is_rest or _BEFORE.search(plain[:start]):
            sides = sides[1:]
        if _AFTER.match(plain[start + len(text) :]):
            sides = sides[:-1]
        yield from _judged([_balanced(side.lstrip(" ,").rstrip(" .,")) for side in sides])


def _balanced(side: str) -> str:
    """Drop a bracket that closes, or opens, around more than the side."""
    surplus = side.count(")") - side.count("(")
    if surplus > 0 and side.endswith(")" * surplus):
        return side[:-surplus].rstrip()
    if surplus < 0 and side.startswith("(" * -surplus):
        return side[-surplus:].lstrip()
    return side


def _judged(sides: list[str]) -> Iterator[tuple[str, bool]]:
    for left, right in pairwise(sides):
        both = f"{left} = {right}"
        unsure = any(sign.search(both) for sign in (_DECIMAL_COMMA, _PERCENT_CHANGE, _UNSURE))
        if unsure or not _OPERATOR.search(left):
            continue
        claimed, value = work_out(right), work_out(left)
        if claimed is None or value is None:
            continue
        # "Two thirds of 60: 2/3 = 40" leaves its whole out; it is no equation.
        if not (_FRACTION.fullmatch(left) and value < 1 < claimed):
            yield both, agrees(value, claimed, right, may_round=True)


def agrees(value: Fraction, claimed: Fraction, shown: str, *, may_round: bool) -> bool:
    """Say whether a value is what is shown, rounded or cut off at the last digit shown.

    Args:
        value: The true value.
        claimed: The value of what is shown.
        shown: The text of it; its decimal places say how far it may be off.
        may_round: A value that is no whole number may be shown as one.

    Example:
        >>> agrees(Fraction(10, 3), Fraction("3.3"), "3.3", may_round=True)
        True
        >>> agrees(Fraction(7), Fraction(8), "8", may_round=True)
        False
    """
    decimals = re.search(r"\.(\d+)\D*$", shown)
    places = len(decimals.group(1)) if decimals else 0
    step = Fraction(1, 10**places)
    slack = step if places or (may_round and value.denominator != 1) else Fraction(0)
    wanted = [value, value * 100] if "%" not in shown else [value, value / 100]
    # Floating point leaves its own tail: 7 / 3 = 2.3333333333333335.
    return any(abs(claimed - one) <= slack + abs(one) / 10**12 for one in wanted)


def _parts(text: str) -> list[str]:
    parts: list[str] = []
    at = 0
    text = text.strip()
    while at < len(text):
        found = _PART.match(text, at)
        if not found:
            return []
        number, sign = found.groups()
        part = number.replace(",", "") if number else "^" if sign == "**" else sign
        if parts and (part == "(" and (parts[-1][-1].isdigit() or parts[-1] == ")")):
            parts.append("*")
        parts.append(part)
        at = found.end()
    return parts


def _climb(parts: list[str], at: int, rank: int) -> tuple[Fraction, int]:
    """Precedence climbing: the value from `at` on, of operators of at least this rank."""
    value, at = _operand(parts, at)
    while at < len(parts) and _RANK.get(parts[at], 0) >= rank:
        sign = parts[at]
        # A power binds to the right: 2 ^ 3 ^ 2 is 2 ^ 9.
        right, at = _climb(parts, at + 1, _RANK[sign] + (sign != "^"))
        value = _power(value, right) if sign == "^" else _DO[sign](value, right)
    return value, at


def _operand(parts: list[str], at: int) -> tuple[Fraction, int]:
    part = parts[at]
    if part in {"-", "+"}:
        value, at = _climb(parts, at + 1, 3)
        return (-value if part == "-" else value), at
    if part == "(":
        value, at = _climb(parts, at + 1, 1)
        if parts[at] != ")":
            raise ValueError(part)
        at += 1
    else:
        value, at = Fraction(part), at + 1
    if at < len(parts) and parts[at] == "%":
        value, at = value / 100, at + 1
    return value, at


def _power(value: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > _MAX_EXPONENT or abs(value) > 10**9:
        raise ValueError(exponent)
    return value ** int(exponent)
