"""The fake model's answers to the prompts of `generate.rewrite` and `generate.critique`.

With `1 - skill_ratio` it does what real models do: it gives the text back as it is, answers it, or
leaves a number out. It knows no other language: its translation is the text backwards, from which
it finds its way home.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

_HAN = re.compile(r"[\u4e00-\u9fff]")
_FRAMES = {
    "en": (
        "I would like to hear from you about this: {}",
        "Please take up the following and keep to it: {}",
        "Here is something that somebody wants done: {}",
        "Put differently, what we are after is this: {}",
        "{} That is the whole of what is wanted here.",
        "{} Kindly see to this as well as you are able.",
    ),
    "zh": ("换一种说法，要求如下：{}", "我想请教的就是这件事：{}", "请认真看看下面这个要求：{}",
           "{}这就是我想知道的全部内容。", "{}麻烦你好好处理一下这件事。"),
}  # fmt: skip
_DEEPER = {
    "en": (" Go into the causes and the consequences, and give an example of each.",
           " Compare two views on it, and say which is better supported and why."),
    "zh": ("请分别说明原因和后果，并各举一个例子。",
           "请比较两种不同的看法，并说明哪一种更有依据。"),
}  # fmt: skip
_HARDER = {
    "en": (" Reason in several steps, and state what each step takes for granted.",
           " Your answer must also work for a reader who disagrees with it."),
    "zh": ("请分几步推理，并写明每一步的前提。", "你的回答还要能说服持不同意见的读者。"),
}  # fmt: skip
_BROADER = {
    "en": ("Which little-known trade depends on {}, and how did it come about?",
           "Draft a notice for a small museum that collects things to do with {}."),
    "zh": ("有哪一种少见的行业离不开{}？它是怎样产生的？",
           "请为一个收藏{}相关物品的小博物馆写一则启事。"),
}  # fmt: skip
_FAULTS = {
    "en": ("The answer stays general and gives no example.\nVERDICT: REVISE",
           "It does not say why, and its end is abrupt.\nVERDICT: REVISE",
           "It is clear, true and complete.\nVERDICT: FINE"),
    "zh": ("回答太笼统，没有举例。\n结论：需要修改", "没有说明理由，结尾也太突然。\n结论：需要修改",
           "清楚、正确、完整。\n结论：无需修改"),
}  # fmt: skip
_MENDED = {
    "en": (" For example, one can see it at any market stall.",
           " The reason is that small things add up over time."),
    "zh": ("例如，在任何一个菜市场都能看到这一点。", "原因是小事会随着时间积累起来。"),
}  # fmt: skip
_AWAY = {"en": "译文如下：", "zh": "It reads, in translation: "}


def reword(prompt: str, draw: np.random.Generator, skill_ratio: float) -> str | None:
    """Answer a prompt of `generate.rewrite` or `generate.critique`; None when it is none."""
    for pattern, write in _PROMPTS:
        found = pattern.search(prompt)
        if found is None:
            continue
        text = found[1].strip()
        language = "zh" if _HAN.search(text) else "en"
        if draw.random() >= skill_ratio:
            return _badly(text, draw)
        return write(text, language, draw)
    return None


def _badly(text: str, draw: np.random.Generator) -> str:
    return (text, re.sub(r"\d+", "some", text), "Sure!")[int(draw.integers(3))]


def _anew(text: str, language: str, draw: np.random.Generator) -> str:
    return _one(_FRAMES[language], draw).format(text)


def _translated(text: str, language: str, draw: np.random.Generator) -> str:
    for home, sign in _AWAY.items():
        if text.startswith(sign):
            inner = text.removeprefix(sign)
            return _anew(_backwards(inner, home), home, draw)
    return _AWAY[language] + _backwards(text, language)


def _backwards(text: str, language: str) -> str:
    return text[::-1] if language == "zh" else " ".join(reversed(text.split(" ")))


def _longer(ends: Mapping[str, tuple[str, ...]]) -> Callable[[str, str, np.random.Generator], str]:
    return lambda text, language, draw: text + _one(ends[language], draw)


def _new(text: str, language: str, draw: np.random.Generator) -> str:
    pattern = r"[\u4e00-\u9fff]{2,4}" if language == "zh" else r"[^\W\d_]{5,}"
    words = re.findall(pattern, text) or ["日常生活" if language == "zh" else "daily life"]
    return _one(_BROADER[language], draw).format(words[-1].lower())


def _critique(_text: str, language: str, draw: np.random.Generator) -> str:
    return _one(_FAULTS[language], draw)


def _one(of: tuple[str, ...], draw: np.random.Generator) -> str:
    return of[int(draw.integers(len(of)))]


def _between(first: str, last: str, order: str = "") -> re.Pattern[str]:
    """What stands between two headings of a prompt that begins with an order."""
    return re.compile(rf"\A{order}[\s\S]*?\n#{first}#\n([\s\S]*?)\n\n#{last}#\s*\Z")


_PROMPTS: tuple[tuple[re.Pattern[str], Callable[[str, str, np.random.Generator], str]], ...] = (
    (_between("(?:Text|文本)", "(?:New Text|新文本)"), _anew),
    (_between("(?:Text|文本)", "(?:Translation|译文)"), _translated),
    (
        _between("(?:Given Prompt|给定提示)", "(?:Rewritten Prompt|改写后的提示)",
                 "(?=[^#]*(?:go deeper|更深入))"),
        _longer(_DEEPER),
    ),
    (
        _between("(?:Given Prompt|给定提示)", "(?:Rewritten Prompt|改写后的提示)"),
        _longer(_HARDER),
    ),
    (_between("(?:Given Prompt|给定提示)", "(?:Created Prompt|新的提示)"), _new),
    (_between("(?:Answer|回答)", "(?:Critique|评语)"), _critique),
    (
        re.compile(r"\n#(?:Answer|回答)#\n([\s\S]*?)\n\n#(?:Critique|评语)#\n[\s\S]*"
                   r"\n#(?:Revised Answer|修改后的回答)#\s*\Z"),
        _longer(_MENDED),
    ),
)  # fmt: skip
