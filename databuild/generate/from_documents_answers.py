"""What a model wrote when it was asked for questions about a passage, taken apart."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = {
    "question": ("question", "q", "问题", "提问", "问"),
    "answer": ("answer", "a", "答案", "回答", "答"),
    "quote": ("quote", "quotation", "evidence", "source", "引文", "引用", "原文", "依据"),
}
_FIELD = {name: field for field, names in _NAMES.items() for name in names}
_LABEL = re.compile(
    r"^[ \t]*(?:[-*•>]{1,3}[ \t]+|#{1,6}[ \t]+|\d{1,2}[.)、][ \t]*)?[*_]{0,2}"
    rf"(?P<name>{'|'.join(sorted(_FIELD, key=len, reverse=True))})"
    r"[ \t]*(?:#?\d{1,2}|[一二三四五六七八九十])?[ \t]*[*_]{0,2}[ \t]*[:：][*_]{0,2}[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_THINKING = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
_BULLET = re.compile(r"^[ \t]*(?:[-*•>]{1,3}[ \t]+|#{1,6}[ \t]+|\d{1,2}[.)、][ \t]*)")
_QUOTED = re.compile(r"\A[\"“「『‘'](?P<inner>.*)[\"”」』’']\Z", re.DOTALL)


@dataclass(frozen=True)
class Draft:
    """A question with an answer, as a model wrote them, before any check."""

    question: str
    answer: str
    quote: str
    """What is said to stand in the passage; empty where the model gave none."""


def read_drafts(text: str) -> list[Draft]:
    r"""Find the questions with answers in what a model wrote, in its order.

    Read are JSON objects with the keys `question`, `answer` and `quote`, alone, in lists, in other
    objects or between words, whole ones of a text that breaks off; and where there is none, lines
    that begin with those labels. `Q`, `A`, `Evidence`, `Source`, `问题`, `答案`, `引文` and the
    like, in any case, with numbers, bullets or bold type, are read as well. What stands in
    `<think>` at the beginning is left out; so is a question without an answer.

    Example:
        >>> read_drafts("Sure!\nQuestion: Who came?\nAnswer: Ann.\nQuote: \"Ann came in\"")
        [Draft(question='Who came?', answer='Ann.', quote='Ann came in')]
        >>> read_drafts('[{"question": "Who?", "answer": "Bo", "quote": "Bo left"}, {"question": ')
        [Draft(question='Who?', answer='Bo', quote='Bo left')]
    """
    text = _THINKING.sub("", text)
    return list(_from_json(text)) or list(_from_labels(text))


def read_question(text: str) -> str:
    r"""The first question in what a model wrote when it was asked for one, or an empty text.

    It is the first line that holds a question mark, up to the mark, without a label, a bullet or
    quotation marks; what stands in `<think>` at the beginning is left out.

    Example:
        >>> read_question("Sure:\nQuestion: \"Who came?\" It is Ann.")
        'Who came?'
    """
    for line in _THINKING.sub("", text).splitlines():
        at = min((found for mark in "?？" if (found := line.find(mark)) >= 0), default=-1)
        if at > 0:
            question = _LABEL.sub("", line[: at + 1], count=1)
            return _BULLET.sub("", question).strip(" \t\"“”「」『』*'")
    return ""


def _from_json(text: str) -> Iterator[Draft]:
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        yield from _objects(found, 0)
        at = text.find("{", end)


def _objects(found: Any, depth: int) -> Iterator[Draft]:
    if isinstance(found, list):
        for one in found:
            yield from _objects(one, depth)
    if not isinstance(found, dict) or depth > 3:
        return
    held = {
        _FIELD[key.strip().lower()]: str(value).strip()
        for key, value in found.items()
        if key.strip().lower() in _FIELD and isinstance(value, str | int | float)
    }
    if held.get("question") and held.get("answer"):
        yield Draft(held["question"], held["answer"], _bare(held.get("quote", "")))
    else:
        for value in found.values():
            yield from _objects(value, depth + 1)


def _from_labels(text: str) -> Iterator[Draft]:
    labels = list(_LABEL.finditer(text))
    held: dict[str, str] = {}
    for number, label in enumerate(labels):
        after = labels[number + 1].start() if number + 1 < len(labels) else len(text)
        field = _FIELD[label["name"].lower()]
        if field == "question" or field in held:
            yield from _draft(held)
            held = {} if field == "question" else held
        held.setdefault(field, _value(text[label.end() : after], field))
    yield from _draft(held)


def _draft(held: dict[str, str]) -> Iterator[Draft]:
    if held.get("question") and held.get("answer"):
        yield Draft(held["question"], held["answer"], _bare(held.get("quote", "")))
        held.clear()


def _value(text: str, field: str) -> str:
    """An answer may have several paragraphs; a question or a quote ends at a blank line."""
    text = text.strip()
    if field != "answer":
        text = re.split(r"\n[ \t]*\n", text, maxsplit=1)[0]
    return text.strip().removesuffix("**").strip()


def _bare(quote: str) -> str:
    """A quote without the quotation marks around it."""
    found = _QUOTED.match(quote.strip())
    return found["inner"].strip() if found else quote.strip()
