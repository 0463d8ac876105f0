"""The blocks of a document: headings, paragraphs, lists, tables and code, as spans of its text.

Read are the parts of Markdown (CommonMark 0.31, chapters 4 and 5) that say where a text may be cut,
and the chapter lines of plain books, English and Chinese. It is no full parser: a quotation is a
paragraph, and what stands inside a list belongs to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["heading", "paragraph", "list", "table", "code"]
_LINE = re.compile(r"[^\n]*(?:\n|\Z)")
_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|\Z)")
_UNDERLINE = re.compile(r" {0,3}(=+|-{3,})[ \t]*\Z")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"[ \t]*(?:[-*+•–][ \t]|\d{1,3}(?:[.)][ \t]|[、．])|[(（]\d{1,3}[)）])[ \t]*\S")
_TABLE = re.compile(r"[ \t]*\|.*\|[ \t]*\Z")
_CHAPTER = re.compile(
    r"\s*(?i:(?P<part>part|book|volume)|(?P<chapter>chapter|canto|act)|(?P<section>section|scene))"
    r"[ \t]+(?:\d{1,3}|[IVXLC]{1,7}|(?i:one|two|three|four|five|six|seven|eight|nine|ten))"
    r"\b[^\n]{0,60}\Z"
)
_CHAPTER_ZH = re.compile(
    r"\s*第[ \t]*[〇零一二三四五六七八九十百千两\d]{1,6}[ \t]*"
    r"(?:(?P<part>[卷部篇集])|(?P<chapter>[章回])|(?P<section>[节節]))(?![的了是])[^\n。]{0,40}\Z"
)
_LEVELS = {"part": 1, "chapter": 2, "section": 3}


@dataclass(frozen=True, slots=True)
class Block:
    """One block: `text[start:end]`, without the blank lines around it."""

    start: int
    end: int
    kind: Kind
    level: int = 0
    """Of a heading: 1 (the highest) to 6."""
    title: str = ""
    """Of a heading: its words without the marks."""


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str
    """Without the line end and the white space before it."""

    @property
    def is_blank(self) -> bool:
        return not self.text or self.text.isspace()


def blocks(text: str) -> list[Block]:
    r"""Cut a document into blocks, in order; every character that is not blank is in one of them.

    - heading: `# ...` to `###### ...`; one line underlined with `===` or `---`; a line of its own
      such as `Chapter 3`, `PART II`, `第三回 ...` (parts have level 1, chapters 2, sections 3).
    - code: from a fence (three or more backticks or tildes) to its closing one, or to the end.
    - table: lines that begin and end with `|`.
    - list: lines that begin with a bullet or a number, with the lines that continue them and with
      blank lines between them.
    - paragraph: other lines up to a blank one, or to one of the above.

    Example:
        >>> found = blocks("# Tea\n\nTea is warm.\n\n- green\n- black\n")
        >>> [(block.kind, block.title) for block in found]
        [('heading', 'Tea'), ('paragraph', ''), ('list', '')]
    """
    lines = [
        _Line(found.start(), found.end(), found.group().rstrip())
        for found in _LINE.finditer(text)
        if found.group()
    ]
    found: list[Block] = []
    at = 0
    while at < len(lines):
        if lines[at].is_blank:
            at += 1
            continue
        block, at = _block(lines, at)
        found.append(block)
    return found


def _block(lines: list[_Line], at: int) -> tuple[Block, int]:
    """The block that begins at a line, and the line after it."""
    line = lines[at]
    if (heading := _heading(lines, at)) is not None:
        return heading
    if (fence := _FENCE.match(line.text)) is not None:
        return _span(lines, at, _end_of_code(lines, at, fence[1]), "code")
    if _TABLE.match(line.text):
        return _span(lines, at, _while(lines, at, _TABLE), "table")
    if _ITEM.match(line.text):
        return _span(lines, at, _end_of_list(lines, at), "list")
    end = at + 1
    while end < len(lines) and not _ends_paragraph(lines, end):
        end += 1
    return _span(lines, at, end, "paragraph")


def _heading(lines: list[_Line], at: int) -> tuple[Block, int] | None:
    line = lines[at]
    if (atx := _ATX.match(line.text)) is not None:
        title, end = _title(line.text[atx.end() :]), line.start + len(line.text)
        return Block(line.start, end, "heading", len(atx[1]), title), at + 1
    below = lines[at + 1] if at + 1 < len(lines) else None
    if below is not None and _is_title(line.text) and (mark := _UNDERLINE.match(below.text)):
        level = 1 if mark[1][0] == "=" else 2
        end = below.start + len(below.text)
        return Block(line.start, end, "heading", level, line.text.strip()), at + 2
    chapter = _CHAPTER.match(line.text) or _CHAPTER_ZH.match(line.text)
    if chapter is not None:
        level = next(_LEVELS[name] for name, held in chapter.groupdict().items() if held)
        end = line.start + len(line.text)
        return Block(line.start, end, "heading", level, line.text.strip()), at + 1
    return None


def _title(words: str) -> str:
    """The words of a heading without the marks that may close it."""
    words = words.strip()
    bare = words.rstrip("#")
    return bare.rstrip() if not bare or bare[-1].isspace() else words


def _is_title(line: str) -> bool:
    """A line that an underline makes a heading: no item, no row of a table, no long sentence."""
    return len(line) <= 120 and not _ITEM.match(line) and not _TABLE.match(line)


def _ends_paragraph(lines: list[_Line], at: int) -> bool:
    line = lines[at]
    if line.is_blank or _FENCE.match(line.text) or _TABLE.match(line.text):
        return True
    return _ITEM.match(line.text) is not None or _heading(lines, at) is not None


def _end_of_code(lines: list[_Line], at: int, fence: str) -> int:
    closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*\Z")
    for number in range(at + 1, len(lines)):
        if closing.match(lines[number].text):
            return number + 1
    return len(lines)


def _end_of_list(lines: list[_Line], at: int) -> int:
    end = at + 1
    while end < len(lines):
        after = end
        while after < len(lines) and lines[after].is_blank:
            after += 1
        if after == len(lines):
            break
        line = lines[after]
        is_indented = line.text[:2] in {"  ", "\t"} or line.text[:1] == "\t"
        if _ITEM.match(line.text) or is_indented:
            end = after + 1
        elif after == end and not _ends_paragraph(lines, after):
            end += 1  # a line that continues the last item, written without indentation
        else:
            break
    return end


def _while(lines: list[_Line], at: int, pattern: re.Pattern[str]) -> int:
    end = at + 1
    while end < len(lines) and pattern.match(lines[end].text):
        end += 1
    return end


def _span(lines: list[_Line], first: int, after: int, kind: Kind) -> tuple[Block, int]:
    last = lines[after - 1]
    return Block(lines[first].start, last.start + len(last.text), kind), after


def headings_above(found: list[Block]) -> Iterator[tuple[str, ...]]:
    r"""The titles under which each block stands, the highest first; of a heading, with its own.

    Example:
        >>> list(headings_above(blocks("# A\n## B\nx\n# C\ny")))
        [('A',), ('A', 'B'), ('A', 'B'), ('C',), ('C',)]
    """
    path: list[tuple[int, str]] = []
    for block in found:
        if block.kind == "heading":
            path = [one for one in path if one[0] < block.level]
            path.append((block.level, block.title))
        yield tuple(title for _, title in path if title)
