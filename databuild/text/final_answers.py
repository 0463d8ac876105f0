"""The final answer of a worked solution: where it stands, what it says, and whether two agree.

An answer is a number (with a unit where it shows a known one), a choice (A to H), or a text. Only
what is plainly decidable is equal: numbers are compared exactly, as fractions.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNITS: tuple[tuple[str, str], ...] = (
    ("%", "%|percent|per cent|个百分点"),
    ("$", r"\$|us\$|dollars?|usd|美元"),
    ("€", "€|euros?|eur|欧元"),
    ("£", "£|gbp|英镑"),
    ("¥", "¥|yuan|rmb|cny|人民币|元|块钱?"),
    ("km/h", "km/h|kph|kilomet(?:er|re)s? (?:per|an) hour|千米/小时|公里/小时"),
    ("mph", "mph|miles? (?:per|an) hour"),
    ("km", "km|kilomet(?:er|re)s?|千米|公里"),
    ("cm", "cm|centimet(?:er|re)s?|厘米"),
    ("mm", "mm|millimet(?:er|re)s?|毫米"),
    ("kg", "kg|kilos?|kilograms?|千克|公斤"),
    ("mg", "mg|milligrams?|毫克"),
    ("ml", "ml|millilit(?:er|re)s?|毫升"),
    ("m", "m|met(?:er|re)s?|米"),
    ("g", "g|grams?|克"),
    ("l", "l|lit(?:er|re)s?|升"),
    ("h", "h|hours?|hrs?|个?小时"),
    ("min", "min|mins|minutes?|分钟"),
    ("s", "s|secs?|seconds?|秒"),
    ("d", "days?|天"),
    ("week", "weeks?|周|个?星期"),
    ("year", "years?|年"),
    ("cent", "cents?|¢"),
)
_KNOWN = tuple((name, re.compile(rf"\s*-?(?:{words})(?![a-z/])", re.I)) for name, words in _UNITS)
_CURRENCY = {"$": "$", "€": "€", "£": "£", "¥": "¥", "￥": "¥"}
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"(?<![A-Za-z0-9_.])(-?)\s?([$€£¥]?)\s?(-?)({_DIGITS})(?:\s?/\s?(\d+)(?![\d.]))?"
)
_MIXED = re.compile(r"(?<![\d.,/])(-?)(\d+)\s+(\d+)/([1-9]\d*)(?![\d.])")
_LATEX = re.compile(r"\\[dt]?frac\{(-?\d+)\}\{(\d+)\}")
_NOISE = re.compile(r"\\text\{([^{}]*)\}|\\[,;!]|\\\(|\\\)|\\\[|\\\]|\*\*|__|`")
_MATH = re.compile(r"(?<!\\)\$([^$\n]+)(?<![\\\s])\$(?!\d)")
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")
_MARKER = re.compile(
    r"####\s*|(?i:\b(?:final |correct |right )?answer(?: is| was|\s*[:=：])\s*:?)|"
    r"(?:最终|最后)?(?:的)?答案(?:是|为|\s*[:：=])\s*[:：]?"
)
_CHOICE = re.compile(
    r"^(?:option |choice |选项?|选择)?\(?([A-H])\)?[.):、：]?(?=$|\s|[^\w\s])", re.I
)
_END = re.compile(r"(?<=[.!?])\s|[。！？\n]")
_ARTICLES = re.compile(r"^(?:the|a|an)\s+")
_MAX_SHORT_WORDS, _MAX_SHORT_CHARS = 8, 24


@dataclass(frozen=True)
class Value:
    """What an answer says, to be compared."""

    kind: Literal["number", "choice", "text"]
    value: Fraction | str
    unit: str = ""
    """A known unit, by its short name; "" without one."""

    def __str__(self) -> str:
        """As an error shows it."""
        if not isinstance(self.value, Fraction):
            return self.value
        whole = self.value.denominator == 1
        shown = str(self.value.numerator) if whole else f"{float(self.value):.6g}"
        return f"{shown} {self.unit}".rstrip()


def find_answer(text: str) -> tuple[str, str, str] | None:
    r"""Part a text without tags into (what leads up, the answer, how it was found).

    Looked for are, the last one in the text first: `\boxed{...}`; a marker (`####`, "the answer
    is", "Answer:", "答案是"), whose answer goes to the end of the sentence; else the last number.

    Example:
        >>> find_answer("3 + 4 = 7. The answer is 7 eggs. Good!")
        ('3 + 4 = 7.', '7 eggs', 'marker')
        >>> find_answer("Three and 4 make 7."), find_answer("No idea.")
        (('Three and 4 make 7.', '7', 'last number'), None)
    """
    boxed = list(_BOXED.finditer(text))
    if boxed:
        return _before(text, boxed[-1].start()), boxed[-1][1].strip(), "marker"
    for marker in reversed(list(_MARKER.finditer(text))):
        said = _END.split(text[marker.end() :].lstrip(), maxsplit=1)[0]
        said = said.strip().strip("*_` ").rstrip(".。!！,，;；").strip("*_` ")
        if said:
            return _before(text, marker.start()), said, "marker"
    numbers = list(_NUMBER.finditer(text))
    return (text.strip(), numbers[-1][0].strip(), "last number") if numbers else None


def _before(text: str, end: int) -> str:
    """The text before a marker, without the words of its sentence that only lead to it."""
    before = text[:end].rstrip().rstrip("*_`\\([$").rstrip()
    begun = list(_END.finditer(before))
    rest = before[begun[-1].end() :] if begun else before
    is_lead = not re.search(r"\d", rest) and len(rest) < 40
    return (before[: begun[-1].end()] if begun else "").strip() if is_lead else before


def read_value(text: str, like: Value | None = None) -> Value | None:
    """What an answer says; None where it says nothing, or nothing of the kind of `like`.

    A text of at most 8 words (of 24 characters without blanks) with one number is a number, and a
    letter from A to H by itself, or before a sign, a choice. Of several numbers, which only `like`
    a number makes one answer, the last counts.

    Args:
        text: The answer, without its reasoning.
        like: Another answer whose kind this one must have.

    Example:
        >>> str(read_value("$1,250.50")), str(read_value("(b) a hat")), str(read_value("The Nile."))
        ('1250.5 $', 'B', 'nile')
        >>> str(read_value("so 6 * 7 = 42 apples", like=read_value("42")))
        '42'
    """
    plain = _plain(text)
    if not plain:
        return None
    if like is None or like.kind == "choice":
        choice = _CHOICE.match(plain)
        is_letter = choice and (choice[1].isupper() or len(choice[0].rstrip()) == len(plain))
        if (
            choice
            and (is_letter or choice[0][-1] in ").")
            and (like or _stands_alone(choice, plain))
        ):
            return Value("choice", choice[1].upper())
        if like is not None:
            found = re.findall(r"(?<![A-Za-z'])([A-H])(?![A-Za-z'])", plain)
            return Value("choice", found[0]) if len(set(found)) == 1 else None
    if like is None or like.kind == "number":
        numbers = _numbers(plain)
        if numbers and (like is not None or (len(numbers) == 1 and _is_short(plain))):
            return numbers[-1]
        if like is not None:
            return None
    worded = _ARTICLES.sub("", " ".join(plain.casefold().split()).strip(" .,;:!?。！？，；：\"'“”"))
    return Value("text", worded) if worded else None


def _stands_alone(choice: re.Match[str], plain: str) -> bool:
    """Tell "A", "A." and "(A) dog", which are choices, from "A dog", which is a text."""
    return len(choice[0]) == len(plain) or not choice[0][-1].isalnum()


def _is_short(plain: str) -> bool:
    return len(plain) <= _MAX_SHORT_CHARS or 1 < len(plain.split()) <= _MAX_SHORT_WORDS


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("–", "-")
    boxed = _BOXED.search(text)
    text = _LATEX.sub(r"\1/\2", boxed[1] if boxed else text).replace("\\%", "%")
    text = _MATH.sub(r"\1", text).replace("\\$", "$")
    return _NOISE.sub(lambda found: found[1] or "", text).strip()


def _numbers(plain: str) -> list[Value]:
    def improper(found: re.Match[str]) -> str:
        sign, whole, above, below = found.groups()
        return f"{sign}{int(whole) * int(below) + int(above)}/{below}"

    plain = _MIXED.sub(improper, plain)
    values = []
    for found in _NUMBER.finditer(plain):
        before, currency, after, digits, below = found.groups()
        value = Fraction(digits.replace(",", ""))
        if below and int(below):
            value /= int(below)
        after_it = (name for name, unit in _KNOWN if unit.match(plain, found.end()))
        unit = _CURRENCY.get(currency) or next(after_it, "")
        values.append(Value("number", -value if before or after else value, unit))
    return values


def agree(one: Value | None, other: Value | None) -> bool:
    """Whether two answers say the same.

    Numbers are equal, or equal after both are rounded to the decimal places of the one that has
    fewer of them, if these are at least two; units are equal, or one has none. Choices and texts
    are equal letter by letter; case, articles and marks at the ends of a text do not count.

    Example:
        >>> others = [read_value(text) for text in ("42.0", "42 m", "42 kilometers", "42.5 km")]
        >>> [agree(read_value("42 km"), other) for other in others]
        [True, False, True, False]
        >>> agree(read_value("3.33"), read_value("10/3")), agree(read_value("3"), read_value("3.3"))
        (True, False)
    """
    if one is None or other is None or one.kind != other.kind:
        return False
    if one.unit != other.unit and one.unit and other.unit:
        return False
    if not isinstance(one.value, Fraction) or not isinstance(other.value, Fraction):
        return one.value == other.value
    places = min(_places(one.value), _places(other.value))
    is_near = 2 <= places <= 12 and round(one.value, places) == round(other.value, places)
    return one.value == other.value or is_near


def _places(value: Fraction) -> int:
    """Decimal places of a value; 13 for one that never ends."""
    for places in range(13):
        if (value * 10**places).denominator == 1:
            return places
    return 13


def majority(values: Sequence[Value | None]) -> tuple[Value, float] | None:
    """The answer that most agree on, and its share of all, those without an answer too.

    A number without a unit votes for the commonest unit of this number. None where two answers are
    equally frequent, or there is none.

    Example:
        >>> said = [read_value(text) for text in ("12 km", "12", "13", "?!")]
        >>> [str(part) for part in majority(said)]
        ['12 km', '0.5']
        >>> majority(said[1:3]) is None
        True
    """
    units = Counter(value for value in values if value is not None and value.unit)
    commonest: dict[Fraction | str, Value] = {}
    for value, _ in sorted(units.items(), key=lambda one: (-one[1], one[0].unit)):
        commonest.setdefault(value.value, value)
    votes = Counter(
        value if value.unit or value.kind != "number" else commonest.get(value.value, value)
        for value in values
        if value is not None
    )
    best = votes.most_common(2)
    if not best or (len(best) == 2 and best[0][1] == best[1][1]):
        return None
    return best[0][0], best[0][1] / len(values)
