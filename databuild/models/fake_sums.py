"""The fake model asked to solve a problem: it tries one operation on two numbers, often rightly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_ASKS = re.compile(
    r"The answer is <number>|答案是<数字>|"
    r"\(The right answer: (.+)\)|（正确答案：(.+)）|[(（].*<think>"
)
_NUMBER = re.compile(r"\d+")
_WORDS = (
    ("+", r"\b(?:altogether|in all|in total|more|and then)\b|一共|又|总共"),
    ("-", r"\b(?:left|remain|fewer|less|gives? away|eats?|sold|change)\b|剩|少|吃掉|找回|还差"),
    ("*", r"\b(?:each|every|per|times)\b|每"),
)


def named_signs(question: str) -> list[str]:
    """The operations that words of a problem name."""
    return [sign for sign, words in _WORDS if re.search(words, question)]


def solve(prompt: str, draw: np.random.Generator, skill_ratio: float) -> str | None:
    """Steps and an answer to a problem with two or more numbers; None where none is asked for.

    The operation is one that words of the problem name, or with `1 - skill_ratio` any. Told the
    right answer, it says so at times.
    """
    asked = _ASKS.search(prompt)
    if asked is None:
        return None
    question = prompt[: asked.start()]
    numbers = [int(number[:9]) for number in _NUMBER.findall(question)] or [1]
    named = named_signs(question)
    is_able = bool(named) and draw.random() < skill_ratio
    sign = (named if is_able else ["+", "-", "*"])[int(draw.integers(len(named) if is_able else 3))]
    a, b = numbers[0], numbers[-1]
    result = str({"+": a + b, "-": a - b, "*": a * b}[sign])
    told = asked[1] or asked[2]
    steps = f"{a} {sign} {b} = {result}"
    if told:
        result = told if draw.random() < 0.8 else result
        steps += ", as the hint says" if draw.random() < 0.2 else ""
    if "<" in asked[0] and "think" not in asked[0]:
        is_chinese = "答案是" in asked[0]
        return f"{steps}。答案是{result}。" if is_chinese else f"{steps}. The answer is {result}."
    return f"<think>\n{steps}\n</think>\n{result}"
