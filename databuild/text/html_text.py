"""HTML as readable plain text: paragraphs, lists, links, tables and code stay recognisable."""

from __future__ import annotations

import html
import re
from html.entities import html5
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCKS = (
    "p|div|ul|ol|li|table|tr|td|th|thead|tbody|h1|h2|h3|h4|h5|h6|blockquote|pre|section|article"
    "|header|footer|nav|main|aside|figure|figcaption|dl|dt|dd|form|html|body|head|title"
)
_INLINE = (
    "a|b|i|u|s|em|strong|span|code|kbd|samp|var|sub|sup|small|mark|font|center|del|ins|tt|script"
    "|style|button|label|option|select|textarea|iframe|svg|noscript"
)
PREFILTER = (
    rf"(?i)</(?:{_BLOCKS}|{_INLINE})\s*>|<(?:br|hr)\s*/?>|<img\s[^<>]*>|<!doctype html|<!--"
    r"|&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});"
)
"""What every text matches that `html_to_text` changes; valid in Rust and in Python."""
_CLOSED = re.compile(rf"(?i)</({_BLOCKS}|{_INLINE})\s*>")
_BLOCK_TAG = re.compile(rf"(?i)<(?:{_BLOCKS})(?:\s[^<>]*)?>")
_ALONE = re.compile(r"(?i)<(?:br|hr)\s*/?>|<img\s[^<>]*>|<!doctype html")
_ENTITY = re.compile(r"(?i)&(?:#[0-9]{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});")
# Code that Markdown marks already: fenced blocks, and spans of backticks within a line.
_CODE = re.compile(r"```[\s\S]*?(?:```|\Z)|(?<!`)(`{1,2})(?!`)[^`\n]+\1(?!`)")
_LITERAL = re.compile(rf"</?[A-Za-z!][^<>\n]{{0,200}}>|{_ENTITY.pattern[4:]}", re.IGNORECASE)
_IS_BLOCK = (frozenset(_BLOCKS.split("|")) | {"hr"}) - {"html", "head", "body"}
_IS_LINE = frozenset({"div", "tr", "dt", "dd", "figcaption"})
_NO_TEXT = frozenset(
    {"script", "style", "head", "template", "iframe", "noscript", "svg", "#comment"}
)
_IS_CODE = frozenset({"pre", "code", "kbd", "samp", "tt"})
_WITHOUT_CHILDREN = _IS_CODE | {"img"}
_MAX_PASSES = 5


def html_to_text(text: str) -> str:
    r"""Turn HTML into text; what is no HTML comes back as it is.

    A text is HTML where, outside Markdown's code, an HTML element is opened and closed, or a
    `<br>`, `<hr>`, `<img ...>`, comment or doctype stands. Blocks become lines; paragraphs,
    headings and tables have a blank line around them, headings `#`; list items begin with `- ` or
    `1. `; cells are joined by ` | `; `<a>` becomes `[text](href)` where the href is a web address;
    `<img>` its alternative text; `<pre>` a fenced block, `<code>` a span of backticks; scripts,
    styles and comments go. White space is HTML's where the text begins with a tag and has block
    elements; else its lines stay. Entities are read in any text. What would be a tag or an entity
    after that is put between backticks.

    Example:
        >>> html_to_text("<p>See <a href='https://x.org/a'>this</a>:</p><ul><li>a &lt; b<li>c</ul>")
        'See [this](https://x.org/a):\n\n- a < b\n- c'
        >>> html_to_text("if a<b and c>d")
        'if a<b and c>d'
    """
    for _ in range(_MAX_PASSES):
        made = _once(text)
        if made == text:
            break
        text = made
    return text


def _once(text: str) -> str:
    prose, restore = _without_code(text)
    if _is_html(prose):
        return restore(_render(prose))
    read = _ENTITY.sub(_read_entity, prose)
    if read == prose:
        return text
    is_safe = not _is_html(read) and _ENTITY.sub(_read_entity, read) == read
    return restore(read if is_safe else _guarded(read))


def _without_code(text: str) -> tuple[str, Callable[[str], str]]:
    """The text with its Markdown code taken out, and a way to put it back."""
    held: list[str] = []
    # A private character that the text does not have marks the places.
    mark = next(chr(c) for c in range(0xF0000, 0xFFFFE) if chr(c) not in text)

    def take(match: re.Match[str]) -> str:
        held.append(match[0])
        return f"{mark}{len(held) - 1}{mark}"

    bare = _CODE.sub(take, text)
    places = re.compile(f"{mark}([0-9]+){mark}")
    return bare, lambda changed: places.sub(lambda m: held[int(m[1])], changed)


def _is_html(prose: str) -> bool:
    comment = prose.find("<!--")
    if _ALONE.search(prose) or (comment >= 0 and prose.find("-->", comment) > 0):
        return True
    closed = {name.lower() for name in _CLOSED.findall(prose)}
    return any(re.search(rf"(?i)<{name}(?:\s[^<>]*)?>", prose) for name in closed)


def _read_entity(match: re.Match[str]) -> str:
    """The character of a numeric or known entity; an unknown one stays."""
    name = match[0][1:]
    return html.unescape(match[0]) if name[0] == "#" or name in html5 else match[0]


