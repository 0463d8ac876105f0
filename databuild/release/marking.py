"""Which words of a text changed."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Literal

Mark = Literal["same", "gone", "new"]
MOST_PIECES = 4000
"""Texts of more words are told as two wholes: comparing is quadratic at worst."""
# A word, one character of a script without spaces, white space, or a sign.
_PIECE = re.compile(r"[぀-ヿ㐀-鿿豈-﫿฀-๿]|\w+?(?=[぀-ヿ㐀-鿿豈-﫿฀-๿])|\w+|\s+|.", re.DOTALL)


def marked(before: str, after: str) -> list[tuple[Mark, str]]:
    """Cut two texts into what both have and what only one has, in reading order.

    Words are compared whole; Chinese, Japanese and Thai by the character.

    Example:
        >>> marked("a red house", "a blue house")
        [('same', 'a '), ('gone', 'red'), ('new', 'blue'), ('same', ' house')]
        >>> marked("他在家", "她在家")
        [('gone', '他'), ('new', '她'), ('same', '在家')]
    """
    if before == after:
        return [("same", before)] if before else []
    a, b = _PIECE.findall(before), _PIECE.findall(after)
    if len(a) + len(b) > MOST_PIECES:
        wholes: list[tuple[Mark, str]] = [("gone", before), ("new", after)]
        return [one for one in wholes if one[1]]
    found: list[tuple[Mark, str]] = []
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(("same", "".join(a[a0:a1])))
            continue
        found += [("gone", "".join(a[a0:a1]))] if a1 > a0 else []
        found += [("new", "".join(b[b0:b1]))] if b1 > b0 else []
    return found
