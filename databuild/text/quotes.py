"""Find a quote in a text although it was not copied exactly, and say which span it is."""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass

from databuild.errors import StepError

_SINGLE = dict.fromkeys("'‘’‚‛′`´\"“”„‟″«»‹›「」『』〝〞", "'")
_DASHES = dict.fromkeys("-‐‑‒–—―−", "-")
_DROPPED = dict.fromkeys("*\u200b\u200c\u200d\u2060\ufeff\u00ad", "")
_ENDS = " '\".,;:!?-…。，；：！？、"


@dataclass(frozen=True)
class Folded:
    """A text without the differences that do not count, and where each character came from."""

    text: str
    places: tuple[int, ...]
    """For each character of `text`, the place in the original."""


@dataclass(frozen=True)
class Found:
    """A quote that was found: `text[start:end]`, and how alike the two are, 0 to 1."""

    start: int
    end: int
    ratio: float


@functools.lru_cache(maxsize=4096)
def _letter(letter: str) -> str:
    for table in (_SINGLE, _DASHES, _DROPPED):
        if letter in table:
            return table[letter]
    folded = unicodedata.normalize("NFKC", letter).casefold()
    return "'" if folded in _SINGLE else folded


@functools.lru_cache(maxsize=64)
def fold(text: str) -> Folded:
    r"""Fold what a copied text may differ in.

    Unicode NFKC and case folding, character by character; every kind of quotation mark and
    apostrophe is one, every dash is one; runs of white space are one space; asterisks (bold type of
    Markdown) and invisible characters are left out.

    Example:
        >>> fold("“Well”,  **he**\nsaid").text
        "'well', he said"
    """
    letters: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(text):
        if letter.isspace():
            if letters and letters[-1] != " ":
                letters.append(" ")
                places.append(place)
            continue
        for one in _letter(letter):
            letters.append(one)
            places.append(place)
    return Folded("".join(letters), tuple(places))


def find_quote(quote: str, text: str, *, least: float = 0.0) -> Found | None:
    """Find the span of `text` that a quote was copied from.

    Both are folded (see `fold`), and marks at the quote's ends need not stand in the text. A quote
    that stands in the text has the ratio 1. Else the window of the text that is most like it is
    taken, by the normalised Indel similarity (RapidFuzz, `partial_ratio`: 1 - insertions and
    deletions divided by the sum of both lengths), and extended to whole words.

    Args:
        quote: What is said to stand in the text.
        text: The text.
        least: The least ratio that counts, 0 to 1.

    Returns:
        The span in `text`, or None where nothing is that much alike or one of both is blank.

    Raises:
        StepError: RapidFuzz is not installed.

    Example:
        >>> find_quote("it’s  COLD today.", "She said: it's cold today, and left.")
        Found(start=10, end=25, ratio=1.0)
        >>> find_quote("it was cold today", "She said: it is cold today, and left.", least=0.95)
    """
    passage, whole = fold(text), fold(quote).text.strip(" '")
    wanted = whole.strip(_ENDS)
    if not wanted or not passage.text.strip():
        return None
    for one in (whole, wanted):
        at = passage.text.find(one)
        if at >= 0:
            return Found(passage.places[at], passage.places[at + len(one) - 1] + 1, 1.0)
    if len(wanted) > 2 * len(passage.text):
        return None
    found = _aligned(wanted, passage.text, least)
    if found is None:
        return None
    start, end, ratio = found
    while start > 0 and _is_inside_word(passage.text, start):
        start -= 1
    while end < len(passage.text) and _is_inside_word(passage.text, end):
        end += 1
    return Found(passage.places[start], passage.places[end - 1] + 1, ratio)


def _is_inside_word(text: str, at: int) -> bool:
    """The border before `text[at]` cuts a word of a script with spaces."""
    return all(one.isalnum() and ord(one) < 0x2E80 for one in text[at - 1 : at + 1])


def _aligned(wanted: str, passage: str, least: float) -> tuple[int, int, float] | None:
    try:
        from rapidfuzz.fuzz import partial_ratio_alignment
    except ImportError as error:
        what = "rapidfuzz, which finds quotes that were not copied exactly, is not installed"
        fix = "uv add 'databuild[generate]'"
        raise StepError("generate.from_documents", what, fix=fix) from error
    found = partial_ratio_alignment(wanted, passage, score_cutoff=100 * least)
    if found is None or found.dest_end <= found.dest_start:
        return None
    # A quote longer than the text was compared with all of it: count what it lacks, too.
    share = min(1.0, len(passage) / len(wanted))
    ratio = round(share * found.score / 100, 4)
    return (found.dest_start, found.dest_end, ratio) if ratio >= least else None
