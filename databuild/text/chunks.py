"""Cut a document into chunks along its structure, as exact spans of its text."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from databuild.text.blocks import blocks, headings_above
from databuild.text.borders import (
    clause_ends,
    line_ends,
    sentence_ends,
    space_ends,
    word_starts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_BY_KIND: dict[str, tuple[Callable[[str, int, int], Iterable[int]], ...]] = {
    "paragraph": (sentence_ends, line_ends, clause_ends, space_ends),
    "list": (line_ends, sentence_ends, clause_ends, space_ends),
    "table": (line_ends, clause_ends, space_ends),
    "code": (line_ends, space_ends),
    "heading": (space_ends,),
}
"""Where a block that is too long is cut: at the first of these that makes it short enough."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk: `document[start:end]`."""

    start: int
    end: int
    headings: tuple[str, ...]
    """The titles under which its first block stands, the highest first."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A block, or a part of one that is too long."""

    start: int
    end: int
    words: int
    headings: tuple[str, ...]
    level: int
    """Of a heading, its level; 0 of anything else."""


def cut_into_chunks(
    text: str, *, target: int = 200, longest: int = 400, overlap: int = 0
) -> list[Chunk]:
    r"""Cut a document into chunks of about `target` words; see `text.borders.word_starts`.

    Blocks (`text.blocks`) are put together in order until the next one would pass `target`. A
    heading begins a new chunk where the one before has at least a quarter of `target`, and ends
    one only where it is longer than what is left for the text under it. A block of at most
    `longest` words stays whole; a longer one is cut, a paragraph after sentences, a list, table or
    code after lines; where that is not enough after lines, clauses, white space, and at last
    between words. With `overlap`, a chunk begins up to so many words
    earlier, at a border of the same section, so its first sentences are the last ones before it.

    Every character that is not blank is in a chunk, in exactly one where `overlap` is 0. A chunk
    neither begins nor ends with white space and has at most `longest` + `overlap` words.

    Args:
        text: The document.
        target: Words of a chunk, at best; 1 or more.
        longest: The most words of one block in one chunk; at least `target`.
        overlap: The most words that a chunk shares with the one before; below `target`.

    Example:
        >>> text = "# Tea\n\nTea is warm. It is old.\n\n# Ink\n\nInk is black."
        >>> for chunk in cut_into_chunks(text, target=8, longest=8):
        ...     print(chunk.headings, repr(text[chunk.start : chunk.end]))
        ('Tea',) '# Tea\n\nTea is warm.'
        ('Tea',) 'It is old.'
        ('Ink',) '# Ink\n\nInk is black.'
    """
    starts = word_starts(text)
    groups = list(_packed(list(_pieces(text, starts, target, longest)), target, longest))
    return [
        Chunk(_reached_back(groups, number, overlap), group[-1].end, group[0].headings)
        for number, group in enumerate(groups)
    ]


def _pieces(text: str, starts: Sequence[int], target: int, longest: int) -> Iterator[_Piece]:
    found = blocks(text)
    above = 0  # words of the headings right above: they must fit into one chunk with the block
    for block, headings in zip(found, headings_above(found), strict=True):
        words = _count(starts, block.start, block.end)
        spans: Iterable[tuple[int, int]] = [(block.start, block.end)]
        if words > longest - above:
            most = max(1, min(target, longest - above))
            spans = _shortened(text, block.start, block.end, _BY_KIND[block.kind], starts, most)
        for start, end in spans:
            inside = text[start:end]
            first, last = end - len(inside.lstrip()), start + len(inside.rstrip())
            if first < last:
                yield _Piece(first, last, _count(starts, first, last), headings, block.level)
        above = above + words if block.level else 0


def _count(starts: Sequence[int], start: int, end: int) -> int:
    return bisect_left(starts, end) - bisect_left(starts, start)


def _shortened(
    text: str,
    start: int,
    end: int,
    cutters: Sequence[Callable[[str, int, int], Iterable[int]]],
    starts: Sequence[int],
    target: int,
) -> Iterator[tuple[int, int]]:
    """Cut a span until every piece has at most `target` words."""
    if _count(starts, start, end) <= target:
        yield start, end
        return
    if not cutters:
        words = starts[bisect_left(starts, start) : bisect_left(starts, end)]
        ends = iter(words[target::target])
    else:
        ends = iter(cutters[0](text, start, end))
    at = start
    for border in (*ends, end):
        if border > at:
            yield from _shortened(text, at, border, cutters[1:], starts, target)
            at = border


def _packed(pieces: Sequence[_Piece], target: int, longest: int) -> Iterator[list[_Piece]]:
    group: list[_Piece] = []
    words, has_text = 0, False
    for piece in pieces:
        is_full = words + piece.words > (target if has_text else longest)
        begins = piece.level > 0 and has_text and words >= target / 4
        if group and (is_full or begins):
            kept = _without_headings(group) if has_text else group
            yield kept
            group = group[len(kept) :]
            words, has_text = sum(one.words for one in group), False
            if group and words + piece.words > longest:
                yield group
                group, words = [], 0
        group.append(piece)
        words += piece.words
        has_text = has_text or not piece.level
    if group:
        yield group


def _without_headings(group: list[_Piece]) -> list[_Piece]:
    """A group without the headings at its end, which belong to what comes after."""
    end = len(group)
    while group[end - 1].level:
        end -= 1
    return group[:end]


def _reached_back(groups: Sequence[list[_Piece]], number: int, overlap: int) -> int:
    """Where a chunk begins: its first piece, or an earlier one of the same section."""
    first = groups[number][0]
    start, left = first.start, overlap
    if number == 0 or first.level:
        return start
    for piece in reversed(groups[number - 1][1:]):  # never all of it
        left -= piece.words
        if left < 0 or piece.headings != first.headings or piece.level:
            break
        start = piece.start
    return start
