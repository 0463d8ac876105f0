"""The result that a prompt with plain numbers asks for, where it is one of a dozen known kinds."""

from __future__ import annotations

import re
from fractions import Fraction
from math import prod
from statistics import median
from typing import TYPE_CHECKING, Any

from databuild.text.equations import agrees, work_out

if TYPE_CHECKING:
    from collections.abc import Callable

Numbers = list[Fraction]

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w]|\.\d)")
_SEPARATOR = r"(?:,(?!\d{3}(?!\d))\s*|,?\s+(?:and\s+|&\s+)?|;\s*)"
_LIST = re.compile(rf"-?\d+(?:\.\d+)?(?:{_SEPARATOR}-?\d+(?:\.\d+)?)+(?![\d%])")
_EXPRESSION = re.compile(r"[-+*/^().\d\s×÷−]+")


def _total(numbers: Numbers) -> Fraction:
    return sum(numbers, Fraction(0))


_ASKS: tuple[tuple[str, Callable[[Numbers], Any]], ...] = (
    (r"\b(?:average|arithmetic mean|mean)\b|平均", lambda n: _total(n) / len(n)),
    (r"\b(?:sum|total|add up|add)\b|之和|总和", _total),
    (r"\bmedian\b|中位数", lambda n: Fraction(median(n))),
    (r"\b(?:product|multiply)\b|乘积", prod),
    (r"\b(?:largest|biggest|maximum|highest|greatest) (?:number|value|integer|of)\b|最大", max),
    (r"\b(?:smallest|lowest|minimum|least) (?:number|value|integer|of)\b|最小", min),
)
_ORDER = re.compile(
    r"\b(ascending|increasing|smallest to (?:the )?largest|lowest to highest|least "
    r"to greatest)\b|\b(descending|decreasing|largest to (?:the )?smallest|highest "
    r"to lowest|greatest to least)\b"
)
# Another question than the plain one: weighted means, squares, code, series, other bases.
_OTHER = re.compile(
    r"\b(?:weighted|moving|geometric|harmonic|square[sd]?|cubes?|even|odd|prime|"
    r"first|digits?|function|program|code|script|between|unique|distinct|binary|"
    r"hex\w*|octal|base|mod\w*|percent\w*|second|third|more than|less than|greater "
    r"than|subarray|array|algorithm|write|that|elements|\d+(?:st|nd|rd|th)|"
    r"consecutive|multiples?|factors?|common|ratio|difference|matrix|vector|from|"
    r"age|remov\w+|without|except)\b"
)
_ALPHABET = re.compile(r"(?i)alphabetical(?:ly)?|in a dictionary")
_BACKWARDS = re.compile(r"(?i)reverse|descending|backwards?|last letter|length|z to a|second")
_EVALUATES = re.compile(
    r"\b(?:evaluate|compute|calculate|simplify|solve|expression|result of|what is|"
    r"what's|find the value|equation|answer)\b|计算|等于"
)


def wrong_result(task: str, material: str, answer: str) -> str | None:
    """Say what the result should be, if the answer to a plain sum is not it; None otherwise.

    Known are average, sum, median, product, largest and smallest of a list of numbers, putting it
    into order, and expressions of numbers. The list is the material or stands in the task. An
    answer is right when the result, or its rounding, is among its numbers. An answer without digits
    is not judged, nor a task of more than 200 characters or with a second condition.

    Example:
        >>> wrong_result("Find the median.", "5, 15, 10, 7", "10")
        '8.5'
        >>> wrong_result("Find the median.", "5, 15, 10, 7", "The median is 8.5.") is None
        True
    """
    shown = _NUMBER.findall(answer.replace("−", "-"))
    lower = task.lower()
    if not shown or _OTHER.search(lower) or len(material) > 300 or len(task) > 200:
        return None
    result = _expression(lower, material)
    numbers = _numbers(task, material)
    orders = _ORDER.findall(lower)
    if len(orders) == 1 and result is None:
        return _misplaced(numbers, shown, descending=bool(orders[0][1]))
    asked = [work for pattern, work in _ASKS if re.search(pattern, lower)]
    if result is None and len(asked) == 1 and len(numbers) > 1:
        result = asked[0](numbers)
    return None if result is None or _is_among(result, shown) else _plain(result)


def _numbers(task: str, material: str) -> Numbers:
    """The numbers of a list that is the whole material, or the only list of the task."""
    text = material.strip().strip("[](){}.").strip()
    if text and _NUMBER.search(task):
        return []
    if text:
        return _read(text) if _LIST.fullmatch(text) else []
    lists = _LIST.findall(task)
    return (
        _read(lists[0])
        if len(lists) == 1 and len(_NUMBER.findall(task)) == len(_read(lists[0]))
        else []
    )


