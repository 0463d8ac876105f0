"""Questions and answers that were written into one text, found by the labels before them."""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = r"(?: ?(?:[0-9]{1,3}|[一二三四五六七八九十]{1,3}))?"
_FAMILIES = {
    "instruction": (
        r"instructions?|task|指令|任务|指示",
        r"inputs?|context|输入|上下文",
        r"outputs?|responses?|输出|回复|响应",
    ),
    "question": (r"questions?|q|问题|提问|问", "(?!)", r"answers?|a|答案|回答|解答|答"),
}
_COLON = r"\*{0,2} ?[:：] ?\*{0,2}"
_LABELS = {
    family: re.compile(
        r"(?:(?<=\n)|\A)[ \t]*(?:#{1,4} |\*\*|[0-9]{1,3}[.)] )?"
        rf"(?i:(?:(?P<ask>{ask})|(?P<more>{more})|(?P<tell>{tell})){_NUMBER}){_COLON}[ \t]*"
    )
    for family, (ask, more, tell) in _FAMILIES.items()
}
FAMILIES = tuple(_FAMILIES)
PREFILTER = (
    r"(?im)^[ \t]*(?:#{1,4} |\*\*|[0-9]{1,3}[.)] )?"
    rf"(?:{'|'.join(names for family in _FAMILIES.values() for names in (family[0], family[2]))})"
    rf"{_NUMBER}{_COLON}"
)
"""What every text with labels matches; valid in Rust."""
_NO_INPUT = frozenset({"", "<noinput>", "noinput", "none", "n/a", "无", "no input"})


class Pair(NamedTuple):
    """A question with its answer."""

    prompt: str
    input: str
    response: str


class Parsed(NamedTuple):
    """A text taken apart: what stands before the first label, the pairs, and a broken last one."""

    head: str
    pairs: tuple[Pair, ...]
    tail: str


def take_apart(text: str, families: tuple[str, ...] = FAMILIES) -> Parsed | None:
    r"""Take a text apart at its labels, by the first family that fits all of it.

    A family has labels to ask (`Instruction:`, `Q:`, `问：` ...), to give more (`Input:`) and to
    answer (`Output:`, `A:`, `答：` ...). A label begins a line, after `###`, `**`, a number or not,
    may itself be numbered, and ends in a colon. Labels in code blocks are none. A text fits where
    its labels come as ask, maybe more, answer, again and again, and no part between is blank but
    the input; only the last pair may lack its end: that is the tail.

    Example:
        >>> [pair.response for pair in take_apart("Q: Wet?\nA: Yes.\nQ: Why?\nA: Rain.").pairs]
        ['Yes.', 'Rain.']
        >>> take_apart("The question: is it wet?") is None
        True
    """
    for family in families:
        found = _by(text, _LABELS[family])
        if found is not None and found.pairs:
            return found
    return None


def _by(text: str, labels: re.Pattern[str]) -> Parsed | None:
    marks = [m for m in labels.finditer(text) if text.count("```", 0, m.start()) % 2 == 0]
    if not marks:
        return None
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    parts = [
        (str(mark.lastgroup), text[mark.end() : end].strip())
        for mark, end in zip(marks, ends, strict=True)
    ]
    pairs: list[Pair] = []
    place = 0
    while place < len(parts):
        kinds = tuple(kind for kind, _ in parts[place : place + 3])
        size = 3 if kinds == ("ask", "more", "tell") else 2
        whole = kinds == ("ask", "more", "tell") or kinds[:2] == ("ask", "tell")
        values = [value for _, value in parts[place : place + size]]
        if whole and values[0] and values[-1]:
            pairs.append(Pair(values[0], _given(values[1]) if size == 3 else "", values[-1]))
            place += size
            continue
        is_tail = kinds[0] == "ask" and len(parts) - place <= size and kinds[1:2] != ("ask",)
        if not is_tail:
            return None
        return Parsed(text[: marks[0].start()].strip(), tuple(pairs), text[marks[place].start() :])
    return Parsed(text[: marks[0].start()].strip(), tuple(pairs), "")


def _given(value: str) -> str:
    return "" if value.lower() in _NO_INPUT else value
