"""The fake model asked for questions about a passage: it quotes, and at times misquotes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_PASSAGE = re.compile(r"<passage>\s*(.*?)\s*</passage>", re.DOTALL)
_GIVEN = re.compile(r"<sentence>\s*(.*?)\s*</sentence>", re.DOTALL)
_SENTENCE = re.compile(r"[^.!?。！？\n|]{8,}[.!?。！？]")
_COUNT = re.compile(r"(?:Write|写出) ?(\d+)")


def ask_about(prompt: str, draw: np.random.Generator, skill_ratio: float) -> str | None:
    """Questions with answers and quotes from the passage of a prompt; None where it has none.

    With `1 - skill_ratio` a quote is made up, so that what checks quotes has something to find.
    """
    found = _PASSAGE.search(prompt)
    if found is None:
        return None
    if (given := _GIVEN.search(prompt)) is not None:
        words = (
            re.findall(r"[^\W\d_]{4,}", given[1]) if draw.random() < skill_ratio else ["dragons"]
        )
        return f"What is known of {' and '.join(words[-2:]) or given[1]}?"
    sentences = [one.strip() for one in _SENTENCE.findall(found[1])] or [found[1][:80]]
    asked = _COUNT.search(prompt)
    is_chinese = re.search(r"[\u4e00-\u9fff]", found[1]) is not None
    pairs = []
    for _ in range(min(int(asked[1]) if asked else 1, 20)):
        sentence = sentences[int(draw.integers(len(sentences)))]
        about = (re.findall(r"[^\W\d_]{4,}", sentence) or [sentence])[-1]
        asks = "关于“{}”，有什么说法？" if is_chinese else "What is known of {}?"
        question = asks.format(about[:12])
        is_true = draw.random() < skill_ratio
        quote = sentence if is_true else f"Nobody ever wrote about {about} before."
        pairs.append((question, sentence, quote))
    if '"quote"' in prompt:
        keys = ("question", "answer", "quote")
        return json.dumps([dict(zip(keys, one, strict=True)) for one in pairs], ensure_ascii=False)
    labels = ("问题：", "答案：", "引文：") if is_chinese else ("Question: ", "Answer: ", "Quote: ")
    lines = ["\n".join(a + b for a, b in zip(labels, one, strict=True)) for one in pairs]
    return "\n\n".join(lines)