def _read(text: str) -> Numbers:
    return [Fraction(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def _expression(lower: str, material: str) -> Fraction | None:
    text = material.strip().removesuffix("=").removesuffix("= ?").strip()
    if not text or not _EXPRESSION.fullmatch(text) or not _EVALUATES.search(lower):
        return None
    plain = text.replace("×", "*").replace("÷", "/").replace("−", "-")
    return work_out(plain) if re.search(r"\d\s*[-+*/^]\s*[\d(]", plain) else None


def _misplaced(numbers: Numbers, shown: list[str], *, descending: bool) -> str | None:
    wanted = sorted(numbers, reverse=descending)
    got = [Fraction(number.replace(",", "")) for number in shown]
    is_wrong = sorted(got) == sorted(numbers) and got != wanted
    return ", ".join(map(_plain, wanted)) if is_wrong else None


def _is_among(result: Fraction, shown: list[str]) -> bool:
    return any(
        agrees(result, Fraction(text.replace(",", "")), text, may_round=True) for text in shown
    )


def wrong_alphabet(task: str, material: str, answer: str) -> str | None:
    """Give words in alphabetical order, if the answer has the same words in another; else None.

    The words are the material, apart by commas, line ends or blanks; each is one word of letters.
    Case does not count.

    Example:
        >>> wrong_alphabet("Sort alphabetically.", "rose, bean, leek", "bean, rose, leek")
        'bean, leek, rose'
    """
    separator = r"\s*[,;\n]\s*" if re.search(r"[,;\n]", material) else r"\s+"
    words = [word.strip(" .'\"-•").lower() for word in re.split(separator, material.strip())]
    is_plain = 1 < len(words) <= 40 and all(map(str.isalpha, words))
    if not is_plain or not _ALPHABET.search(task) or _BACKWARDS.search(task):
        return None
    got = [word for word in re.findall(r"[^\W\d_]+", answer.lower()) if word in words]
    wanted = sorted(words)
    return ", ".join(wanted) if sorted(got) == wanted and got != wanted else None


_QUOTED = re.compile(r"[\"'“‘](.+?)[\"'”’](?!\w)")
_COUNTED = re.compile(
    r"(?i)\b(?:how many|number of|count(?: up)?(?: all)?(?: of)?(?: the)?|total) "
    r"(words|letters|characters|vowels|consonants)\b(?! (?:start|begin|end|with|that|which|per))"
)
_REVERSES = re.compile(
    r"(?i)\b(?:reverse (?:the |this |a )?(?:(?:given|following) )?(?:string|word|letters)|"
    r"spell (?:it|\S+|the (?:\w+ )?word) backwards)\b"
)
_CODE_ASKED = re.compile(
    r"(?i)\b(?:function|program|code|script|algorithm|method|unique|distinct|different)\b"
)
_KINDS = {"vowels": "aeiou", "consonants": "bcdfghjklmnpqrstvwxyz"}
_WORD_NUMBERS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
)


def wrong_letters(task: str, material: str, answer: str) -> str | None:
    """Say what a count of letters or words, or a word spelt backwards, comes to, if it is not so.

    Known are "how many words (letters, characters, vowels, consonants)" of the material, or of the
    one text that the task quotes, and "reverse the word". Letters are a to z; characters may be
    counted with or without white space; of an answer that shows no number nothing is said. None
    where the task has a second condition, or asks for code.

    Example:
        >>> wrong_letters("How many vowels are in the word?", "banana", "There are 4 vowels.")
        '3'
        >>> wrong_letters("Reverse the word.", "leek", "keel") is None
        True
    """
    quoted = _QUOTED.findall(task)
    text = material.strip() or (quoted[0] if len(quoted) == 1 else "")
    if not text or len(text) > 300 or not text.isascii() or _CODE_ASKED.search(task):
        return None
    if _REVERSES.search(task) and text.strip("\"'").isalpha():
        wanted = text.strip("\"'")[::-1]
        return wanted if wanted.lower() not in answer.lower() else None
    counted = _COUNTED.search(task)
    shown = {int(n) for n in re.findall(r"\d{1,4}", answer)}
    shown |= {n for n, word in enumerate(_WORD_NUMBERS) if re.search(rf"(?i)\b{word}\b", answer)}
    if counted is None or not shown:
        return None
    right = _counts(counted[1].lower(), text.strip("\"'"))
    return str(min(right)) if not right & shown else None


def _counts(kind: str, text: str) -> set[int]:
    lower = text.lower()
    if kind == "words":
        return {
            len(text.split()),
            len(re.findall(r"[\w'’-]+", text)),
            len(re.findall(r"\w+", text)),
        }
    if kind == "characters":
        return {len(text), len("".join(text.split())), sum(map(str.isalnum, text))}
    letters = _KINDS.get(kind, "abcdefghijklmnopqrstuvwxyz")
    vowels_too = {sum(char in "aeiouy" for char in lower)} if kind == "vowels" else set()
    return {sum(char in letters for char in lower)} | vowels_too


def _plain(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.6g}"
