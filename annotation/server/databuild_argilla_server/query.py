r"""What people type into the search box, as an expression of SQLite's FTS5.

The language is Elasticsearch's simple_query_string with AND as its default: words, `"a phrase"`,
`begin*`, `a | b`, `a + b`, `-not`, parentheses, `\` before a character that means itself. They are
read from left to right without precedence, and nothing is an error: what has no meaning is left
out. A word that holds several (`well-known`, 你好) is a phrase of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from databuild_argilla_server.text import has_words, searchable

_DEEPEST = 40  # FTS5 refuses expressions deeper than 256; parentheses beyond this are left out
_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<mark>[|+()])|(?P<phrase>"(?:[^"\\]|\\.)*"(?:~\d*)?)|(?P<quote>")
    |(?P<minus>-)|(?P<word>(?:\\.|[^\s|+()"\\])+|\\$)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass
class Node:
    """A word or phrase (`text`), or `and`, `or`, `not` of other nodes."""

    kind: str
    text: str = ""
    is_prefix: bool = False
    parts: list[Node] = field(default_factory=list)


def parse(query: str) -> Node | None:
    """Read a query; None where nothing in it can be searched for."""
    return _Reader(_tokens(query)).group(0)


def as_fts5(node: Node, columns: str, every: str) -> str:
    """Write a query as an FTS5 expression.

    Args:
        node: What `parse` returned.
        columns: An FTS5 column filter, as `{c0 c1}`.
        every: An expression that matches all documents, for `-not` alone.

    Example:
        >>> as_fts5(parse('good "very bad" -(ugly | 你好)'), "{c0}", "all")
        '({c0} : "good" AND {c0} : "very bad") NOT ({c0} : "ugly" OR {c0} : " 你  好 ")'
    """
    if node.kind == "term":
        quoted = searchable(node.text).replace('"', '""')
        return f'{columns} : "{quoted}"{" *" if node.is_prefix else ""}'
    if node.kind == "not":
        return f"{every} NOT ({as_fts5(node.parts[0], columns, every)})"
    wanted = [part for part in node.parts if part.kind != "not" or node.kind == "or"]
    unwanted = [part.parts[0] for part in node.parts if part.kind == "not" and node.kind == "and"]
    joined = f" {node.kind.upper()} ".join(_inner(part, columns, every) for part in wanted) or every
    if not unwanted:
        return joined
    against = " OR ".join(_inner(part, columns, every) for part in unwanted)
    return f"({joined}) NOT ({against})"


def _inner(node: Node, columns: str, every: str) -> str:
    text = as_fts5(node, columns, every)
    return text if node.kind == "term" else f"({text})"


def _tokens(query: str) -> list[tuple[str, str]]:
    found = ((match.lastgroup or "", match.group()) for match in _TOKEN.finditer(query))
    return [token for token in found if token[0] != "quote"]


class _Reader:
    """Reads tokens from left to right, as Lucene's SimpleQueryParser does."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens, self.at = tokens, 0

    def group(self, depth: int) -> Node | None:
        """Read up to the closing parenthesis, or to the end."""
        found: Node | None = None
        operator, negated = "and", False
        while self.at < len(self.tokens):
            kind, text = self.tokens[self.at]
            self.at += 1
            if text == ")" and kind == "mark":
                if depth:
                    break
                continue
            if kind == "minus":
                negated = not negated
                continue
            if text in {"|", "+"} and kind == "mark":
                operator = "or" if text == "|" else "and"
                continue
            if kind == "space":
                negated = False
                continue
            if text == "(" and kind == "mark" and depth == _DEEPEST:
                continue
            part = self.group(depth + 1) if text == "(" and kind == "mark" else _leaf(kind, text)
            if part is not None:
                part = Node("not", parts=[part]) if negated else part
                found = part if found is None else _joined(operator, found, part)
            operator, negated = "and", False
        return found


def _leaf(kind: str, text: str) -> Node | None:
    is_prefix = kind == "word" and len(text) > 1 and text.endswith("*") and text[-2] != "\\"
    if kind == "phrase":
        text = text[1 : text.rindex('"')]
    else:
        text = re.sub(r"(?<!\\)~\d*$", "", text.removesuffix("*") if is_prefix else text)
    plain = re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
    return Node("term", plain, is_prefix) if has_words(plain) else None


def _joined(operator: str, left: Node, right: Node) -> Node:
    """One node of both; equal operators in a row become one flat node."""
    if left.kind == operator:
        left.parts.append(right)
        return left
    return Node(operator, parts=[left, right])
