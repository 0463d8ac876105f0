"""What an answer with reasons says: its rationale, its answer, and what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from databuild.text.final_answers import Value, find_answer, read_value

_OPENS, _CLOSES = "<think>", "</think>"
_TELLS = re.compile(
    r"\bhint(?:s|ed)?\b|\b(?:given|provided|known|stated|supplied) (?:final )?(?:answer|solution|"
    r"result)\b|\banswer (?:that )?(?:(?:is|was|has been|we were|you) )?(?:already )?(?:given|"
    r"provided|known|stated|told)\b|\b(?:told|given|know) (?:that )?the (?:final )?answer\b|"
    r"\b(?:according to|matches|match|from|based on|using) the (?:final )?answer\b|"
    r"提示|(?:给出|给定|已知|提供|告诉|参考|标准)(?:我们)?的?答案|答案(?:已经?|是)(?:给出|给定|已知|提供)|"
    r"(?:根据|由|从|按照)(?:这个)?答案",
    re.I,
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Reasoned:
    """A rationale and the answer that it leads to."""

    rationale: str
    answer: str
    """As it was said."""
    found: Literal["tags", "marker", "last number"]
    """What the answer was known by."""


def read_reasoning(text: str) -> Reasoned:
    """Part an answer into its rationale and what it answers.

    With think tags, thoughts stand between them (an opening tag that is missing stood in the
    prompt) and the answer after them. Without tags, `text.final_answers.find_answer` looks for it.

    Raises:
        ValueError: With what is wrong: "empty answer", "thoughts are not closed", "think tags out
            of order", "no answer found", "no rationale".

    Example:
        >>> read_reasoning("<think>2 + 2 = 4</think> 4")
        Reasoned(rationale='2 + 2 = 4', answer='4', found='tags')
        >>> read_reasoning("2 + 2 = 4. The answer is 4.").found
        'marker'
    """
    if not text.strip():
        raise ValueError("empty answer")
    before, has_close, after = text.partition(_CLOSES)
    head, has_open, inside = before.partition(_OPENS)
    if has_close:
        thoughts = inside if has_open else head
        is_odd = _OPENS in thoughts or _OPENS in after or _CLOSES in after
        if is_odd or (has_open and head.strip()):
            raise ValueError("think tags out of order")
        rationale, answer, found = thoughts.strip(), after.strip(), "tags"
    elif has_open:
        raise ValueError("thoughts are not closed")
    else:
        parted = find_answer(text)
        if parted is None:
            raise ValueError("no answer found")
        rationale, answer, found = parted
    if not answer:
        raise ValueError("no answer found")
    if not rationale or rationale == answer:
        raise ValueError("no rationale")
    return Reasoned(rationale, answer, found)  # type: ignore[arg-type]


def answer_of(reasoned: Reasoned, like: Value | None = None) -> Value | None:
    """What the answer says: behind its own marker ("the answer is"), if it has one.

    Args:
        reasoned: The answer.
        like: The right answer, whose kind it must have.
    """
    parted = find_answer(reasoned.answer)
    if parted is not None and parted[2] == "marker":
        inner = read_value(parted[1], like)
        if inner is not None:
            return inner
    return read_value(reasoned.answer, like)


def leak(reasoned: Reasoned, gold: Value) -> str | None:
    """Say how a rationale gives away that it was told the answer; None where it does not.

    It does where it speaks of a hint or of an answer that was given, known or told, and where the
    answer is a number and the rationale has no other.

    Example:
        >>> gold = read_value("7")
        >>> leak(Reasoned("As the hint says, it is 7.", "7", "tags"), gold)
        "the rationale tells of the hint: 'hint'"
        >>> leak(Reasoned("It is 7.", "7", "tags"), gold)
        'the rationale shows no work'
        >>> leak(Reasoned("3 + 4 = 7", "7", "tags"), gold) is None
        True
    """
    told = _TELLS.search(f"{reasoned.rationale}\n{reasoned.answer}")
    if told:
        return f"the rationale tells of the hint: {told[0]!r}"
    if gold.kind == "number":
        shown = (read_value(number, gold) for number in _NUMBER.findall(reasoned.rationale))
        if all(value is None or value.value == gold.value for value in shown):
            return "the rationale shows no work"
    return None
