"""The fake model as a judge: it answers the prompts of `reward.judge` and `reward.compare`.

It likes an answer that takes up the words of the question, ends its last sentence, and says more
than a few words; of two that it likes equally it takes the one shown first, as real judges do.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_QUESTION = re.compile(r"^#(?:Question|问题)#\n(.*?)\n\n#", re.DOTALL | re.MULTILINE)
_ANSWER = re.compile(r"^#(?:Answer|回答)(?: ([AB]))?#\n(.*?)(?=\n\n#)", re.DOTALL | re.MULTILINE)
_SCALE = re.compile(r"(?:number from|从) (-?\d+) (?:to|到) (-?\d+)")
_LABELS = ("SCORE: ", "评分：", "VERDICT: ", "结论：")


def judge_answers(prompt: str, draw: np.random.Generator, skill_ratio: float) -> str | None:
    """Answer a prompt of a judge; None when it is none.

    With a chance of 1 - `skill_ratio` the judgement is drawn at random.
    """
    found = _ANSWER.findall(prompt)
    asked = _QUESTION.search(prompt)
    if not found or asked is None:
        return None
    likes = [_liking(asked[1], answer) for _, answer in found]
    if draw.random() >= skill_ratio:
        likes = draw.random(len(likes)).tolist()
    scale = _SCALE.findall(prompt)
    if len(found) == 2 and [name for name, _ in found] == ["A", "B"]:
        key, said = "verdict", "A" if likes[0] >= likes[1] else "B"
    elif scale:
        low, high = map(int, scale[-1])
        key, said = "score", str(low + round(likes[0] * (high - low)))
    else:
        return None
    return _worded(prompt, key, said)


def _liking(question: str, answer: str) -> float:
    """From 0 to 1."""
    asked = {word.lower() for word in re.findall(r"\w{4,}|[\u4e00-\u9fff]{2}", question)}
    said = answer.lower()
    share = sum(word in said for word in asked) / max(1, len(asked))
    is_ended = answer.rstrip().endswith((".", "!", "?", "。", "！", "？"))
    return min(1.0, 0.6 * share + 0.2 * is_ended + 0.2 * min(1.0, len(said) / 60))


def _worded(prompt: str, key: str, said: str) -> str:
    """The judgement in the form that the prompt asks for."""
    asked = prompt.rpartition("\n#")[2]
    label = next((text for text in _LABELS if text.strip() in asked), "")
    if "JSON" in asked:
        value = int(said) if key == "score" else said
        return json.dumps({"reasons": "It takes up what was asked.", key: value})
    return f"It takes up what was asked.\n{label}{said}" if label else said
