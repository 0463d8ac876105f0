"""What a model made of a text, read and judged: the rewrite itself, and what is wrong with it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from databuild.text.endings import REFUSAL

_LABEL = re.compile(
    r"^\s*(?:[#*]+\s*)?(?:(?:the |my )?(?:new|rewritten|revised|created|paraphrased|improved) "
    r"(?:text|prompt|answer|version|question|instruction)|translation|"
    r"新文本|新的?提示|译文|翻译|改写后的?(?:文本|提示|问题)?|修改后的?(?:回答|答案)?|新的?回答)"
    r"\s*[#*]*\s*(?:[:：]\s*[#*]*|\n)\s*",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"^\s*(?:(?:sure|certainly|of course|okay)[,!.]?\s*)?here(?:'s| is| are)\b[^\n:]{0,80}:\s*"
    r"|^\s*(?:好的|当然)?[，,。！!]?\s*(?:以下|下面)是[^\n：:]{0,30}[：:]\s*",
    re.IGNORECASE,
)
_THOUGHTS = re.compile(r"^\s*(?:<think>.*?|(?:(?!<think>).)*?)</think>\s*", re.DOTALL)
_TAGS = ("<think>", "</think>")
_PAIRS = {'"': '"', "“": "”", "「": "」", "『": "』"}
_LEFTOVERS = (
    "given prompt", "rewritten prompt", "created prompt", "#text#", "#new text#", "#translation#",
    "#question#", "#answer#", "#critique#", "revised answer#", "#principles#", "给定提示",
    "改写后的提示", "新的提示#", "#文本#", "#新文本#", "#译文#", "#问题#", "#回答#", "#评语#",
    "修改后的回答#", "#原则#",
)  # fmt: skip
_URL = re.compile(r"https?://[^\s<>\"'，。；）)」”]+", re.IGNORECASE)
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_QUOTED = re.compile(
    r"\"([^\"\n]{2,200})\"|“([^”\n]{2,200})”|「([^」\n]{2,200})」|《([^》\n]{2,200})》"
)
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_SPELLED = {
    "0": ("zero", "零"), "1": ("one", "一"), "2": ("two", "二", "两"), "3": ("three", "三"),
    "4": ("four", "四"), "5": ("five", "五"), "6": ("six", "六"), "7": ("seven", "七"),
    "8": ("eight", "八"), "9": ("nine", "九"), "10": ("ten", "十"), "11": ("eleven", "十一"),
    "12": ("twelve", "十二"),
}  # fmt: skip
_HAN, _KANA = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]"), re.compile(r"[\u3040-\u30ff]")
_REFUSED_CHARS = 200


def without_thoughts(text: str) -> str:
    r"""What a model says after its thoughts, where it has thought aloud in think tags.

    Example:
        >>> without_thoughts("<think>Hm, blue.</think>\nWhy is the sky blue?")
        'Why is the sky blue?'
    """
    return _THOUGHTS.sub("", text, count=1)


def without_frame(text: str) -> str:
    """The rewrite itself: without thoughts, a label, an opening, or quotation marks around it all.

    Example:
        >>> without_frame('Sure! Here is the rewritten prompt: "Why is the sky blue?"')
        'Why is the sky blue?'
        >>> without_frame("改写后：为什么天是蓝的？")
        '为什么天是蓝的？'
    """
    text = _LABEL.sub("", _OPENING.sub("", without_thoughts(text).strip())).strip()
    closing = _PAIRS.get(text[:1])
    inner = text[1:-1]
    if closing and len(text) > 2 and text[-1] == closing and closing not in inner:
        return text if text[0] in inner else inner.strip()
    return text


def unusable(text: str, original: str, *, is_cut: bool = False) -> str | None:
    """What makes an answer no text at all: the first fault of these, or None.

    "cut off at max_tokens", "no words", "a refusal" (unless the original is one), "thoughts are not
    closed" (a think tag that the original lacks), "a leftover of the prompt" (unless it stands in
    the original), "one passage again and again" (more than half of at least 20 words repeat an
    earlier 4-gram).

    Example:
        >>> unusable("I'm sorry, but I cannot help with that.", "Why?")
        'a refusal'
        >>> unusable("#Given Prompt# Why?", "Why?"), unusable("How come?", "Why?")
        ('a leftover of the prompt', None)
    """
    if is_cut:
        return "cut off at max_tokens"
    if not any(character.isalnum() for character in text):
        return "no words"
    if _refuses(text) and not _refuses(original):
        return "a refusal"
    if left := _left_over(text, original):
        return left
    if _loops(text) and not _loops(original):
        return "one passage again and again"
    return None


def changed_too_little(text: str, original: str, max_similarity: float) -> str | None:
    """Whether it says the same in the same letters, or nearly.

    Compared in NFKC, lower-cased, letters and digits only; "nearly" is a Dice similarity of the
    multisets of character 3-grams above `max_similarity`.

    Example:
        >>> changed_too_little("why is the sky blue", "Why is the sky blue?", 0.95)
        'equal to the original'
        >>> changed_too_little("What makes the sky blue?", "Why is the sky blue?", 0.95)
    """
    a, b = _letters(text), _letters(original)
    if a == b:
        return "equal to the original"
    return "nearly equal to the original" if _dice(a, b) > max_similarity else None


def wrong_length(text: str, original: str, ratios: tuple[float, float], slack: int) -> str | None:
    """Whether its length in characters is out of `ratios` of the original's; `slack` is added."""
    n, wanted = len(text), len(original)
    if n > ratios[1] * wanted + slack:
        return "far longer than the original"
    return "far shorter than the original" if n + slack < ratios[0] * wanted else None