def _guarded(text: str) -> str:
    """Backticks around what a reader of HTML would take for a tag or an entity."""
    return _LITERAL.sub(lambda m: f"`{m[0]}`", text)


def _render(prose: str) -> str:
    from resiliparse.parse.html import HTMLTree

    root = HTMLTree.parse(prose).document
    has_blocks = prose.lstrip().startswith("<") and _BLOCK_TAG.search(prose) is not None
    writer = _Writer(has_blocks=has_blocks)
    # A stack instead of recursion: pages may be nested deeper than Python's own.
    stack: list[Any] = [root]
    while stack:
        node = stack.pop()
        if callable(node):
            node()
            continue
        tag = node.tag
        if tag == "#text":
            writer.text(node.value or "")
        elif tag not in _NO_TEXT:
            stack.append(writer.opens(node, tag))
            if tag not in _WITHOUT_CHILDREN:
                stack.extend(reversed(node.child_nodes))
    made = writer.whole()
    return made if has_blocks or prose.endswith("\n") else made.rstrip("\n")


class _Writer:
    """Puts the text of a page together."""

    def __init__(self, *, has_blocks: bool) -> None:
        self._has_blocks = has_blocks
        self._pieces: list[str] = []
        self._lists: list[int] = []  # 0 for bullets, else the number of the next item

    def text(self, text: str) -> None:
        """Write a text node."""
        if self._has_blocks:
            text = re.sub(r"[ \t\n\r\f]+", " ", text)
            if not self._pieces or self._pieces[-1].endswith(("\n", " ")):
                text = text.lstrip(" ")
        self._add(_guarded(text))

    def opens(self, node: Any, tag: str) -> Callable[[], None]:
        """Write what stands before an element's children; return what writes the rest."""
        if tag in _IS_CODE:
            self._code(node.text or "", tag)
        elif tag == "br":
            self._add("\n")
        elif tag == "img":
            self.text(node.getattr("alt") or "")
        elif tag == "a":
            return self._link(node.getattr("href") or "")
        elif tag in {"ul", "ol"}:
            return self._list(tag)
        elif tag == "li":
            self._item()
        elif tag in {"td", "th"}:
            self._cell()
        elif tag in _IS_BLOCK:
            return self._block(tag)
        return lambda: None

    def _code(self, code: str, tag: str) -> None:
        if tag == "pre":
            body = code.strip("\n").replace("```", "'''")
            self._edge(2)
            self._add(f"```\n{body}\n```")
            self._edge(2)
        else:
            inside = " ".join(code.replace("`", "'").split())
            self._add(f"`{inside}`" if inside else "")

    def _link(self, href: str) -> Callable[[], None]:
        start = len(self._pieces)

        def close() -> None:
            said = "".join(self._pieces[start:])
            is_web = re.fullmatch(r"https?://[^\s()<>`]+", href) is not None
            if is_web and said.strip() and href not in said and "\n" not in said.strip():
                self._pieces[start:] = [f"[{said.strip()}]({href})"]

        return close

    def _add(self, piece: str) -> None:
        if piece:
            self._pieces.append(piece)

    def _bare(self) -> None:
        """Take the blanks off the end."""
        if self._pieces and self._pieces[-1].endswith(" "):
            bare = self._pieces.pop().rstrip(" ")
            self._add(bare)

    def _edge(self, lines: int) -> None:
        """End the line, with a blank one after it for 2; nothing at the beginning."""
        self._bare()
        tail = "".join(self._pieces[-3:])
        have = len(tail) - len(tail.rstrip("\n"))
        if self._pieces and lines:
            self._add("\n" * (min(lines, 1 if self._lists else 2) - have))

    def _list(self, tag: str) -> Callable[[], None]:
        self._edge(2)
        self._lists.append(1 if tag == "ol" else 0)

        def close() -> None:
            self._lists.pop()
            self._edge(2)

        return close

    def _item(self) -> None:
        indent = "  " * max(0, len(self._lists) - 1)
        number = self._lists[-1] if self._lists else 0
        if number:
            self._lists[-1] += 1
        self._edge(1)
        self._add(f"{indent}{f'{number}.' if number else '-'} ")

    def _cell(self) -> None:
        self._bare()
        line = "".join(self._pieces[-8:]).rpartition("\n")[2]
        self._add(" | " if line.strip() else "")

    def _block(self, tag: str) -> Callable[[], None]:
        if "".join(self._pieces[-1:]).endswith(("- ", ". ")):
            return lambda: None  # <li><p>: the item's mark has begun the line
        lines = 1 if tag in _IS_LINE else 0 if tag in {"td", "th"} else 2
        level = int(tag[1]) if re.fullmatch("h[1-6]", tag) else 0
        self._edge(lines)
        self._add("#" * level + " " if level else "---" if tag == "hr" else "")
        return lambda: self._edge(lines)

    def whole(self) -> str:
        """The text: no blanks at line ends, one blank line at most, outside fenced code."""
        text = "".join(self._pieces)
        if not self._has_blocks and "```" not in text:
            return text
        parts = text.split("```")
        for place in range(0, len(parts), 2):
            parts[place] = re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", parts[place]))
        return "```".join(parts).strip()
