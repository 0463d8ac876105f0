"""Texts so that a page which renders Markdown and HTML shows every character of them.

Argilla's page does: a tag such as `<think>` would vanish from what a person grades, a page of HTML
that a model wrote would be shown as if it were one, and an image address would be asked for by
the browser of whoever grades.
"""

from __future__ import annotations

import re

_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_ENTITY = re.compile(r"&(?=#?\w+;)")


def literal(text: str) -> str:
    r"""The same text with tags, entities and images as characters; Markdown is left as it is.

    What stands in code stays untouched: it is shown as it is written anyway.

    Example:
        >>> literal("<think>2 < 3</think> **Yes**, `a<b>`")
        '&lt;think>2 &lt; 3&lt;/think> **Yes**, `a<b>`'
        >>> literal("![plan](https://example.com/x.png) &amp;\n```html\n<p>&amp;</p>\n```")
        '!\\[plan](https://example.com/x.png) &amp;amp;\n```html\n<p>&amp;</p>\n```'
    """
    if not any(sign in text for sign in ("<", "&", "![")):
        return text
    lines, last = _LINE.findall(text), 0
    made: list[str] = []
    for start, end in _code_blocks(text):
        made += [_literal_prose("".join(lines[last:start])), *lines[start:end]]
        last = end
    return "".join([*made, _literal_prose("".join(lines[last:]))])


def _code_blocks(text: str) -> list[tuple[int, int]]:
    """The lines of blocks of code: as a reader finds them to whom tags are only characters."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark", {"html": False}).parse(text)
    return [
        (token.map[0], token.map[1])
        for token in tokens
        if token.type in {"fence", "code_block"} and token.map
    ]


def _literal_prose(text: str) -> str:
    made: list[str] = []
    last = 0
    for span in _CODE_SPAN.finditer(text):
        made += [_escaped(text[last : span.start()]), span.group()]
        last = span.end()
    return "".join([*made, _escaped(text[last:])])


def _escaped(text: str) -> str:
    return _ENTITY.sub("&amp;", text).replace("<", "&lt;").replace("![", r"!\[")