def is_chinese(text: str) -> bool:
    """Three in ten letters are Han and none is Kana, as `answering.asked_in` has it.

    Example:
        >>> is_chinese("为什么 Python 好?"), is_chinese("なぜ空は青い"), is_chinese("Why 天?")
        (True, False, False)
    """
    han, letters = len(_HAN.findall(text)), sum(c.isalpha() for c in text)
    return han > 0 and han >= 0.3 * letters and not _KANA.search(text)


def other_script(text: str, original: str) -> str | None:
    """Whether a Chinese or Japanese text became none, or the other way round.

    Other changes of language are not seen.

    Example:
        >>> other_script("Why is the sky blue?", "天为什么是蓝的？")
        'in another language'
    """
    before, after = ((is_chinese(one), bool(_KANA.search(one))) for one in (original, text))
    return "in another language" if before != after else None


def lost(text: str, original: str) -> str | None:
    """What a rewrite that keeps the meaning must keep, and has lost: links, code, quotes, numbers.

    Quoted texts are looked for without their marks. Numbers are compared in NFKC and without
    commas between thousands; those up to twelve may be spelled out, in English or Chinese, and no
    number may be new.

    Example:
        >>> lost("Write three lines.", "Write 3 lines."), lost("Write lines.", "Write 3 lines.")
        (None, 'a number was lost: 3')
        >>> lost("Write 4 lines.", "Write lines.")
        'a number was added: 4'
    """
    plain, before = (unicodedata.normalize("NFKC", one) for one in (text, original))
    for name, pattern in (("a link", _URL), ("code", _CODE)):
        for found in pattern.findall(before):
            if found.rstrip(".,;:!?") not in plain:
                return f"{name} was lost: {found[:40]}"
    for groups in _QUOTED.findall(original):
        quoted = unicodedata.normalize("NFKC", next(filter(None, groups)))
        if quoted.strip(" .,;:!?。，").lower() not in plain.lower():
            return f"a quoted text was lost: {quoted[:40]}"
    old, new = _numbers(before), _numbers(plain)
    for number in sorted(old - new):
        if not _spelled(number, plain):
            return f"a number was lost: {number}"
    for number in sorted(new - old):
        if not _spelled(number, before):
            return f"a number was added: {number}"
    return None


def _left_over(text: str, original: str) -> str | None:
    """Signs of thoughts, or of the prompt, that the original lacks."""
    if any(tag in text and tag not in original for tag in _TAGS):
        return "thoughts are not closed"
    lower, known = text.lower(), original.lower()
    is_left = any(left in lower and left not in known for left in _LEFTOVERS)
    return "a leftover of the prompt" if is_left else None


def _refuses(text: str) -> bool:
    head = text[:_REFUSED_CHARS].lower().replace("’", "'")
    return any(phrase in head for phrase in REFUSAL)


def _loops(text: str) -> bool:
    words = re.findall(r"[\u3400-\u9fff]|\w+", text.lower())
    grams = list(zip(words, words[1:], words[2:], words[3:], strict=False))
    return len(words) >= 20 and len(set(grams)) < 0.5 * len(grams)


def _letters(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())


def _dice(a: str, b: str) -> float:
    grams = [Counter(one[i : i + 3] for i in range(max(1, len(one) - 2))) for one in (a, b)]
    total = grams[0].total() + grams[1].total()
    return 2 * (grams[0] & grams[1]).total() / total if total else 1.0


def _numbers(text: str) -> set[str]:
    # 1,000 is 1000, but 1,2 is two numbers in a list.
    joined = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    return set(_NUMBER.findall(joined))


def _spelled(number: str, text: str) -> bool:
    words = _SPELLED.get(number, ())
    return any(
        re.search(rf"\b{word}\b", text, re.IGNORECASE) if word.isascii() else word in text
        for word in words
    )
