"""Where a text may be cut: after sentences, lines, clauses, words; English and Chinese."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSPACED = (
    "\u2e80-\u2fd5\u3005\u3007\u3021-\u3029\u3038-\u303b\u3041-\u3096\u309d-\u309f\u30a1-\u30fa"
    "\u30fd-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufad9\uff66-\uff6f\uff71-\uff9d"
    "\u0e01-\u0e3a\u0e40-\u0e5b\u0e81-\u0edf\u1000-\u109f\u1780-\u17f9\uaa60-\uaa7f"
    "\U00020000-\U000323af"
)
"""Scripts that are written without spaces between words, for a character class: Han, Kana, Thai,
Lao, Myanmar, Khmer."""
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]{{1,16}}|[^\w\s{UNSPACED}]{{1,16}}")
"""A unit of length: see `word_starts`."""
_SENTENCE = re.compile(
    # "3.5" is no border; the look-behind keeps long runs of marks linear.
    r"(?<![.!?])[.!?]++[\"'”’)\]*_]*+(?=\s)"
    r"|[。！？…；]+[”’」』）》\"')\]]*|(?<=[:：])\n"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|mr|mrs|ms|st|prof|no|vs|cf|fig|eq|vol|pp|approx|inc|e\.g|i\.e|etc|al|u\.s)"
    r"|\b[A-Z])\.\Z",
    re.IGNORECASE,
)
_LINE = re.compile(r"\n")
_CLAUSE = re.compile(r"[,;:](?=\s)|[，；：、]|\s[—–-]\s")
_SPACE = re.compile(r"\s+")


def word_starts(text: str) -> list[int]:
    r"""Where the words of a text begin: the measure of its length.

    A word is a run of at most 16 letters, digits and underscores, one character of a script without
    spaces, or a run of at most 16 other characters that are not blank (punctuation, emoji): every
    character that is not blank is in one, and no word is long. Of English, 100 such words are about
    115 tokens of a model.

    Example:
        >>> word_starts("It rains. 下雨")
        [0, 3, 8, 10, 11]
    """
    return [found.start() for found in WORD.finditer(text)]


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    r"""Where the sentences of `text[start:end]` end, but for the last one.

    A sentence ends with `.`, `!` or `?` (and closing quotes) before white space, with an ellipsis
    or a Chinese full stop, question or exclamation mark or semicolon anywhere, or with a line that
    ends in a colon. Common abbreviations and initials end none.

    Example:
        >>> text = "Dr. A came. 他来了。走了"
        >>> [text[:at] for at in sentence_ends(text, 0, len(text))]
        ['Dr. A came.', 'Dr. A came. 他来了。']
    """
    for found in _SENTENCE.finditer(text, start, end):
        is_short = found.group() == "." and _ABBREVIATION.search(
            text, max(start, found.end() - 8), found.end()
        )
        if not is_short:
            yield found.end()


def line_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where the lines of `text[start:end]` end, but for the last one."""
    yield from (found.end() for found in _LINE.finditer(text, start, end))


def clause_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where commas, semicolons, colons and dashes stand in `text[start:end]`."""
    yield from (found.end() for found in _CLAUSE.finditer(text, start, end))


def space_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where white space ends in `text[start:end]`."""
    yield from (found.end() for found in _SPACE.finditer(text, start, end))
