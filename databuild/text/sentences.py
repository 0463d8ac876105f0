"""Words, sentences and list items of a plain English text. Standard library only."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
# A terminator run, closing quotes or brackets, then white space or the end: "3.5" is no border.
_BORDER = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)")
_ABBREVIATIONS = frozenset(
    {"dr.", "mr.", "mrs.", "ms.", "st.", "e.g.", "i.e.", "etc.", "vs.", "approx.", "no.", "u.s."}
)
_ITEM_MARK = re.compile(r"^\s*(?:[-*•–]|\d{1,2}[.)])\s+")


def words(text: str) -> list[str]:
    """Split into words: runs of letters and digits, joined by apostrophes or hyphens inside.

    Example:
        >>> words("It's a well-known fact: 3 of 4!")
        ["It's", 'a', 'well-known', 'fact', '3', 'of', '4']
    """
    return _WORD.findall(text)


def sentences(text: str) -> list[str]:
    """Split at `.`, `!`, `?` or `…` before white space, and at line ends; nothing is thrown away.

    A dozen common abbreviations end no sentence. The last item may lack a terminator.

    Example:
        >>> sentences("Soil needs air, e.g. sand. Water it!  Then wait")
        ['Soil needs air, e.g. sand.', 'Water it!', 'Then wait']
    """
    found: list[str] = []
    for line in text.splitlines():
        start = 0
        for border in _BORDER.finditer(line):
            last_word = line[start : border.end()].rsplit(None, 1)[-1:]
            if last_word and last_word[0].lstrip("(\"'").lower() in _ABBREVIATIONS:
                continue
            found.append(line[start : border.end()].strip())
            start = border.end()
        found.append(line[start:].strip())
    return [sentence for sentence in found if sentence]


def is_whole(sentence: str) -> bool:
    """Say whether a sentence ends in a terminator.

    Example:
        >>> is_whole('He said "no."'), is_whole("and then")
        (True, False)
    """
    return bool(re.search(r"[.!?…][\"'”’)\]]*$", sentence.rstrip()))


def list_items(text: str) -> list[str]:
    r"""Give the contents of lines that begin with a bullet (`-`, `*`, `•`, `–`) or a number.

    Example:
        >>> list_items("Tools:\n- a spade\n2. a rake\nDone.")
        ['a spade', 'a rake']
    """
    items = [
        _ITEM_MARK.sub("", line).strip() for line in text.splitlines() if _ITEM_MARK.match(line)
    ]
    return [item for item in items if item]


def repetition_ratio(text: str) -> float:
    """Give the share of word 3-grams that repeat an earlier one, case ignored; 0 below 3 words.

    Example:
        >>> repetition_ratio("to be or to be or")
        0.25
    """
    folded = [word.casefold() for word in words(text)]
    grams = list(zip(folded, folded[1:], folded[2:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
