"""The fake model's words: plausible English about a prompt that at times obeys its orders."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from databuild.models.fake_judging import judge_answers
from databuild.models.fake_passages import ask_about
from databuild.models.fake_rewriting import reword
from databuild.models.fake_steps import walk
from databuild.models.fake_sums import solve
from databuild.models.fake_tasks import answer_about_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

SENTENCES = (
    "Many people find that {a} makes an ordinary day a little better.",
    "When you look closely at {a}, you notice how much depends on {b}.",
    "A good way to begin with {a} is to read about {b} first.",
    "The history of {a} is longer than most of us think, and {b} plays a part in it.",
    "Some experts say that {a} matters more than {b}, others disagree.",
    "It helps to keep {a} simple.",
    "Children learn about {a} at school.",
    "In the morning, the light falls on {a}, and everything seems calm.",
    "There are three things to know about {a}: its shape, its use, and its cost.",
    "Without {b}, there would be no {a} as we know it.",
    "You can practise {a} for ten minutes each day.",
    "Nobody knows exactly where {a} came from.",
)
NONSENSE = (
    "",
    " \n ",
    '{"answer": [1, 2, {"text": "cut of',
    "\ufffd\ufffd\u200b\u202e\u0000 \U0001f9ea\u0301\u0301 \ufffd",
    "the the the the the the the the the the the the the the the the the the the the",
)
REFUSAL = "I'm sorry, but I can't help with that."
_STOP_WORDS = frozenset(
    """
    about above after again also answer answers assistant before begin being between bullet
    case could describe does exactly explain give have helpful include into just keep least
    letters like line lines list lower make more most must only other please points reply
    respond response sentence sentences short should some start tell text than that their them
    then there these they this those upper using very what when where which while with without
    word words would write your
    """.split()  # noqa: SIM905 -- a list of these would be 60 lines long
)
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_QUOTED = r"[\"'“‘`]([^\"'”’`]{1,80})[\"'”’`]"


def compose(prompt: str, draw: np.random.Generator, skill_ratio: float) -> str:
    """Write 1 to 6 sentences with words of the prompt, then obey each order with `skill_ratio`.

    The orders known are those of common verifiable constraints: bullet points, a word limit, one
    sentence, lower or upper case, no commas, JSON with given keys, a word to mention, a text to
    start or to end with. An order counts as found when its words stand in the prompt.
    """
    if (judged := judge_answers(prompt, draw, skill_ratio)) is not None:
        return judged
    if (asked := ask_about(prompt, draw, skill_ratio)) is not None:
        return asked
    about_tasks = answer_about_tasks(prompt, draw)
    if about_tasks is not None:
        return about_tasks
    for answer in (walk, reword):
        if (said := answer(prompt, draw, skill_ratio)) is not None:
            return said
    if (solved := solve(prompt, draw, skill_ratio)) is not None:
        return solved
    words = _topic_words(prompt)
    count = int(draw.integers(1, 7))
    picks = draw.choice(len(SENTENCES), size=count, replace=False)
    sentences = []
    for pick in picks:
        a, b = (words[int(i)].lower() for i in draw.integers(0, len(words), size=2))
        sentences.append(SENTENCES[int(pick)].format(a=a, b=b))
    text = " ".join(sentences)
    for pattern, obey in _ORDERS:
        found = re.search(pattern, prompt, flags=re.IGNORECASE)
        if found and draw.random() < skill_ratio:
            text = obey(text, found, prompt)
    return text


def _topic_words(prompt: str) -> list[str]:
    """Return words of the prompt to write about: those after `about`, or else any long ones."""
    named = " ".join(re.findall(r"\b(?:about|explain|introduce) ([^.?!\n]+)", prompt))
    for text in (named, prompt):
        words = [w for w in re.findall(r"[^\W\d_]{4,}", text) if w.lower() not in _STOP_WORDS]
        if words:
            return words[:3] if text is named else words[:12]
    return ["life"]


def _number(word: str | None, otherwise: int) -> int:
    if word is None:
        return otherwise
    return int(word) if word.isdecimal() else _NUMBERS.get(word.lower(), otherwise)


def _bullets(text: str, found: re.Match[str], _prompt: str) -> str:
    parts = re.split(r"(?<=[.!?]) ", text)
    wanted = min(_number(found[1], 3), 20)
    return "\n".join(f"- {parts[i % len(parts)]}" for i in range(wanted))


def _at_most(text: str, found: re.Match[str], _prompt: str) -> str:
    return " ".join(text.split()[: _number(found[1], 12)]).rstrip(",;:") + "."


def _one_sentence(text: str, _found: re.Match[str], _prompt: str) -> str:
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


def _json(text: str, _found: re.Match[str], prompt: str) -> str:
    keys = re.findall(_QUOTED, prompt) or ["answer"]
    return json.dumps(
        {key: text if i == 0 else text.split(". ", maxsplit=1)[0] for i, key in enumerate(keys)}
    )


_NUMBER = r"(\d+|one|two|three|four|five|six|seven|eight)"
_ORDERS: tuple[tuple[str, Callable[[str, re.Match[str], str], str]], ...] = (
    (r"\b(?:one|single) sentence", _one_sentence),
    (rf"\b{_NUMBER} words", _at_most),
    (rf"(?:{_NUMBER} )?bullet", _bullets),
    (rf"\b(?:mention|include|use|contain)\b[^.]*?{_QUOTED}", lambda t, m, _: f"{t} It is {m[1]}."),
    (rf"\b(?:start|begin|open)\b[^.]*?{_QUOTED}", lambda t, m, _: f"{m[1]} {t}"),
    (rf"\b(?:end|finish|close|conclude)\b[^.]*?{_QUOTED}", lambda t, m, _: f"{t} {m[1]}"),
    (r"\bno commas?\b|\bcommas\b|without (?:any )?commas?", lambda t, _m, _p: t.replace(",", "")),
    (r"\bjson\b", _json),
    (r"lower[- ]?case|small letters", lambda t, _m, _p: t.lower()),
    (r"upper[- ]?case|capitals?\b|\ball caps\b", lambda t, _m, _p: t.upper()),
)
