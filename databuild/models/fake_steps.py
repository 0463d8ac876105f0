"""The fake model in a tree search: it takes one step of a sum, often rightly, and judges steps.

A sum is told in orders ("Start with 7. Add 5. Multiply by 3."), or is a word problem of which the
fake tries one operation on two numbers, as in `models.fake_sums`. As a judge it is better than as a
solver: it says nine times in ten whether every step does what its order says.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from databuild.models.fake_sums import named_signs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

_ORDER = re.compile(
    r"\b(?:(start)(?:s|ed)? (?:with|at)|(add)|(take away|subtract)|(multiply by)) (\d{1,9})|"
    r"(从)(\d{1,9})开始|(加上)(\d{1,9})|(减去)(\d{1,9})|(乘以)(\d{1,9})",
    re.I,
)
_SIGNS = {"start": "", "add": "+", "take away": "-", "subtract": "-", "multiply by": "*",
          "从": "", "加上": "+", "减去": "-", "乘以": "*"}  # fmt: skip
_STEP = re.compile(r"(-?\d+) ([-+*]) (-?\d+) = (-?\d+)")
_ANSWER = re.compile(r"(?:The answer is |答案是)(-?\d+)")
_LABELLED = re.compile(r"^(?:Step \d+: |第\d+步：)(.*)$", re.M)
_PROMPTS = (
    ("step", re.compile(r"^Problem: ([\s\S]+?)\nSteps so far:\n([\s\S]*)\nWrite step \d+ only\.$")),
    ("step", re.compile(r"^题目：([\s\S]+?)\n已有的步骤：\n([\s\S]*)\n只写第\d+步。$")),
    ("value", re.compile(r"^Problem: ([\s\S]+?)\nSteps to check:\n([\s\S]*)\nAre these steps")),
    ("value", re.compile(r"^题目：([\s\S]+?)\n要检查的步骤：\n([\s\S]*)\n这些步骤对吗")),
    ("vote", re.compile(r"^Problem: ([\s\S]+?)\n\nChoice 1:\n([\s\S]*)\nWhich choice is the best")),
    ("vote", re.compile(r"^题目：([\s\S]+?)\n\n选项1：\n([\s\S]*)\n哪个选项最好")),
)


class _Sum(NamedTuple):
    """A first number, and what is to be done with it."""

    first: int
    orders: tuple[tuple[str, int], ...]


def walk(prompt: str, draw: np.random.Generator, skill_ratio: float) -> str | None:
    """Answer a prompt of the tree search of `generate.reason`; None when it is none."""
    for name, pattern in _PROMPTS:
        found = pattern.search(prompt)
        if found:
            language = "zh" if prompt.startswith("题目") else "en"
            return _ANSWERS[name](_sum(found[1]), found[2], draw, skill_ratio, language)
    return None


def worth(question: str, steps: Sequence[str]) -> float | None:
    """What a reward model that knows sums says of steps: 1 where all are right, else 0.

    None where the question does not tell a sum in orders.

    Example:
        >>> asked = "Start with 7. Add 5. What number is it?"
        >>> worth(asked, ["7 + 5 = 12"]), worth(asked, ["7 - 5 = 2"]), worth("Why?", ["x"])
        (1.0, 0.0, None)
    """
    told = _sum(question)
    if not (told.orders and len(_ORDER.findall(question)) > 1):
        return None
    return float(_is_right(told, steps))


def _sum(question: str) -> _Sum:
    orders = []
    for one in _ORDER.finditer(question):
        word, number = (part for part in one.groups() if part)
        orders.append((_SIGNS[word.lower()], int(number)))
    if orders and orders[0][0] == "":
        return _Sum(orders[0][1], tuple(orders[1:]))
    numbers = [int(one[:9]) for one in re.findall(r"\d+", question)] or [1]
    return _Sum(numbers[0], (((named_signs(question) or ["+"])[-1], numbers[-1]),))


def _step(
    told: _Sum, before: str, draw: np.random.Generator, skill_ratio: float, language: str
) -> str:
    steps = _LABELLED.findall(before)
    done = _STEP.findall(before)
    value = int(done[-1][3]) if done else told.first
    if len(steps) >= len(told.orders):
        return f"答案是{value}。" if language == "zh" else f"The answer is {value}."
    sign, number = told.orders[len(steps)]
    if draw.random() >= skill_ratio:
        sign = [one for one in "+-*" if one != sign][int(draw.integers(2))]
    return f"{value} {sign} {number} = {_result(value, sign, number)}"


def _value(
    told: _Sum, steps: str, draw: np.random.Generator, _skill_ratio: float, language: str
) -> str:
    if draw.random() < 0.1:
        return "可能" if language == "zh" else "likely"
    words = ("肯定", "不可能") if language == "zh" else ("sure", "impossible")
    return words[0] if _is_right(told, _LABELLED.findall(steps)) else words[1]


def _vote(
    told: _Sum, choices: str, draw: np.random.Generator, _skill_ratio: float, _language: str
) -> str:
    each = re.split(r"\n\s*(?:Choice \d+:|选项\d+：)\n", f"\n{choices}")
    right = [i + 1 for i, one in enumerate(each) if _is_right(told, _LABELLED.findall(one))]
    among = right if right and draw.random() >= 0.1 else list(range(1, len(each) + 1))
    return str(among[int(draw.integers(len(among)))])


def _is_right(told: _Sum, steps: Sequence[str]) -> bool:
    """Whether every step does what its order says, and an answer stands where all is done."""
    value = told.first
    for i, step in enumerate(steps):
        answer = _ANSWER.search(step)
        if answer:
            return i == len(told.orders) and int(answer[1]) == value
        taken = _STEP.search(step)
        if not taken or i >= len(told.orders):
            return False
        sign, number = told.orders[i]
        expected = (value, sign, number, _result(value, sign, number))
        if (int(taken[1]), taken[2], int(taken[3]), int(taken[4])) != expected:
            return False
        value = expected[3]
    return True


def _result(value: int, sign: str, number: int) -> int:
    return {"+": value + number, "-": value - number, "*": value * number}[sign]


_ANSWERS: dict[str, Callable[[_Sum, str, np.random.Generator, float, str], str]] = {
    "step": _step, "value": _value, "vote": _vote,
}  # fmt: skip
